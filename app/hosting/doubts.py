"""Starts that failed, and may have been carried out all the same: the commit was done, and its answer lost."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

import structlog

from app.events import RunFailed, Terminal
from app.hosting.ending import insist
from app.sessions.base import Run, SessionStore

log = structlog.get_logger()

_UNHEARD: Final = RunFailed("run_interrupted", "the storage did not say that this run was started")


class Doubts:
    """Runs that nobody executes if they are there: they are looked for once the storage answers, and ended.

    Otherwise such a run would be in progress, in its session's way, until its host is gone.

    Args:
        end: ends a run that never began.
    """

    def __init__(self, rows: SessionStore, end: Callable[[Run, Terminal], Awaitable[None]]) -> None:
        self._rows = rows
        self._end = end
        self._runs: dict[str, str] = {}
        self._looking: asyncio.Task[None] | None = None

    def add(self, session_id: str, run_id: str) -> None:
        """Look for this run later."""
        self._runs[run_id] = session_id
        if self._looking is None or self._looking.done():
            work = self._look_for_all()
            self._looking = asyncio.get_running_loop().create_task(work, context=contextvars.Context())

    async def close(self) -> None:
        """Look no more; what is left is found by whoever finishes the runs of a host that is gone."""
        if self._looking is not None:
            self._looking.cancel()
            with suppress(asyncio.CancelledError):
                await self._looking

    async def _look_for_all(self) -> None:
        while self._runs:
            run_id, session_id = next(iter(self._runs.items()))
            run = await insist(self._reading(session_id, run_id), run_id=run_id)
            if run is not None and run.ended_at is None:
                log.warning("run.unheard_of", run_id=run_id, session_id=session_id)
                await self._end(run, _UNHEARD)
            del self._runs[run_id]

    def _reading(self, session_id: str, run_id: str) -> Callable[[], Awaitable[Run | None]]:
        return lambda: self._rows.get_run(session_id, run_id)
