"""Any value an agent may hand over -> text and JSON that no encoder can choke on, within the limits of P6.6."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

FIELD_LIMIT = 64 * 1024
"""Bytes of UTF-8 that tool arguments, a result or custom data may have; what is longer is cut (P6.6)."""

_DEPTH = 32
_encode = msgspec.json.encode
_decode = msgspec.json.Decoder().decode


def clean_text(text: str) -> str:
    """`text` without lone surrogates: pairs are joined, what is left becomes U+FFFD."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def rendered(value: Any) -> str:
    """A tool's result as the string that clients get (P2.4)."""
    if isinstance(value, str):
        return clean_text(value)
    if value is None or isinstance(value, bool | int | float | list | tuple | dict):
        return _encode(_json(value)).decode()
    try:
        return _encode(value).decode()
    except (TypeError, ValueError, RecursionError):
        return _as_text(value)


def capped_text(text: str, limit: int = FIELD_LIMIT) -> tuple[str, bool]:
    """`text` cut to `limit` bytes between two characters, and whether it was cut."""
    if len(text) * 4 <= limit:
        return text, False
    raw = text.encode()
    if len(raw) <= limit:
        return text, False
    return raw[:limit].decode(errors="ignore"), True


def capped_json(value: Any) -> tuple[Any, bool]:
    """`value` as JSON; when its JSON text is over the limit, the beginning of that text instead."""
    plain = _json(value)
    raw = _encode(plain)
    if len(raw) <= FIELD_LIMIT:
        return plain, False
    return raw[:FIELD_LIMIT].decode(errors="ignore"), True


def capped_object(value: Any) -> tuple[dict[str, Any], bool]:
    """`value` as a JSON object; when it is none, or over the limit, an object that holds what can be shown."""
    plain, truncated = capped_json(value)
    return (plain, truncated) if isinstance(plain, dict) else ({"value": plain}, truncated)


def pieces(text: str, limit: int = FIELD_LIMIT) -> Iterator[str]:
    """`text` in pieces of at most `limit` bytes: the agent's text is split, never cut (P6.6)."""
    while True:
        piece, cut = capped_text(text, limit)
        yield piece
        if not cut:
            return
        text = text[len(piece) :]


def _json(value: Any) -> Any:
    """The JSON value of `value`, by the fast way when every part of it has one."""
    try:
        return _decode(_encode(value))
    except (TypeError, ValueError, OverflowError, RecursionError):
        return _plain(value, _DEPTH)


def _plain(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        return clean_text(value)
    if value is None or isinstance(value, bool | float):
        return _decode(_encode(value))  # NaN and the infinities become null
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**64 else str(value)
    if depth == 0:
        return _as_text(value)
    if isinstance(value, Mapping):
        return {clean_text(_as_text(key)): _plain(item, depth - 1) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item, depth - 1) for item in value]
    try:
        return _decode(_encode(value))
    except (TypeError, ValueError, OverflowError, RecursionError):
        return _as_text(value)


def _as_text(value: Any) -> str:
    try:
        return clean_text(str(value))
    except Exception:  # noqa: BLE001 - the agent's __str__ may do anything
        return f"<{type(value).__name__}>"
