"""The writer of a simulated log: GroupCommit without its thread, and a ledger of what it made durable."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from attrs import define, field

from app.errors import StoreUnavailable
from app.events import Event, Terminal
from app.runlog.segment_writer import Append, Drop
from tests.simulation.schedule import Schedule


@define
class Kept:
    """What the ledger knows of one log; that it was dropped makes it forget nothing.

    Attributes:
        told: how many of the events the log's readers may know of: those whose append was acknowledged.
    """

    events: list[Event] = field(factory=list)
    told: int = 0
    closed: bool = False
    dropped: bool = False

    @property
    def ended(self) -> bool:
        return bool(self.events) and isinstance(self.events[-1], Terminal)

    @property
    def seen_to_end(self) -> bool:
        return self.ended and self.told == len(self.events)


class Job(Protocol):
    change: Append | Drop
    events: Sequence[Event]
    done: asyncio.Future[None]


class Ledger:
    """Every event that was ever made durable, by run."""

    def __init__(self) -> None:
        self.logs: dict[str, Kept] = {}

    def of(self, run_id: str) -> Kept:
        return self.logs.setdefault(run_id, Kept())

    def note(self, change: Append | Drop, events: Sequence[Event]) -> None:
        kept = self.of(change.run_id)
        if isinstance(change, Drop):
            kept.dropped = True
            return
        assert not kept.closed, f"an append to the closed log of {change.run_id}"
        assert change.first_seq == len(kept.events) + 1, f"a hole in the log of {change.run_id}"
        kept.events += events
        kept.closed = change.closed

    def tell(self, batch: Sequence[Job], outcomes: Sequence[Exception | None]) -> None:
        """Everybody may know of these changes now."""
        for job, outcome in zip(batch, outcomes, strict=True):
            if outcome is None and isinstance(job.change, Append):
                kept = self.of(job.change.run_id)
                kept.told = max(kept.told, job.change.first_seq + job.change.count - 1)

    def tell_all(self) -> None:
        """A new process has read everything."""
        for kept in self.logs.values():
            kept.told = len(kept.events)


class Life:
    """One life of the process: everything that works on disks asks whether it is over."""

    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule
        self.dead = False
        self.faults = 0.0
        self.struck = False

    def strikes(self) -> bool:
        """Whether the disk fails now."""
        struck = bool(self.faults) and self.schedule.chance(self.faults)
        self.struck = self.struck or struck
        return struck


class LoopCommit:
    """As GroupCommit: jobs are carried out in batches of what gathered. Here a task of the loop does it."""

    def __init__(
        self,
        commit: Callable[[Sequence[Any]], Sequence[Exception | None]],
        tell: Callable[[Sequence[Any], Sequence[Exception | None], float], None],
        *,
        life: Life,
        ledger: Ledger,
    ) -> None:
        self._commit = commit
        self._tell = tell
        self._life = life
        self._ledger = ledger
        self._jobs: list[Any] = []
        self._working: asyncio.Task[None] | None = None

    def submit(self, job: Any) -> None:
        self._jobs.append(job)
        if self._working is None:
            self._working = asyncio.get_running_loop().create_task(self._work(), name="log writer")

    async def stop(self) -> None:
        while self._working is not None:
            await asyncio.wait({self._working})

    async def _work(self) -> None:
        loop = self._life.schedule.loop
        try:
            while self._jobs and not self._life.dead:
                await loop.pause()
                batch, self._jobs = self._jobs, []
                outcomes = self._carry_out(batch)
                await loop.pause()
                if not self._life.dead:
                    self._tell(batch, outcomes, 0.0)
                    self._ledger.tell(batch, outcomes)
        finally:
            self._working = None

    def _carry_out(self, batch: Sequence[Job]) -> Sequence[Exception | None]:
        if self._life.dead:
            raise asyncio.CancelledError
        if self._life.strikes():
            self._life.schedule.say("disk", "takes none of", len(batch), "changes")
            return [StoreUnavailable("the disk is full") for _ in batch]
        outcomes = self._commit(batch)
        for job, outcome in zip(batch, outcomes, strict=True):
            if outcome is None:
                self._ledger.note(job.change, job.events)
        return outcomes
