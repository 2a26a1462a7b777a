"""What is left of logs: where a run's begins and ends, and from where on a session is whole (P3.6).

Retention trims a session from its beginning, so that of its logs the first ones are trimmed and all later ones whole.
"""

from __future__ import annotations

from app.errors import Gap
from app.position import Position
from app.runlog.base import RunLog
from app.viewing.session_feed import SessionFeed


class Extents:
    """Answers from the logs themselves; a trimmed one holds its terminal and nothing else."""

    def __init__(self, log: RunLog) -> None:
        self._log = log

    async def of(self, run_id: str, sought: int = 0) -> tuple[int, int]:
        """The seqs of the first event that is left of a log, 1 while there is none, and of the last.

        What another process has appended may not be known here yet, but to whoever comes from there: the last seq is
        not before `sought` if that is in the log.
        """
        try:
            page = await self._log.read(run_id, 0, 1)
            if page.tail < sought:
                page = await self._log.read(run_id, sought, 1)
        except Gap as gap:
            return gap.earliest, gap.latest
        return 1, page.tail

    async def live(self, number: int, run_id: str) -> Position:
        """Before the session's last run if it is in progress, or else after it (P3.4)."""
        _, tail = await self.of(run_id)
        try:
            page = await self._log.read(run_id, tail, 1)
        except Gap:  # its session was deleted, just now
            return Position(number, tail)
        return Position(number, tail if page.closed and not page.entries else 0)

    async def lost(self, feed: SessionFeed, at: Position, latest: Position) -> bool:
        """Whether something of the session that comes after `at` can't be had, or `at` never was."""
        number = at.run or feed.first()
        run_id = feed.run_id(number)
        if run_id is None or at > latest:
            return at != latest
        first, tail = await self.of(run_id, at.seq)
        if first == 1:  # then all later logs are whole too
            return at.run == number and at.seq > tail
        earliest = await self.earliest(feed)
        return at.seq > tail or (at.run, at.seq) < (earliest.run, earliest.seq - 1)

    async def earliest(self, feed: SessionFeed) -> Position:
        """The first event from which on nothing is missing: of the logs that were trimmed, the last one's terminal."""
        numbers = feed.numbers()
        trimmed, whole = -1, len(numbers)
        earliest = Position(feed.first(), 1) if numbers else Position(0, 0)
        while whole - trimmed > 1:
            middle = (trimmed + whole) // 2
            first, _ = await self.of(feed.run_id(numbers[middle]) or "")
            if first == 1:
                whole = middle
            else:
                trimmed, earliest = middle, Position(numbers[middle], first)
        return earliest
