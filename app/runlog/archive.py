"""A closed log as one value: deltas merged, compressed, and still every seq exact; or what retention leaves of it.

A run of adjacent deltas that differ in nothing but their text is stored as one delta and the lengths of its pieces in
code points: `["<tag>", {fields}, [lengths]]`. Other events are stored as in a segment.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any, Final

from msgspec import json

from app.errors import StoreUnavailable
from app.events import Delta, Event
from app.runlog.codec import encode_event, parse, restore

_WHOLE: Final = b"\x01"
_TRIMMED: Final = b"\x02"
_SEQ_BYTES: Final = 8


def encode_archive(events: Sequence[Event], first_seq: int = 1) -> bytes:
    """Encode a log, or what is left of one from `first_seq` on. CPU-bound: run it in a thread if it may be long."""
    if first_seq == 1:
        return _WHOLE + _pack(events)
    return _TRIMMED + first_seq.to_bytes(_SEQ_BYTES, "big") + _pack(events)


def trim_archive(data: bytes) -> bytes:
    """What is left of an archive when its time is over: the terminal, in its place. CPU-bound as well.

    Raises:
        StoreUnavailable: as `decode_archive`.
    """
    first_seq, events = decode_archive(data)
    return encode_archive(events[-1:], first_seq + len(events) - 1)


def decode_archive(data: bytes) -> tuple[int, list[Event]]:
    """Decode an archive: the seq of the first event that is left, and the events from there on. CPU-bound as well.

    Raises:
        StoreUnavailable: the bytes are damaged, or a newer version wrote them.
    """
    if data.startswith(_WHOLE):
        return 1, _unpack(data[1:])
    if data.startswith(_TRIMMED):
        return int.from_bytes(data[1 : 1 + _SEQ_BYTES], "big"), _unpack(data[1 + _SEQ_BYTES :])
    raise StoreUnavailable("an archive is of a format that this version doesn't know")


def _pack(events: Sequence[Event]) -> bytes:
    items = [item for _, stretch in groupby(events, _voice) for item in _encode_stretch(list(stretch))]
    return zlib.compress(b"[%b]" % b",".join(items))


def _unpack(packed: bytes) -> list[Event]:
    try:
        body = zlib.decompress(packed)
    except zlib.error as error:
        raise StoreUnavailable("an archive is damaged") from error
    return [event for item in parse(body) for event in _decode_item(item)]


def _voice(event: Event) -> object:
    """Equal for neighbours that may be merged."""
    return (type(event), event.part, event.agent) if isinstance(event, Delta) else None


def _encode_stretch(stretch: list[Event]) -> Iterator[bytes]:
    deltas = [event.delta for event in stretch if isinstance(event, Delta)]
    if len(deltas) < 2:  # noqa: PLR2004 - one piece needs no lengths
        yield from map(encode_event, stretch)
        return
    merged = _with_text(stretch[0], "".join(deltas))
    yield b"%b,%b]" % (encode_event(merged)[:-1], json.encode([len(delta) for delta in deltas]))


def _decode_item(item: Any) -> Iterator[Event]:
    event = restore(item)
    lengths = item[2] if len(item) > 2 else None  # noqa: PLR2004 - the form above
    if lengths is None:
        yield event
        return
    if not isinstance(event, Delta) or sum(lengths) != len(event.delta):
        raise StoreUnavailable("an archive is damaged")
    start = 0
    for length in lengths:
        yield _with_text(event, event.delta[start : start + length])
        start += length


def _with_text(event: Event, text: str) -> Event:
    # Several times cheaper than attrs.evolve, and there is one call for every delta of an archive.
    if not isinstance(event, Delta):
        raise TypeError(event)
    return type(event)(text, part=event.part, agent=event.agent)
