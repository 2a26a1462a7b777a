"""Images in messages: decoded, recognised by their magic bytes, measured by their header, never rendered (P4.3)."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Final

from app.agents.base import Image
from app.errors import InvalidMessage

MAX_BYTES: Final = 5 * 1024 * 1024
MAX_PIXELS: Final = 40_000_000

_MOST_SEGMENTS: Final = 4096
"""How far a jpeg's frame header is looked for: millions of empty segments fit into 5 MiB."""

_DATA_URL = re.compile(r"data:[^,]{0,200},")


def decode_images(sources: list[str]) -> tuple[Image, ...]:
    """Decode data URLs or bare base64 strings.

    Raises:
        InvalidMessage: one of them is no image that agents are given; the message names it.
    """
    return tuple(_decode(source, f"$.images[{index}]") for index, source in enumerate(sources))


def _decode(source: str, path: str) -> Image:
    head = _DATA_URL.match(source)
    body = source[head.end() :] if head else source
    if len(body) > MAX_BYTES * 4 // 3 + 1024:
        raise InvalidMessage(f"{path}: an image has at most 5 MiB")
    try:
        data = base64.b64decode("".join(body.split()), validate=True)
    except (binascii.Error, ValueError):
        raise InvalidMessage(f"{path}: expected a data URL or base64") from None
    if len(data) > MAX_BYTES:
        raise InvalidMessage(f"{path}: an image has at most 5 MiB")
    return Image(*_checked(data, path))


def _checked(data: bytes, path: str) -> tuple[str, bytes]:
    try:
        found = _media_type_and_size(data)
    except (IndexError, ValueError):
        found = None
    if found is None:
        raise InvalidMessage(f"{path}: expected a png, jpeg, gif or webp image")
    media_type, width, height = found
    if not 0 < width * height <= MAX_PIXELS:
        raise InvalidMessage(f"{path}: an image has at most 40 megapixels, this one claims {width} x {height}")
    return media_type, data


def _media_type_and_size(data: bytes) -> tuple[str, int, int] | None:
    if data.startswith(b"\x89PNG\r\n\x1a\n") and data[12:16] == b"IHDR":
        return "image/png", _big(data, 16, 4), _big(data, 20, 4)
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif", _little(data, 6, 2), _little(data, 8, 2)
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return _webp(data)
    if data.startswith(b"\xff\xd8\xff"):
        return _jpeg(data)
    return None


def _webp(data: bytes) -> tuple[str, int, int] | None:
    match data[12:16]:
        case b"VP8X":
            return "image/webp", _little(data, 24, 3) + 1, _little(data, 27, 3) + 1
        case b"VP8L":
            bits = _little(data, 21, 4)
            return "image/webp", (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        case b"VP8 ":
            return "image/webp", _little(data, 26, 2) & 0x3FFF, _little(data, 28, 2) & 0x3FFF
        case _:
            return None


def _jpeg(data: bytes) -> tuple[str, int, int] | None:
    at = 2
    for _ in range(_MOST_SEGMENTS):
        if at + 9 > len(data) or data[at] != 0xFF:
            break
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return "image/jpeg", _big(data, at + 7, 2), _big(data, at + 5, 2)
        else:
            at += 2 + max(_big(data, at + 2, 2), 2)
    return None


def _big(data: bytes, at: int, size: int) -> int:
    return int.from_bytes(_exactly(data, at, size), "big")


def _little(data: bytes, at: int, size: int) -> int:
    return int.from_bytes(_exactly(data, at, size), "little")


def _exactly(data: bytes, at: int, size: int) -> bytes:
    if at + size > len(data):
        raise ValueError("the header is cut")
    return data[at : at + size]
