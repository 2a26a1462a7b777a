"""What every process of a fleet does again and again: it finishes what others left, and finds what it was not told."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from typing import Final

import structlog
from attrs import evolve

from app.errors import Fenced, RunNotFound, StoreUnavailable
from app.hosting.deleting import Deletions
from app.hosting.ending import Stores
from app.hosting.host import Hosting
from app.hosting.recovery import finish
from app.hosts.base import Fleet
from app.meanwhile import meanwhile
from app.sessions.base import RunStatus, Unfinished
from app.viewing.audience import Audience

log = structlog.get_logger()

PAUSE: Final = 2.0
"""Seconds between two sweeps."""

_TRIES: Final = 3
_AT_ONCE: Final = 8
"""Sessions whose runs are finished at the same time."""

LOOK: Final = 10.0
"""Seconds after which those who view something here are told what they were not told when it happened."""

OVERDUE: Final = timedelta(seconds=15)
"""Time that a run's end may take from its row into its log and the archive; then others help."""

_LATE: Final = 3 * PAUSE
"""A process whose last sweep was longer ago may have been given up by the others."""

_ABANDONED: Final = timedelta(minutes=1)
"""Age of a deletion that whoever began it would have finished."""


class Sweep:
    """The sweep of one process."""

    def __init__(
        self, stores: Stores, fleet: Fleet, hosting: Hosting, deletions: Deletions, audience: Audience
    ) -> None:
        self._stores = evolve(stores, tries=_TRIES)
        self._fleet = fleet
        self._hosting = hosting
        self._deletions = deletions
        self._audience = audience
        self._looked = 0.0

    def sweeping(self) -> AbstractAsyncContextManager[None]:
        """Sweep every so often, while inside."""
        return meanwhile(self._sweep_for_ever())

    async def sweep(self, *, late: bool = False) -> None:
        """Look after everything once.

        Raises:
            StoreUnavailable: it can't be done now.
        """
        await self._look_at_own(thoroughly=late)
        await self._look_for_viewers()
        await self._finish_runs_of_gone_hosts()
        await self._finish_ends_that_got_stuck()
        for session_id in await self._stores.sessions.deleted_sessions(self._stores.clock() - _ABANDONED):
            self._hosting.spawn(self._deletions.carry_out(session_id))  # it may wait for what this sweep finishes

    async def gone(self) -> frozenset[str]:
        """The hosts that have died before their runs had ended."""
        hosts = await self._stores.sessions.hosts_with_unfinished_runs()
        return await self._fleet.gone(hosts - {self._fleet.name})

    async def _look_at_own(self, *, thoroughly: bool) -> None:
        """See in their rows what became of runs that wait here and, if asked to, of those that are executed here."""
        for run in (*self._hosting.waiting(), *(self._hosting.executed() if thoroughly else ())):
            row = await self._stores.sessions.get_run(run.session_id, run.id)
            if row is None or row.ended_at is not None:
                self._hosting.give_up(run)
            elif row.status is RunStatus.RUNNING:
                self._hosting.call(row)

    async def _look_for_viewers(self) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._looked >= LOOK:
            self._looked = now
            await self._audience.look()

    async def _finish_runs_of_gone_hosts(self) -> None:
        gone = await self.gone()
        if not gone:
            return
        left = await self._stores.sessions.unfinished_runs(gone)
        log.warning("hosts.gone", hosts=sorted(gone), runs=len(left))
        await self._finish_all(left)

    async def _finish_ends_that_got_stuck(self) -> None:
        """Carry out ends that were decided, whoever did: their log went on, or was lost, before it was closed."""
        before = self._stores.clock() - OVERDUE
        stuck = await self._stores.sessions.unfinished_runs(ended_before=before)
        await self._finish_all([left for left in stuck if self._hosting.get(left.run.id) is None])

    async def _finish_all(self, left: Sequence[Unfinished]) -> None:
        by_session: dict[str, list[Unfinished]] = {}
        # The last first: what waited behind a run must not begin when that ends, for nobody would execute it.
        for each in reversed(left):
            by_session.setdefault(each.run.session_id, []).append(each)
        gate = asyncio.Semaphore(_AT_ONCE)
        async with asyncio.TaskGroup() as group:  # one after the other they would take too long on a busy machine
            for runs in by_session.values():
                group.create_task(self._finish_one_by_one(runs, gate))

    async def _finish_one_by_one(self, runs: list[Unfinished], gate: asyncio.Semaphore) -> None:
        async with gate:
            for each in runs:
                await self._finish(each)

    async def _finish(self, left: Unfinished) -> None:
        try:
            await finish(self._stores, left, self._hosting.decide)
        except (Fenced, RunNotFound) as error:  # another one sweeps here too, or its host woke up
            log.info("run.finished_elsewhere", run_id=left.run.id, reason=str(error))
        except StoreUnavailable as error:
            log.warning("run.not_finished", run_id=left.run.id, retry_in=PAUSE, reason=str(error))

    async def _sweep_for_ever(self) -> None:
        loop = asyncio.get_running_loop()
        swept = loop.time()
        while True:
            await asyncio.sleep(PAUSE)
            began = loop.time()
            try:
                await self.sweep(late=began - swept > _LATE)
            except StoreUnavailable as error:
                log.warning("sweep.failed", retry_in=PAUSE, reason=str(error))
            except Exception:
                log.exception("sweep.failed", retry_in=PAUSE)
            else:
                swept = began
