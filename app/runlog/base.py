"""The RunLog port: what every backend guarantees, and no more.

A log holds the events of one run, numbered by seq 1, 2, 3 … without a hole; it is append-only and closed once, by
its terminal event. `tests/runlog/test_contract.py` is this page as tests, run over every backend.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

from attrs import frozen

from app.events import Event


@frozen
class Entry:
    """One event and its seq."""

    seq: int
    event: Event


@frozen
class Page:
    """Entries in order, without a hole; `tail` is the log's last seq at that time, `closed` says that it stays so."""

    entries: tuple[Entry, ...]
    tail: int
    closed: bool


class Bell:
    """Lets one reader go on although its log has no news. Once rung, it stays so until it is cleared.

    Attributes:
        rung: whether it was rung since.
        sleeping: what the reader waits on, while it does; set by the log.
    """

    __slots__ = ("rung", "sleeping")

    def __init__(self) -> None:
        self.rung = False
        self.sleeping: asyncio.Future[None] | None = None

    def ring(self) -> None:
        """Wake the reader, now or as soon as it would wait."""
        self.rung = True
        if self.sleeping is not None and not self.sleeping.done():
            self.sleeping.set_result(None)

    def clear(self) -> None:
        """The reader has looked."""
        self.rung = False


class RunLog(Protocol):
    """Logs, each under the id of its run."""

    async def append(self, run_id: str, first_seq: int, events: Sequence[Event], *, closed: bool = False) -> None:
        """Append `events` as `first_seq`, `first_seq + 1`, … : all of them, or none.

        They are durable when this returns, and visible to `read` and `wait` only then (P7.2). `closed` makes the last
        of them the log's last. Appends of many runs that arrive together share one commit. If the caller is cancelled
        while it waits, the append is still carried out whole.

        Raises:
            Fenced: the log is closed, or its tail is not `first_seq - 1`. Nothing was written.
            Lost: a Fenced; storage has lost what the same writer appended before. An append that closes the log is
                taken nevertheless, in its place, and is then all that is left of the log.
        """

    async def read(self, run_id: str, after: int, limit: int) -> Page:
        """Read up to `limit` entries that come strictly after seq `after`.

        A log that nobody has written to is empty and open.

        Raises:
            Gap: `after` lies beyond the tail, or before what the log still holds.
        """

    async def wait(self, run_id: str, after: int, bell: Bell | None = None) -> bool:
        """Wait until there may be entries after `after`: True. False when there never will be: closed at `after`.

        It may return True early, never late; it does when `bell` is rung. Where other processes write, it does so every
        few seconds while the log is empty: it may have come, and gone to an archive, without a word being heard.

        Raises:
            Gap: storage has lost the log, and has another in its place.
        """

    async def drop(self, run_id: str) -> None:
        """Forget a log. Whoever waits on it is woken; nothing happens if there is none."""

    def release(self, run_id: str) -> None:
        """Take note that another process closed the log, which this one appended to: what is known of it here is old.

        Whoever waits on it is woken, and finds what there is.
        """

    async def runs(self) -> list[str]:
        """The ids of the runs whose logs are kept here, open or closed, in any order."""

    async def check(self) -> None:
        """Return if logs can be written and read, as far as can be told without writing anything.

        Raises:
            StoreUnavailable: the last append failed for a reason that may last, or storage can't be read.
        """

    def suits(self, run_id: str) -> bool:
        """Whether a log of this id could be written when `check` looked last: another id may be luckier."""

    async def close(self) -> None:
        """Finish what was begun and let go of files and threads."""


class Archive(Protocol):
    """Where closed logs go: one opaque value per run."""

    async def put_archive(self, run_id: str, body: bytes, *, trimmed: bool = False) -> None:
        """Keep `body`, durably when this returns. Putting the same run again replaces it.

        `trimmed` says that it is what retention left of an earlier one (P3.6).
        """

    async def awaits_archive(self, run_id: str) -> bool:
        """Whether the run is there, and has no archive yet."""

    async def get_archive(self, run_id: str) -> bytes | None:
        """What was kept for this run, or None."""
