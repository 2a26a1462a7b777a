"""The runs that this process executes: started, watched, stopped."""

from __future__ import annotations

import asyncio
import contextvars
import secrets
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

import anyio
import structlog

from app.agents.base import Agent, Turn
from app.events import RunCancelled
from app.host import INTERRUPTED, HostedRun, Stores
from app.sessions.base import NewRun, Run, Started

log = structlog.get_logger()
T = TypeVar("T")

_LAST_WORDS = 15.0
"""Seconds that runs have to write their terminals once they were interrupted."""


class Hosting:
    """This process as a host.

    Args:
        disconnect_grace: seconds without a viewer after which a run that asked for it is cancelled (P3.11).
        on_start: told every run that is started, whether or not its caller is still there.

    Attributes:
        name: the host's name in the rows of its runs.
    """

    def __init__(self, stores: Stores, *, disconnect_grace: float, on_start: Callable[[Run], None]) -> None:
        self.name = secrets.token_hex(8)
        self._stores = stores
        self._grace = disconnect_grace
        self._on_start = on_start
        self._hosted: dict[str, HostedRun] = {}
        self._unwatched: dict[str, asyncio.TimerHandle | None] = {}
        self._inserting: set[asyncio.Task[Started]] = set()
        self._tasks: set[asyncio.Task[Any]] = set()  # asyncio itself holds tasks by weak references only

    def get(self, run_id: str) -> HostedRun | None:
        """The run, while it is executed here."""
        return self._hosted.get(run_id)

    async def start(
        self,
        session_id: str,
        new: NewRun,
        agent: Agent,
        prepare: Callable[[Run], Awaitable[Turn]],
        *,
        cancel_when_left: bool,
    ) -> Started:
        """Insert the run and execute it; a caller that is cancelled meanwhile leaves no row that nobody executes.

        Raises:
            SessionNotFound, RunActive, IdempotencyMismatch: nothing was started.
        """

        async def insert() -> Started:
            started = await self._stores.sessions.start_run(session_id, new)
            if started.created:
                run = started.run
                self._execute(HostedRun(run, agent, lambda: prepare(run), self._stores), watch=cancel_when_left)
                self._on_start(run)
            return started

        task = self._spawn(insert())
        self._inserting.add(task)
        task.add_done_callback(self._inserting.discard)
        return await asyncio.shield(task)

    async def settle(self) -> None:
        """Wait for the starts that are on their way."""
        if self._inserting:
            await asyncio.wait(self._inserting)

    def stop(self, run_id: str, reason: str) -> None:
        """Cancel a run, if it is executed here."""
        if (hosted := self._hosted.get(run_id)) is not None:
            hosted.stop(RunCancelled("", reason))

    def viewers_changed(self, run_id: str, count: int) -> None:
        """Start or stop the grace period of a run that ends when everybody has left."""
        if run_id not in self._unwatched:
            return
        if (timer := self._unwatched[run_id]) is not None:
            timer.cancel()
        self._unwatched[run_id] = None if count else self._timer(run_id)

    async def close(self, grace: float) -> None:
        """Give runs `grace` seconds to end by themselves; end the rest with `run_interrupted`."""
        if self._tasks and grace > 0:
            log.info("host.waiting", runs=len(self._hosted), seconds=grace, hint="a second signal ends them now")
            await asyncio.wait(self._tasks, timeout=grace)
        with anyio.move_on_after(_LAST_WORDS):
            while self._tasks:
                self.interrupt()
                # A start that was on its way makes one more run to stop.
                await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in self._tasks:  # the storage takes nothing; the next start-up finishes what is left
            task.cancel()

    def interrupt(self) -> None:
        """End every run now, with `run_interrupted`."""
        for hosted in self._hosted.values():
            hosted.stop(INTERRUPTED)

    def _execute(self, hosted: HostedRun, *, watch: bool) -> None:
        run_id = hosted.run.id
        self._hosted[run_id] = hosted
        if watch:
            self._unwatched[run_id] = self._timer(run_id)
        self._spawn(hosted.execute()).add_done_callback(lambda _: self._forget(run_id))

    def _forget(self, run_id: str) -> None:
        del self._hosted[run_id]
        if (timer := self._unwatched.pop(run_id, None)) is not None:
            timer.cancel()

    def _timer(self, run_id: str) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(self._grace, self.stop, run_id, "every viewer has left")

    def _spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        # An empty context: a run must not carry the request that happened to start it.
        task = asyncio.get_running_loop().create_task(work, context=contextvars.Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
