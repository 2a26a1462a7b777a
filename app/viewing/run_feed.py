"""What the viewers of a run share: its batches, each made once per dialect, and word of the end of its session.

A feed lives while somebody views the run. A viewer itself is a cursor and nothing more (protocol, section 1).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Sequence

from app.dialects.base import Batch, Dialect
from app.errors import SessionNotFound
from app.position import Position
from app.runlog.base import Bell, Page
from app.runlog.compaction import compact

_BEHIND = 64
"""A page of more entries than this goes to a viewer who is behind, and is compacted (P3.5)."""

_KEPT_BYTES = 8 * 1024 * 1024
_GONE = 100_000
"""How many runs are remembered that are not viewed any more."""

_Key = tuple[str, int, int]


class RunFeed:
    """One run's batches, each made once per dialect however many viewers are due it.

    Attributes:
        session_id: the session that it is of.
        viewers: how many viewers follow the run now.
        gone: nobody may, any more.
        tail: the seq of its last event that any of them has read of.
        left: set when the last viewer left.
    """

    def __init__(self, number: int, run_id: str, session_id: str) -> None:
        self.number = number
        self.run_id = run_id
        self.session_id = session_id
        self.viewers = 0
        self.gone = False
        self.tail = 0
        self.left = asyncio.Event()
        self._batches: dict[_Key, Batch] = {}
        self._size = 0
        self._bells: set[Bell] = set()

    @contextlib.contextmanager
    def listen(self) -> Iterator[Bell]:
        """A bell that is rung when the run is gone, while inside."""
        bell = Bell()
        self._bells.add(bell)
        try:
            yield bell
        finally:
            self._bells.discard(bell)

    def end(self) -> None:
        """Nobody may view the run any more."""
        self.gone = True
        for bell in self._bells:  # whoever waits for an event of it would do so for ever
            bell.ring()

    def batch(self, dialect: Dialect, page: Page) -> Batch:
        """The page in the words of `dialect`."""
        entries = page.entries
        key = (dialect.name, entries[0].seq, entries[-1].seq)
        if (batch := self._batches.get(key)) is not None:
            return batch
        self.tail = max(self.tail, page.tail)
        if len(entries) == 1:
            batch = Batch(dialect.frames(Position(self.number, entries[0].seq), entries[0].event))
        elif len(entries) <= _BEHIND:
            singles = (self.batch(dialect, Page((entry,), page.tail, page.closed)) for entry in entries)
            batch = Batch(frame for single in singles for frame in single.frames)
        else:
            merged = compact(entries)
            batch = Batch(f for entry in merged for f in dialect.frames(Position(self.number, entry.seq), entry.event))
        self._keep(key, batch)
        return batch

    def forget(self) -> None:
        """Keep no batches: the log is not what it was."""
        self._batches.clear()
        self._size = self.tail = 0

    def _keep(self, key: _Key, batch: Batch) -> None:
        self._batches[key] = batch
        self._size += batch.size
        while self._size > _KEPT_BYTES:
            oldest = next(iter(self._batches))
            self._size -= self._batches.pop(oldest).size


class RunFeeds:
    """The feeds of the runs that are being viewed here.

    Args:
        on_count: told a run's id and its number of viewers whenever that changes.
    """

    def __init__(self, on_count: Callable[[str, int], None]) -> None:
        self._feeds: dict[str, RunFeed] = {}
        self._gone: dict[str, None] = {}
        self._on_count = on_count

    def viewers(self, run_id: str) -> int:
        """How many viewers follow a run."""
        feed = self._feeds.get(run_id)
        return feed.viewers if feed else 0

    def by_session(self) -> dict[str, list[str]]:
        """The ids of the runs that are viewed, by their sessions."""
        found: dict[str, list[str]] = {}
        for feed in self._feeds.values():
            found.setdefault(feed.session_id, []).append(feed.run_id)
        return found

    @contextlib.contextmanager
    def view(self, number: int, run_id: str, session_id: str) -> Iterator[RunFeed]:
        """Count as a viewer of the run while inside.

        Raises:
            SessionNotFound: nobody may, any more.
        """
        self.check(run_id)
        feed = self._feeds.setdefault(run_id, RunFeed(number, run_id, session_id))
        feed.viewers += 1
        self._on_count(run_id, feed.viewers)
        try:
            yield feed
        finally:
            feed.viewers -= 1
            if feed.viewers == 0:
                del self._feeds[run_id]
                feed.left.set()
            self._on_count(run_id, feed.viewers)

    def check(self, run_id: str) -> None:
        """Return if the run may be viewed.

        Raises:
            SessionNotFound: nobody may, any more.
        """
        if run_id in self._gone:
            raise SessionNotFound("the session was deleted")

    async def empty(self, run_ids: Sequence[str]) -> None:
        """Wait until those who view these runs have left."""
        for feed in [self._feeds[run_id] for run_id in run_ids if run_id in self._feeds]:
            await feed.left.wait()

    def forbid(self, run_ids: Sequence[str]) -> None:
        """Let nobody view these runs any more, whoever does now included; ids are never reused."""
        for feed in [self._feeds[run_id] for run_id in run_ids if run_id in self._feeds]:
            feed.end()
        self._gone.update(dict.fromkeys(run_ids))
        while len(self._gone) > _GONE:
            del self._gone[next(iter(self._gone))]
