"""MemoryLog as a process sees a disk: written by a writer, read after a while, and still there after a crash."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from attrs import frozen

from app.errors import Fenced
from app.events import Event
from app.runlog.base import Bell, Page, RunLog
from app.runlog.codec import encode_segment
from app.runlog.memory import MemoryLog
from app.runlog.segment_writer import Append, Drop
from tests.simulation.writing import Ledger, Life, LoopCommit


@frozen(eq=False)
class _Job:
    change: Append | Drop
    events: Sequence[Event]
    done: asyncio.Future[None]


class DistantLog:
    """What is decided at the commit is visible only once the writer has told of it, as in SqliteLog."""

    def __init__(self, life: Life, ledger: Ledger) -> None:
        self._life = life
        self._ledger = ledger
        self._memory = MemoryLog()
        self._writer = LoopCommit(self._decide, self._show, life=life, ledger=ledger)
        self._tails: dict[str, tuple[int, bool]] = {}

    @classmethod
    async def open(cls, life: Life, ledger: Ledger) -> DistantLog:
        """A log that holds what the ledger says."""
        log = cls(life, ledger)
        for run_id, kept in ledger.logs.items():
            if kept.events and not kept.dropped:
                await log._memory.append(run_id, 1, kept.events, closed=kept.closed)
                log._tails[run_id] = len(kept.events), kept.closed
        return log

    async def append(self, run_id: str, first_seq: int, events: Sequence[Event], *, closed: bool = False) -> None:
        body = encode_segment(events)
        await self._submit(Append(run_id, first_seq, len(events), body, closed), tuple(events))

    async def drop(self, run_id: str) -> None:
        await self._submit(Drop(run_id), ())

    def release(self, run_id: str) -> None:
        """There is one log, which every process sees at once."""

    async def read(self, run_id: str, after: int, limit: int) -> Page:
        await self._life.schedule.loop.pause()
        page = await self._memory.read(run_id, after, limit)
        await self._life.schedule.loop.pause()
        return page

    async def wait(self, run_id: str, after: int, bell: Bell | None = None) -> bool:
        # As in SqliteLog, whoever waits is known to be waiting at once; only the answer takes its time.
        more = await self._memory.wait(run_id, after, bell)
        await self._life.schedule.loop.pause()
        return more

    async def runs(self) -> list[str]:
        await self._life.schedule.loop.pause()
        return await self._memory.runs()

    async def check(self) -> None:
        await self._life.schedule.loop.pause()

    def suits(self, run_id: str) -> bool:
        """As `RunLog.suits`; all logs are in one place."""
        return True

    async def close(self) -> None:
        await self._writer.stop()
        await self._memory.close()

    async def _submit(self, change: Append | Drop, events: Sequence[Event]) -> None:
        job = _Job(change, events, asyncio.get_running_loop().create_future())
        self._writer.submit(job)
        await job.done

    def _decide(self, jobs: Sequence[_Job]) -> list[Exception | None]:
        return [self._verdict(job.change) for job in jobs]

    def _verdict(self, change: Append | Drop) -> Exception | None:
        if isinstance(change, Drop):
            self._tails.pop(change.run_id, None)
            return None
        tail, closed = self._tails.get(change.run_id, (0, False))
        if closed or tail != change.first_seq - 1:
            return Fenced(f"run {change.run_id}: an append at {change.first_seq}, but the log is at {tail}")
        self._tails[change.run_id] = tail + change.count, change.closed
        return None

    def _show(self, jobs: Sequence[_Job], outcomes: Sequence[Exception | None], _: float) -> None:
        for job, outcome in zip(jobs, outcomes, strict=True):
            if outcome is None:
                self._publish(job)
            if job.done.done():
                continue
            if outcome is None:
                job.done.set_result(None)
            else:
                job.done.set_exception(outcome)

    def _publish(self, job: _Job) -> None:
        match job.change:
            case Append(run_id=run_id, first_seq=first_seq, closed=closed):
                shown = self._memory.append(run_id, first_seq, job.events, closed=closed)
            case Drop(run_id=run_id):
                shown = self._memory.drop(run_id)
        # MemoryLog never waits for anything when it is written to.
        try:
            shown.send(None)
        except StopIteration:
            return
        raise AssertionError("MemoryLog waited")


class SharedLog(DistantLog):
    """What one process sees of a log that several write: what is decided is visible to all of them at once."""

    def __init__(self, life: Life, ledger: Ledger, memory: MemoryLog, tails: dict[str, tuple[int, bool]]) -> None:
        super().__init__(life, ledger)
        self._memory = memory
        self._tails = tails

    async def close(self) -> None:
        await self._writer.stop()

    def _decide(self, jobs: Sequence[_Job]) -> list[Exception | None]:
        outcomes = []
        for job in jobs:
            outcomes.append(self._verdict_on(job.change))
            if outcomes[-1] is None:
                self._publish(job)
        self._ledger.tell(jobs, outcomes)
        return outcomes

    def _verdict_on(self, change: Append | Drop) -> Exception | None:
        # A process that is held up between its look at the row and its first append may write to a deleted log. A
        # server forgets it after its time, and nobody finds it meanwhile; here it is as if that had happened.
        if isinstance(change, Append) and self._ledger.of(change.run_id).dropped:
            return Fenced(f"run {change.run_id}: its log was dropped")
        return self._verdict(change)

    def _show(self, jobs: Sequence[_Job], outcomes: Sequence[Exception | None], _: float) -> None:
        for job, outcome in zip(jobs, outcomes, strict=True):
            if job.done.done():
                continue
            if outcome is None:
                job.done.set_result(None)
            else:
                job.done.set_exception(outcome)


_: type[RunLog] = DistantLog
