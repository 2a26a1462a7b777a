"""The live end of logs, in memory: what a run's readers share.

A Window holds the last entries of one log and wakes whoever waits for more, once per append. Every waiter has a future
of its own, so that one that is cancelled disturbs no other; a single shared future would need a shield around it for
each waiter, which costs three times as much per wake-up. It belongs to one event loop and knows nothing of storage.
"""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from attrs import Factory, define, field

from app.errors import Gap
from app.events import Event
from app.runlog.base import Bell, Entry, Page

MAX_ENTRIES: Final = 4096
MAX_BYTES: Final = 1024 * 1024
_MAX_PAGES: Final = 64


@define(eq=False)
class Window:
    """The end of one log.

    Attributes:
        max_entries: how many entries are kept. The last append is always kept whole, whatever its size.
        max_bytes: how many bytes they may have had when encoded.
        known: whether `tail` and `closed` are the log's; False for a window that was opened before anybody looked.
        dropped: the log was forgotten.
        mark: what tells the append that ended at `tail` from any other, where several processes write.
        lost: the first and last seq of the log that has taken this one's place, which was lost; a Gap for who waits.
        size: encoded bytes of the entries held.
        held: how many readers, besides those who wait, need this window to stay the one that appends are told to.
    """

    max_entries: int = MAX_ENTRIES
    max_bytes: int = MAX_BYTES
    tail: int = 0
    closed: bool = False
    known: bool = False
    dropped: bool = False
    mark: str = ""
    lost: tuple[int, int] | None = None
    size: int = 0
    held: int = 0
    _entries: list[Entry] = field(init=False, factory=list)
    _appends: deque[tuple[int, int]] = field(init=False, default=Factory(deque[tuple[int, int]]))
    _pages: dict[tuple[int, int], Page] = field(init=False, factory=dict)
    _waiting: set[asyncio.Future[None]] = field(init=False, factory=set)

    @classmethod
    def unbounded(cls) -> Window:
        """A window that keeps a whole log and is the authority on it."""
        return cls(max_entries=sys.maxsize, max_bytes=sys.maxsize, known=True)

    def extend(self, first_seq: int, events: Sequence[Event], *, size: int, closed: bool) -> None:
        """Take in one append that is durable now, `size` bytes when encoded, and wake everybody once."""
        last = first_seq + len(events) - 1
        if last >= self.tail:
            if first_seq != self.tail + 1:
                # This window was opened in the middle of the log, or learned of the tail before it was told.
                self.forget()
            self._entries.extend([Entry(seq, event) for seq, event in enumerate(events, first_seq)])
            self._appends.append((len(events), size))
            self.size += size
            self._trim()
            self.tail = last
        self._note(closed=closed)

    def learn(self, tail: int, *, closed: bool) -> None:
        """Take note of what storage said, unless an append has told more since."""
        if not self.known:
            self.tail = tail
            self._note(closed=closed)

    def skip(self, tail: int, *, closed: bool) -> None:
        """Take note that the log has gone on to `tail`; whoever wants the entries reads them from storage."""
        self.forget()
        self.tail = tail
        self._note(closed=closed)

    def lose(self, earliest: int, latest: int) -> None:
        """Say that the log was lost, and that storage has another in its place, which holds these seqs."""
        self.lost = earliest, latest
        self._wake()

    def drop(self) -> None:
        """Say that the log was forgotten."""
        self.dropped = True
        self._wake()

    def forget(self) -> None:
        """Let go of the entries; whoever wants them reads them from storage."""
        self._entries.clear()
        self._appends.clear()
        self._pages.clear()
        self.size = 0

    def covers(self, after: int) -> bool:
        """Whether `page` can answer for this position."""
        return self.known and self.tail - len(self._entries) <= after <= self.tail

    @property
    def count(self) -> int:
        """How many entries are held."""
        return len(self._entries)

    @property
    def earliest(self) -> int:
        """The seq of the first entry held."""
        return self.tail - len(self._entries) + 1

    def page(self, after: int, limit: int) -> Page:
        """The page at a position that is covered. Until the next append, the same one for the same position."""
        page = self._pages.get((after, limit))
        if page is None:
            start = after - (self.tail - len(self._entries))
            page = Page(tuple(self._entries[start : start + limit]), self.tail, self.closed)
            if len(self._pages) >= _MAX_PAGES:
                del self._pages[next(iter(self._pages))]
            self._pages[after, limit] = page
        return page

    async def wait(self, after: int, bell: Bell | None = None) -> bool:
        """As `RunLog.wait`. A position in a log that turns out to hold nothing is worth a look, too: there is a Gap.

        Raises:
            Gap: the log was lost, and there is another.
        """
        self._check_lost()
        if self.tail > after:
            return True
        if self.closed:
            return self._ends_elsewhere(after)
        if self.dropped or (after > 0 and self.tail == 0) or (bell is not None and bell.rung):
            return True
        news = asyncio.get_running_loop().create_future()
        self._waiting.add(news)
        if bell is not None:
            bell.sleeping = news
        try:
            # Once only: by the time the waiter runs again, another window may have taken this one's place.
            await news
        finally:
            self._waiting.discard(news)
        self._check_lost()
        return not self.closed or self._ends_elsewhere(after)

    @property
    def in_use(self) -> bool:
        """Whether somebody waits on this window, or holds it."""
        return bool(self._waiting or self.held)

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Keep this window from being evicted."""
        self.held += 1
        try:
            yield
        finally:
            self.held -= 1

    def _ends_elsewhere(self, after: int) -> bool:
        """Whether a reader who stands there has something to look for: more, or a Gap where the log was longer."""
        return self.tail != after

    def _check_lost(self) -> None:
        if self.lost is not None:
            raise Gap(*self.lost)

    def _note(self, *, closed: bool) -> None:
        self.closed = self.closed or closed
        self.known = True
        self._wake()

    def _wake(self) -> None:
        self._pages.clear()
        waiting, self._waiting = self._waiting, set()
        for news in waiting:
            if not news.done():
                news.set_result(None)

    def _trim(self) -> None:
        excess = 0
        while len(self._appends) > 1 and (len(self._entries) - excess > self.max_entries or self.size > self.max_bytes):
            count, size = self._appends.popleft()
            excess += count
            self.size -= size
        del self._entries[:excess]
