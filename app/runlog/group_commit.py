"""Group commit: one thread that carries out jobs in batches, as large as what arrived during the batch before.

There is no timer: an idle writer starts at once, a busy one finds everything that came meanwhile. It knows nothing of
what the jobs are.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Generic, TypeVar

J = TypeVar("J")
Outcome = Exception | None


class GroupCommit(Generic[J]):
    """The writer thread. Made inside a running event loop, which it reports to.

    Args:
        commit: called in the thread with a batch; answers, for each job, None or why it failed. It must not raise.
        tell: called in the event loop, once per batch and in order, with the batch, its outcomes, and the seconds that
            it took to commit.
    """

    def __init__(
        self,
        commit: Callable[[Sequence[J]], Sequence[Outcome]],
        tell: Callable[[Sequence[J], Sequence[Outcome], float], None],
    ) -> None:
        self._commit = commit
        self._tell = tell
        self._jobs: SimpleQueue[J | None] = SimpleQueue()
        self._loop = asyncio.get_running_loop()
        self._stopped = asyncio.Event()
        Thread(target=self._work, name="runlog-writer", daemon=True).start()

    def submit(self, job: J) -> None:
        """Hand over a job. It is carried out whatever becomes of the caller."""
        self._jobs.put(job)

    async def stop(self) -> None:
        """Carry out what was submitted before, then end the thread."""
        self._jobs.put(None)
        await self._stopped.wait()

    def _work(self) -> None:
        while True:
            batch = self._gather()
            jobs = [job for job in batch if job is not None]
            began = time.perf_counter()
            outcomes = self._commit(jobs) if jobs else []
            took = time.perf_counter() - began
            stopping = len(jobs) < len(batch)
            try:
                self._loop.call_soon_threadsafe(self._report, jobs, outcomes, took, stopping)
            except RuntimeError:
                # The loop was closed without `stop`: there is nobody left to tell, now or later.
                return
            if stopping:
                return

    def _gather(self) -> list[J | None]:
        batch = [self._jobs.get()]
        try:
            while True:
                batch.append(self._jobs.get_nowait())
        except Empty:
            return batch

    def _report(self, jobs: Sequence[J], outcomes: Sequence[Outcome], took: float, stopping: bool) -> None:
        if jobs:
            self._tell(jobs, outcomes, took)
        if stopping:
            self._stopped.set()
