"""Images in messages: recognised by what they are, measured by their header, refused by name."""

import base64
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.agents.base import Image
from app.errors import InvalidMessage
from app.transports.images import MAX_BYTES, MAX_PIXELS, decode_images


def png(width: int, height: int) -> bytes:
    size = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    return b"\x89PNG\r\n\x1a\n" + b"\0\0\0\x0dIHDR" + size + b"\x08\x02\0\0\0"


def gif(width: int, height: int, version: bytes = b"89a") -> bytes:
    return b"GIF" + version + width.to_bytes(2, "little") + height.to_bytes(2, "little") + b"\0\0\0;"


def jpeg(width: int, height: int, *, marker: int = 0xC0, before: bytes = b"") -> bytes:
    size = height.to_bytes(2, "big") + width.to_bytes(2, "big")
    return b"\xff\xd8" + before + b"\xff" + bytes([marker]) + b"\0\x0b\x08" + size + b"\x01\x01\x11\0"


def riff(chunk: bytes, body: bytes) -> bytes:
    data = b"WEBP" + chunk + len(body).to_bytes(4, "little") + body
    return b"RIFF" + len(data).to_bytes(4, "little") + data


def webp_lossy(width: int, height: int) -> bytes:
    return riff(b"VP8 ", b"\x10\0\0\x9d\x01\x2a" + width.to_bytes(2, "little") + height.to_bytes(2, "little"))


def webp_lossless(width: int, height: int) -> bytes:
    return riff(b"VP8L", b"\x2f" + (width - 1 | (height - 1) << 14).to_bytes(4, "little"))


def webp_extended(width: int, height: int) -> bytes:
    return riff(b"VP8X", b"\0\0\0\0" + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little"))


SEGMENTS = b"\xff\xe0\0\x04JF" + b"\xff\xff\xc4\0\x02" + b"\xff\xdb\0\x03x"
KINDS = {
    "png": (png, "image/png"),
    "gif89a": (gif, "image/gif"),
    "gif87a": (lambda width, height: gif(width, height, b"87a"), "image/gif"),
    "jpeg": (jpeg, "image/jpeg"),
    "jpeg-progressive": (lambda width, height: jpeg(width, height, marker=0xC2, before=SEGMENTS), "image/jpeg"),
    "webp-lossy": (webp_lossy, "image/webp"),
    "webp-lossless": (webp_lossless, "image/webp"),
    "webp-extended": (webp_extended, "image/webp"),
}
kinds = pytest.mark.parametrize("kind", KINDS)


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def refusal(*sources: str) -> str:
    with pytest.raises(InvalidMessage) as caught:
        decode_images(list(sources))
    return str(caught.value)


@kinds
def test_an_image_is_known_by_its_bytes(kind):
    make, media_type = KINDS[kind]
    data = make(640, 480)
    assert decode_images([encoded(data)]) == (Image(media_type, data),)


@kinds
def test_its_sizes_are_read_from_its_header(kind):
    make, _ = KINDS[kind]
    assert "this one claims 9000 x 9001" in refusal(encoded(make(9000, 9001)))
    wide, high = decode_images([encoded(make(9001, 3)), encoded(make(3, 9001))])
    assert wide.data != high.data


@kinds
def test_forty_megapixels_are_taken_and_one_more_row_is_not(kind):
    make, _ = KINDS[kind]
    width, height = 8000, MAX_PIXELS // 8000
    decode_images([encoded(make(width, height))])
    assert "40 megapixels" in refusal(encoded(make(width, height + 1)))


@pytest.mark.parametrize("data", [png(0, 9), gif(9, 0), jpeg(0, 0), webp_lossy(0, 9)])
def test_an_image_without_extent_is_none(data):
    assert "this one claims" in refusal(encoded(data))


@kinds
def test_a_header_that_is_cut_is_refused(kind):
    make, _ = KINDS[kind]
    data = make(640, 480)
    accepted = []
    for end in range(len(data)):
        try:
            decode_images([encoded(data[:end])])
        except InvalidMessage as error:
            assert "expected a png, jpeg, gif or webp image" in str(error)  # noqa: PT017
        else:
            accepted.append(end)
    needed = len(data) - len(accepted)
    assert accepted == list(range(needed, len(data)))
    assert needed >= 10


@given(
    st.sampled_from([make(64, 64) for make, _ in KINDS.values()]),
    st.data(),
)
def test_damaged_images_are_refused_or_taken_and_nothing_else(data, draw):
    damaged = bytearray(data[: draw.draw(st.integers(0, len(data)))])
    for at in draw.draw(st.lists(st.integers(0, max(len(damaged) - 1, 0)), max_size=4)):
        damaged[at : at + 1] = draw.draw(st.binary(max_size=3))
    try:
        (image,) = decode_images([encoded(bytes(damaged))])
    except InvalidMessage:
        return
    assert image.data == bytes(damaged)


@given(st.text())
def test_any_text_is_refused_or_taken_and_nothing_else(text):
    refusal(text)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<svg/>",
        b"BM" + b"\0" * 60,
        b"%PDF-1.7",
        b"RIFF\0\0\0\0WAVEfmt ",
        riff(b"VP8?", b"\0" * 20),
        b"\xff\xd8\xff",
    ],
    ids=["empty", "svg", "bmp", "pdf", "wave", "webp of another kind", "jpeg without a frame"],
)
def test_other_files_are_refused(data):
    assert refusal(encoded(data)) == "$.images[0]: expected a png, jpeg, gif or webp image"


@pytest.mark.parametrize("prefix", ["data:image/png;base64,", "data:;base64,", "data:image/webp;base64,", "data:,"])
def test_the_prefix_of_a_data_url_is_stripped_and_not_believed(prefix):
    assert decode_images([prefix + encoded(png(1, 1))]) == (Image("image/png", png(1, 1)),)


def test_base64_may_be_wrapped():
    text = encoded(png(1, 1))
    assert decode_images([f" {text[:8]}\r\n{text[8:]}\n"])[0].data == png(1, 1)


@pytest.mark.parametrize(
    "source",
    [
        "https://example.org/cat.png",
        "//example.org/cat.png",
        "file:///etc/passwd",
        "blob:https://example.org/1",
        "data:image/png;base64",
        f"data:{'x' * 300},{encoded(png(1, 1))}",
        encoded(png(1, 1)).rstrip("=") + "=====",
        "é",
        "\ud800",
        encoded(png(1, 1))[:-1],
        "not base64!",
    ],
)
def test_what_is_no_base64_is_refused_and_nothing_is_fetched(source):
    assert refusal(source) == "$.images[0]: expected a data URL or base64"


def test_the_message_names_the_image():
    assert refusal(encoded(png(1, 1)), "!").startswith("$.images[1]: ")


def test_five_mebibytes_are_taken_and_one_byte_more_is_not():
    data = png(1, 1).ljust(MAX_BYTES, b"\0")
    assert decode_images([encoded(data)])[0].data == data
    assert refusal(encoded(data + b"\0")) == "$.images[0]: an image has at most 5 MiB"
    assert refusal("A" * (2 * MAX_BYTES)) == "$.images[0]: an image has at most 5 MiB"


@pytest.mark.parametrize("filling", [b"\xff", b"\xff\xe0\0\x02"])
def test_a_jpeg_of_millions_of_segments_takes_no_time(filling):
    source = encoded(b"\xff\xd8\xff\xe0\0\x02" + filling * (MAX_BYTES // len(filling) - 6))
    began = time.process_time()
    assert "expected a png" in refusal(source)
    assert time.process_time() - began < 0.5


def test_no_images_are_no_images():
    assert decode_images([]) == ()
