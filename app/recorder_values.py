"""Any value an agent may hand over -> text and JSON that no encoder can choke on, within the limits of P6.6."""

from __future__ import annotations

import hashlib
import math
import re
import sys
from collections.abc import Iterator, Mapping
from typing import Any, Final, TypeVar, get_args, get_origin, get_type_hints

import msgspec
from attrs import evolve

from app.events import Event, RunFailed, Usage

T = TypeVar("T")

FIELD_LIMIT = 64 * 1024
"""Bytes of UTF-8 that tool arguments, a result or custom data may have; what is longer is cut (P6.6)."""

NAME_LIMIT = 128
"""Characters that a name or an id may have: of a tool, a call, a subagent, a custom event."""

PROSE_LIMIT = 2048
"""Characters that a reason or a comment may have."""

_ENCODED_LIMIT: Final = 2 * FIELD_LIMIT
"""Bytes of JSON that a text may become: control characters grow sixfold, and an event has at most 256 KiB (P6.6)."""

_DIGEST: Final = 16
_LIMITS: Final = {
    **dict.fromkeys(("agent", "call_id", "incident", "name", "part", "tool_name"), NAME_LIMIT),
    **dict.fromkeys(("comment", "reason"), PROSE_LIMIT),
}
_CODE: Final = re.compile(r"[a-z][a-z0-9_]{0,63}", re.ASCII)
_THE_SERVERS: Final = frozenset({"internal_error", "run_interrupted", "deadline_exceeded", "agent_idle", "log_full"})
_DEPTH = 32
_PLAIN = (bool, int, float, list, tuple, set, frozenset, Mapping)
_encode = msgspec.json.encode
_decode = msgspec.json.Decoder().decode


def _kinds(cls: type) -> tuple[tuple[str, tuple[type, ...], int], ...]:
    # What is declared as Any or as a dict is made JSON, whatever it is; everything else has to be what it says.
    hints = get_type_hints(cls).items()
    scalars = ((name, hint) for name, hint in hints if hint is not Any and get_origin(hint) is not dict)
    return tuple((name, get_args(hint) or (hint,), _LIMITS.get(name, sys.maxsize)) for name, hint in scalars)


_FIELDS: Final = {cls: _kinds(cls) for cls in (*get_args(Event), Usage)}


def checked(event: T) -> T:
    """What an agent yielded, if every field has its declared type: one log entry that can't be read back is too many.

    Names, ids, reasons and comments come back no longer than they may be.

    Raises:
        TypeError: it is no event, or a field has another type.
    """
    kinds_of = _FIELDS.get(type(event))
    if kinds_of is None:
        raise TypeError(f"an agent yields events or strings, not {type(event).__name__}")
    changes: dict[str, str] = {}
    for name, kinds, limit in kinds_of:
        value = getattr(event, name)
        if not isinstance(value, kinds) or (isinstance(value, int) and not _is_plain(value)):
            expected = " or ".join(kind.__name__ for kind in kinds)
            raise TypeError(f"{type(event).__name__}.{name} must be {expected}, not {_as_text(value)[:50]!r}")
        if isinstance(value, str):
            if (clean := clean_text(value)) is not value or len(value) > limit:
                changes[name] = _short(clean, limit)
        elif isinstance(value, Usage):
            checked(value)
    return evolve(event, **changes) if changes else event  # type: ignore[misc]


