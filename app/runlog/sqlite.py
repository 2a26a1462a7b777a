"""SqliteLog: logs in an SQLite file of their own, one segment row per append. For one process; the default.

Appends go to one writer thread that commits what gathered (see `group_commit`); readers are told only after the
commit (P7.2). Reads at the live end are answered from memory, all others by reader threads.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import Final, TypeVar

from attrs import frozen

from app.errors import StoreUnavailable
from app.events import Event
from app.inspection import inspect
from app.measures import Measures
from app.runlog.base import Bell, Page, RunLog
from app.runlog.codec import encode_segment
from app.runlog.file_lock import FileLock
from app.runlog.group_commit import GroupCommit
from app.runlog.segment_reader import SegmentReader
from app.runlog.segment_writer import Append, Drop, SegmentWriter, Synchronous
from app.runlog.single_flight import SingleFlight
from app.runlog.windows import Windows

R = TypeVar("R")
_READERS: Final = 2
_REMEMBERED: Final = 15.0
"""Seconds for which a failed append says something about the next: longer than runs wait before they try again."""


@frozen(eq=False)
class _Job:
    change: Append | Drop
    events: Sequence[Event]
    done: asyncio.Future[None]


@frozen
class _Files:
    lock: FileLock
    writer: SegmentWriter
    readers: SimpleQueue[SegmentReader | None]

    @classmethod
    def open(cls, path: Path, synchronous: Synchronous) -> _Files:
        lock = FileLock(path)
        try:
            inspect(path)
            writer = SegmentWriter(path, synchronous)
            readers: SimpleQueue[SegmentReader | None] = SimpleQueue()
            for _ in range(_READERS):
                readers.put(SegmentReader(path))
        except BaseException:
            lock.release()
            raise
        return cls(lock, writer, readers)

    def read(self, ask: Callable[[SegmentReader], R]) -> R:
        reader = self.readers.get()
        if reader is None:
            self.readers.put(None)
            raise StoreUnavailable("the event log was shut")
        try:
            return ask(reader)
        finally:
            self.readers.put(reader)

    def close(self) -> None:
        for _ in range(_READERS):
            if (reader := self.readers.get()) is not None:
                reader.close()
        self.readers.put(None)  # who comes now is refused instead of waiting for one
        self.writer.close()
        self.lock.release()


class SqliteLog:
    """Logs in one file. Made by `open`, inside the event loop that uses it."""

    def __init__(self, files: _Files, measures: Measures) -> None:
        self._files = files
        self._measures = measures
        self._windows = Windows()
        self._writer: GroupCommit[_Job] = GroupCommit(self._commit, self._tell)
        self._threads = ThreadPoolExecutor(_READERS, thread_name_prefix="runlog-reader")
        self._share = SingleFlight()
        self._told = 0
        self._failed: tuple[float, StoreUnavailable] | None = None
        self._closed = False

    @classmethod
    async def open(
        cls, path: Path, *, synchronous: Synchronous = "normal", measures: Measures | None = None
    ) -> SqliteLog:
        """Open the file, or make it.

        Args:
            path: the file; a lock file is kept beside it.
            synchronous: `normal` survives the death of the process, `full` that of the machine as well (P7.2).
            measures: where its commits are counted.

        Raises:
            ConfigurationError: another process has it open, or it is no event log.
        """
        return cls(await asyncio.to_thread(_Files.open, path, synchronous), measures or Measures())

    @property
    def commits(self) -> int:
        """How many transactions were committed since it was opened."""
        return self._files.writer.commits

    async def append(self, run_id: str, first_seq: int, events: Sequence[Event], *, closed: bool = False) -> None:
        """As `RunLog.append`.

        Raises:
            StoreUnavailable: the disk is full, or fails, or the log was shut; nothing was written. Later appends may
                succeed.
            ValueError: `events` is empty.
        """
        body = encode_segment(events)
        await self._submit(Append(run_id, first_seq, len(events), body, closed), tuple(events))

    async def read(self, run_id: str, after: int, limit: int) -> Page:
        """As `RunLog.read`.

        Raises:
            StoreUnavailable: the file can't be read.
        """
        window = self._windows.get(run_id)
        if window is not None and window.covers(after):
            return window.page(after, limit)
        # Whoever asks after an append was told must not be given an answer from before it.
        return await self._share(
            ("page", run_id, after, limit, self._told),
            lambda: self._ask(lambda reader: reader.page(run_id, after, limit)),
        )

    async def wait(self, run_id: str, after: int, bell: Bell | None = None) -> bool:
        """As `RunLog.wait`."""
        window = self._windows.open(run_id)
        if not window.known:
            with window.hold():
                tail, closed = await self._share(
                    ("state", run_id, self._told), lambda: self._ask(lambda reader: reader.state(run_id))
                )
                window.learn(tail, closed=closed)
        return await window.wait(after, bell)

    async def drop(self, run_id: str) -> None:
        """As `RunLog.drop`.

        Raises:
            StoreUnavailable: as `append`.
        """
        await self._submit(Drop(run_id), ())

    def release(self, run_id: str) -> None:
        """As `RunLog.release`; there is no other process."""

    async def runs(self) -> list[str]:
        """As `RunLog.runs`."""
        return await self._ask(lambda reader: reader.runs())

    async def check(self) -> None:
        """As `RunLog.check`. It waits for its turn in the writer thread, and takes the file's lock there."""
        if self._failed is not None:
            failed_at, failure = self._failed
            if asyncio.get_running_loop().time() - failed_at < _REMEMBERED:
                raise StoreUnavailable("the last append failed") from failure
        await self._submit(Drop(""), ())  # of a log that nobody has: nothing is written
        await self._ask(lambda reader: reader.state(""))

    def suits(self, run_id: str) -> bool:  # noqa: ARG002
        """As `RunLog.suits`; all logs are in one place."""
        return True

    async def close(self) -> None:
        """As `RunLog.close`. Whoever waits is woken; whatever is asked afterwards raises StoreUnavailable."""
        if self._closed:
            return
        self._closed = True
        await self._writer.stop()
        self._windows.clear()
        await asyncio.to_thread(self._let_go)

    async def _submit(self, change: Append | Drop, events: Sequence[Event]) -> None:
        self._check_open()
        job = _Job(change, events, asyncio.get_running_loop().create_future())
        self._writer.submit(job)
        # A caller that is cancelled cancels only this future; the job is with the writer.
        await job.done

    async def _ask(self, ask: Callable[[SegmentReader], R]) -> R:
        self._check_open()
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._files.read, ask)

    def _check_open(self) -> None:
        if self._closed:
            raise StoreUnavailable("the event log was shut")

    def _commit(self, jobs: Sequence[_Job]) -> Sequence[Exception | None]:
        return self._files.writer.commit([job.change for job in jobs])

    def _tell(self, jobs: Sequence[_Job], outcomes: Sequence[Exception | None], took: float) -> None:
        self._told += 1
        if any(job.events for job in jobs):
            self._measures.commits.observe(took)
        for job, outcome in zip(jobs, outcomes, strict=True):
            if outcome is None:
                self._publish(job)
            self._remember(job, outcome)
            if job.done.done():
                continue
            if outcome is None:
                job.done.set_result(None)
            else:
                job.done.set_exception(outcome)

    def _publish(self, job: _Job) -> None:
        match job.change:
            case Append(run_id=run_id, first_seq=first_seq, body=body, closed=closed):
                self._windows.publish(run_id, first_seq, job.events, size=len(body), closed=closed)
            case Drop(run_id=run_id):
                self._windows.drop(run_id)

    def _remember(self, job: _Job, outcome: Exception | None) -> None:
        if job.events and isinstance(outcome, StoreUnavailable):
            self._failed = asyncio.get_running_loop().time(), outcome
        elif job.events and outcome is None:
            self._failed = None

    def _let_go(self) -> None:
        self._threads.shutdown()
        self._files.close()


_: type[RunLog] = SqliteLog
