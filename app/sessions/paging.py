"""Pages of a list, by the key of the last row seen, so that a page costs the same wherever it lies.

A cursor is that key, as base64url of JSON. Clients hand it back as they got it.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta

from app.errors import InvalidMessage
from app.sessions.base import Listing

Key = TypeVar("Key", bound=tuple[Any, ...])
T = TypeVar("T")

by_creation = msgspec.json.Decoder(tuple[Annotated[datetime, Meta(tz=True)], Annotated[str, Meta(pattern="^[!-~]+$")]])
"""Reads the key of a list that is in order of creation: when, and the id."""

by_number = msgspec.json.Decoder(tuple[Annotated[int, Meta(ge=1, le=2**31 - 1)]])
"""Reads the key of a list that is in order of number."""


def encode_cursor(key: tuple[Any, ...]) -> str:
    """The cursor of the page that follows the row with this key."""
    parts = [part.astimezone(UTC) if isinstance(part, datetime) else part for part in key]
    return urlsafe_b64encode(msgspec.json.encode(parts)).decode()


def decode_cursor(cursor: str, keys: msgspec.json.Decoder[Key]) -> Key:
    """The key in a cursor.

    Raises:
        InvalidMessage: `encode_cursor` makes no such cursor for keys of this kind.
    """
    try:
        key = keys.decode(urlsafe_b64decode(cursor))
        made_here = encode_cursor(key) == cursor
    except (ValueError, OverflowError, msgspec.MsgspecError):
        made_here = False
    if not made_here:
        raise InvalidMessage("$.cursor is none that this list gave")
    return key


def page(items: Sequence[T], limit: int, key: Callable[[T], tuple[Any, ...]]) -> Listing[T]:
    """One page of at most `limit` items, from up to `limit + 1` that were read to see whether more follow."""
    shown = tuple(items[:limit])
    return Listing(items=shown, next=encode_cursor(key(shown[-1])) if len(items) > limit else None)
