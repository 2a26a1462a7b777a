"""Compaction (P3.5): what a viewer that is behind may be spared.

Pure, over entries; where a merged entry stands, the position of its last part stands, so resuming from it is exact.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from app.events import Delta
from app.runlog.base import Entry

MAX_DELTA: Final = 32 * 1024
"""The most characters that a merged delta has; a delta that was longer from the start stays as it is."""


def compact(entries: Sequence[Entry]) -> list[Entry]:
    """Merge adjacent deltas of the same class, part and agent, up to MAX_DELTA characters; leave all else untouched."""
    return [_merge(stretch) for stretch in _stretches(entries)]


def _stretches(entries: Sequence[Entry]) -> Iterator[list[Entry]]:
    stretch: list[Entry] = []
    size = 0
    for entry in entries:
        length = len(entry.event.delta) if isinstance(entry.event, Delta) else 0
        if stretch and not (size + length <= MAX_DELTA and _continues(stretch[-1], entry)):
            yield stretch
            stretch, size = [], 0
        stretch.append(entry)
        size += length
    if stretch:
        yield stretch


def _continues(last: Entry, entry: Entry) -> bool:
    before, event = last.event, entry.event
    return (
        isinstance(before, Delta)
        and isinstance(event, Delta)
        and type(before) is type(event)
        and (before.part, before.agent, last.seq + 1) == (event.part, event.agent, entry.seq)
    )


def _merge(stretch: list[Entry]) -> Entry:
    last = stretch[-1]
    if len(stretch) == 1 or not isinstance(last.event, Delta):
        return last
    text = "".join([entry.event.delta for entry in stretch if isinstance(entry.event, Delta)])
    return Entry(last.seq, type(last.event)(text, part=last.event.part, agent=last.event.agent))
