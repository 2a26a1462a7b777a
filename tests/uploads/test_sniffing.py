"""Media types by bytes."""

import io
import zipfile

import pytest

from app.uploads.sniffing import HEAD, media_type_of


def zipped(*names: str) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name in names:
            archive.writestr(name, "application/epub+zip" if name == "mimetype" else "<x/>")
    return packed.getvalue()


OFFICE = "application/vnd.openxmlformats-officedocument"
KNOWN = [
    (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "image/png"),
    (b"\xff\xd8\xff\xe0\0\x10JFIF", "image/jpeg"),
    (b"GIF89a\1\0\1\0", "image/gif"),
    (b"RIFF\x24\0\0\0WEBPVP8 ", "image/webp"),
    (b"RIFF\x24\0\0\0WAVEfmt ", "audio/wav"),
    (b"%PDF-1.7\n%\xe2\xe3", "application/pdf"),
    (b"\x1f\x8b\x08\0", "application/gzip"),
    (b"\0\0\0\x18ftypmp42", "video/mp4"),
    (b"\0\0\0\x1cftypM4A ", "audio/mp4"),
    (b"\0\0\0\x1cftypavif", "image/avif"),
    (b"\x1a\x45\xdf\xa3\x01\0\0\0\0\0\0\x1f\x42\x86\x81\x01\x42\x82\x84webm", "video/webm"),
    (b"ID3\x04\0\0", "audio/mpeg"),
    (b"SQLite format 3\0", "application/vnd.sqlite3"),
    (zipped("a.txt"), "application/zip"),
    (zipped("mimetype", "OEBPS/x"), "application/epub+zip"),
    (zipped("[Content_Types].xml", "word/document.xml"), f"{OFFICE}.wordprocessingml.document"),
    (zipped("[Content_Types].xml", "xl/workbook.xml"), f"{OFFICE}.spreadsheetml.sheet"),
    (zipped("[Content_Types].xml", "other/x"), "application/zip"),
]


@pytest.mark.parametrize(("data", "media_type"), KNOWN)
def test_a_file_is_known_by_its_first_bytes(data, media_type):
    assert media_type_of(data, whole=True) == media_type


@pytest.mark.parametrize(
    "text",
    [
        "Hello",
        "a,b\n1,2\n",
        '{"a": 1}',
        "BM is a car",
        "MZ",
        "P1 was first",
        "ID3 tags",
        "RIFF, said he",
        "the ftyp box",
        "é\t\r\n\x0c\x1b[0m",
    ],
)
def test_text_is_text_whatever_it_begins_with(text):
    assert media_type_of(text.encode(), whole=True) == "text/plain"


@pytest.mark.parametrize(
    "page",
    [
        "<!doctype html><script>alert(1)</script>",
        '<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>',
        "<?xml version='1.0'?>",
    ],
)
def test_nothing_is_taken_for_what_a_browser_would_execute(page):
    assert media_type_of(page.encode(), whole=True) == "text/plain"


@pytest.mark.parametrize("data", [b"", b"\0", b"text\0text", b"\xfe\xfa\xfb", b"caf\xe9", b"\x7fELF\x02\x01\x01\0"])
def test_what_is_neither_known_nor_text_is_bytes(data):
    assert media_type_of(data, whole=True) == "application/octet-stream"


def test_a_character_that_the_head_cuts_is_no_damage_but_one_that_the_file_cuts_is():
    head = b"a" * (HEAD - 1) + "é".encode()[:1]
    assert media_type_of(head, whole=False) == "text/plain"
    assert media_type_of(head, whole=True) == "application/octet-stream"


def test_utf_16_is_text():
    assert media_type_of("Grüße".encode("utf-16"), whole=True) == "text/plain"
