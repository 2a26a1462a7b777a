"""A multipart body that holds one file: read as it comes, never whole in memory, and no more of it than is allowed."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any, Final

from litestar import Request
from multipart import MultipartError, MultipartSegment, PushMultipartParser  # type: ignore[import-untyped]

from app.errors import InvalidMessage, TooLarge

FIELD: Final = "file"
"""The name of the one part."""

_AROUND: Final = 16 * 1024
"""Bytes that a body may have besides those of its file."""

_LONGEST_BOUNDARY: Final = 70
_PARTS: Final = 2

Parts = AsyncGenerator[MultipartSegment | bytes | None, None]


async def parts_of(request: Request[Any, Any, Any], max_bytes: int) -> Parts:
    """The body's parts as they come: for each its head, then its bytes in pieces, then None.

    Raises:
        InvalidMessage: it is no multipart body, or a broken one.
        TooLarge: it is longer than a file of `max_bytes` needs.
    """
    kind, options = request.content_type
    if kind != "multipart/form-data":
        raise InvalidMessage(f"$: expected multipart/form-data with a file in the field `{FIELD}`")
    boundary = options.get("boundary", "")
    if not 1 <= len(boundary) <= _LONGEST_BOUNDARY:
        raise InvalidMessage("$: the multipart boundary is missing or too long")
    try:
        with PushMultipartParser(boundary, max_segment_count=_PARTS) as parser:
            async for chunk in _body(request, max_bytes):
                for event in parser.parse(chunk):
                    yield event
    except MultipartError as error:
        raise InvalidMessage(f"$: the multipart body can't be read: {error.args[0]}") from error


async def open_file(parts: Parts) -> tuple[str, AsyncIterator[bytes]]:
    """What the client calls the file, and its bytes as they come.

    Raises:
        InvalidMessage: the first part is no file. Its bytes raise it too, if a second part follows.
    """
    head = await anext(parts, None)
    if not isinstance(head, MultipartSegment):
        raise InvalidMessage(f"$.{FIELD}: this field is required")
    if head.name != FIELD:
        raise InvalidMessage(f"$.{FIELD}: expected this field alone")
    if head.filename is None:
        raise InvalidMessage(f"$.{FIELD}: expected a file")
    return head.filename, _bytes_of(parts)


async def _bytes_of(parts: Parts) -> AsyncGenerator[bytes, None]:
    async for event in parts:
        if isinstance(event, MultipartSegment):
            raise InvalidMessage(f"$.{FIELD}: one file in a request, and no other field")
        if event is not None:
            yield event


async def _body(request: Request[Any, Any, Any], max_bytes: int) -> AsyncGenerator[bytes, None]:
    limit = max_bytes + _AROUND
    if (request.content_length or 0) > limit:
        raise TooLarge(f"a file has at most {max_bytes} bytes")
    read = 0
    async for chunk in request.stream():
        read += len(chunk)
        if read > limit:
            raise TooLarge(f"a file has at most {max_bytes} bytes")
        if chunk:
            yield chunk
