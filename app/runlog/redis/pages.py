"""Pages of what the server found: entries that straddle a position are cut, and nothing comes after a hole."""

from __future__ import annotations

from typing import Any

from app.errors import Gap
from app.runlog.base import Entry, Page
from app.runlog.codec import parse, restore


def page_of(answer: Any, after: int, limit: int) -> Page:
    """The page that the answer of the script PAGE makes.

    Raises:
        Gap: the position is outside the log, or what comes next is not there.
        StoreUnavailable: stored events are damaged, or a newer version wrote them.
    """
    tail, closed, earliest, found = answer
    if not 0 <= after <= tail:
        raise Gap(earliest, tail)
    entries = _cut(found, after, limit)
    if not entries and after < tail and limit > 0:
        raise Gap(found[0] if found else tail, tail)
    return Page(entries, tail, bool(closed))


def _cut(found: list[Any], after: int, limit: int) -> tuple[Entry, ...]:
    """The entries of `[first seq, segment, …]` that come after `after`, up to the first hole."""
    entries: list[Entry] = []
    next_seq = after + 1
    for first_seq, body in zip(found[::2], found[1::2], strict=True):
        if first_seq > next_seq or len(entries) >= limit:
            break
        items = parse(body)[next_seq - first_seq :][: limit - len(entries)]
        entries += [Entry(seq, restore(item)) for seq, item in enumerate(items, next_seq)]
        next_seq += len(items)
    return tuple(entries)