def clean_text(text: str) -> str:
    """`text` as a plain str without lone surrogates: pairs are joined, what is left becomes U+FFFD."""
    if type(text) is not str:
        text = str.__str__(text)  # a subclass, which encoders refuse
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _short(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    if limit == NAME_LIMIT:  # two names that begin alike must stay two
        return f"{text[: limit - _DIGEST - 1]}~{hashlib.sha256(text.encode()).hexdigest()[:_DIGEST]}"
    return text[:limit]


def agents_own(failed: RunFailed) -> RunFailed:
    """A failure that the agent declares: with a code of its own, but none that only the server can know (P7.4)."""
    if _CODE.fullmatch(failed.code) and failed.code not in _THE_SERVERS:
        return failed
    return evolve(failed, code="agent_error")


def rendered(value: Any) -> tuple[str, bool]:
    """A tool's result as the string that clients get (P2.4), and whether anything of it was cut (P6.6)."""
    if isinstance(value, str):
        return shown_text(clean_text(value))
    text, flattened = _written(value)
    shown, cut = shown_text(text)
    return shown, cut or flattened


def _written(value: Any) -> tuple[str, bool]:
    if isinstance(value, float) and not math.isfinite(value):
        return _as_text(value), False
    try:
        plain, cut = _json(value) if value is None or isinstance(value, _PLAIN) else (value, False)
        text = _encode(plain).decode()
    except Exception:  # noqa: BLE001 - the agent's value may do anything
        return _as_text(value), False
    # A string that stands for what is none: bytes, a date, a number of 80 bits. JSON has nothing for these.
    return (_as_text(value), False) if text.startswith('"') else (text, cut)


def capped_text(text: str, limit: int = FIELD_LIMIT) -> tuple[str, bool]:
    """`text` cut to `limit` bytes between two characters, and whether it was cut."""
    if len(text) * 4 <= limit:
        return text, False
    raw = text[: limit + 1].encode()  # a character has at least one byte
    if len(raw) <= limit:
        return text, False
    return raw[:limit].decode(errors="ignore"), True


def shown_text(text: str) -> tuple[str, bool]:
    """`text` cut so that it fits into an event however its characters are escaped, and whether it was cut."""
    kept, cut = capped_text(text)
    return (kept, cut) if _fits(kept) else (capped_text(kept, FIELD_LIMIT // 3)[0], True)


def capped_json(value: Any) -> tuple[Any, bool]:
    """`value` as JSON, and whether any of it was cut; over the limit, it is the beginning of its JSON text instead."""
    plain, cut = _json(value)
    raw = _encode(plain)
    if len(raw) <= FIELD_LIMIT:
        return plain, cut
    return raw[:FIELD_LIMIT].decode(errors="ignore"), True


def capped_object(value: Any) -> tuple[dict[str, Any], bool]:
    """`value` as a JSON object; when it is none, or over the limit, an object that holds what can be shown."""
    plain, truncated = capped_json(value)
    return (plain, truncated) if isinstance(plain, dict) else ({"value": plain}, truncated)


def pieces(text: str, limit: int = FIELD_LIMIT) -> Iterator[str]:
    """`text` in pieces of at most `limit` bytes: the agent's text is split, never cut (P6.6)."""
    while True:
        piece, cut = capped_text(text, limit)
        if _fits(piece):
            yield piece
        else:
            yield from pieces(piece, limit // 3)
        if not cut:
            return
        text = text[len(piece) :]


def _fits(text: str) -> bool:
    return len(text) * 6 <= _ENCODED_LIMIT or len(_encode(text)) <= _ENCODED_LIMIT


def _json(value: Any) -> tuple[Any, bool]:
    """The JSON value of `value`, by the fast way when every part of it has one, and whether any of it was cut."""
    if _is_over_the_limit(value):
        return _copy(value)
    try:
        plain = _decode(_encode(value))
    except Exception:  # noqa: BLE001 - the agent's value may do anything
        return _copy(value)
    # How deep an encoder can go depends on who calls it: what was said here must not fail in the log.
    return _copy(plain) if _is_too_deep(plain) else (plain, False)


def _copy(value: Any) -> tuple[Any, bool]:
    copy = _Copy()
    plain = copy.of(value)
    return plain, copy.cut


def _is_over_the_limit(value: Any) -> bool:
    """Whether `value`, written out, has more parts than fit: lists that share parts may stand for endlessly many."""
    room = FIELD_LIMIT
    waiting = [value]
    try:
        while waiting:
            part = waiting.pop()
            room -= 1
            if room < 0:
                return True
            if isinstance(part, Mapping):
                waiting.extend(part.values())
            elif isinstance(part, list | tuple | set | frozenset):
                waiting.extend(part)
    except Exception:  # noqa: BLE001 - the agent's value may do anything
        return True
    return False


class _Copy:
    """The slow way, value by value.

    A graph of references may have endlessly many paths: it stops when the copy is sure to be over the limit, each part
    of it having at least two bytes.

    Attributes:
        cut: whether anything is missing, for being too deep or too much.
    """

    def __init__(self) -> None:
        self.cut = False
        self._room = FIELD_LIMIT

    def of(self, value: Any, depth: int = _DEPTH) -> Any:
        self._room -= 1
        if isinstance(value, str):
            return clean_text(value)
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, float):
            return float.__float__(value) if math.isfinite(value) else None
        if isinstance(value, int):
            plain = int.__int__(value)
            return plain if _is_plain(plain) else _as_text(plain)
        if depth and self._room > 0:
            return self._of_parts(value, depth)
        self.cut = True
        return "…"

    def _of_parts(self, value: Any, depth: int) -> Any:
        try:
            if isinstance(value, Mapping):
                return {clean_text(_as_text(key)): self.of(item, depth - 1) for key, item in value.items()}
            if isinstance(value, list | tuple | set | frozenset):
                return [self.of(item, depth - 1) for item in value]
            return self.of(_decode(_encode(value)), depth)
        except Exception:  # noqa: BLE001 - the agent's value may do anything
            return _as_text(value)


def _is_too_deep(plain: Any) -> bool:
    level = [plain]
    for _ in range(_DEPTH + 1):
        parts = [part for part in level if isinstance(part, dict | list)]
        if not parts:
            return False
        level = [inner for part in parts for inner in (part.values() if isinstance(part, dict) else part)]
    return True


def _is_plain(number: int) -> bool:
    return type(number) in (int, bool) and -(2**63) <= number < 2**63


def _as_text(value: Any) -> str:
    try:
        return clean_text(str(value))
    except Exception:  # noqa: BLE001 - the agent's __str__ may do anything
        return f"<{type(value).__name__}>"
