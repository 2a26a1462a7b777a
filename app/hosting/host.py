"""The runs that this process executes: accepted, started when their turn comes, watched, stopped."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any, TypeVar

import anyio
import structlog
from attrs import frozen

from app.agents.base import Agent, Turn
from app.errors import Fenced, RunNotFound, StoreUnavailable
from app.events import RunCancelled, Terminal
from app.hosting.attendance import Attendance
from app.hosting.doubts import Doubts
from app.hosting.elsewhere import Elsewhere
from app.hosting.ending import INTERRUPTED, Closing, Stores, close_log, insist, outcome_of, recorder_of
from app.hosting.limits import RunLimits
from app.hosting.run import HostedRun
from app.hosting.telling import Teller
from app.sessions.base import NewRun, Outcome, Run, RunStatus, Started
from app.telemetry import RunWatch

log = structlog.get_logger()
T = TypeVar("T")

_LAST_WORDS = 15.0
"""Seconds that runs have to write their terminals once they were interrupted."""

_LAST_WORDS_AMONG_OTHERS = 4.0
"""The same where another process ends what is left."""

_SUPERSEDED = "a newer message took its place"


@frozen
class _Accepted:
    """A run that is to be executed, and what that takes."""

    run: Run
    agent: Agent
    prepare: Callable[[Run], Awaitable[Turn]]
    watch: Callable[[Run], RunWatch]


class Hosting:
    """This process as a host.

    Args:
        elsewhere: the runs of others.
        tell: told what becomes of runs, before any log shows it.
        attendance: told which runs end when nobody follows them; it tells `stop`.

    Attributes:
        name: the host's name in the rows of its runs.
    """

    def __init__(
        self, stores: Stores, elsewhere: Elsewhere, tell: Teller, limits: RunLimits, attendance: Attendance
    ) -> None:
        self.name = elsewhere.here
        self._stores = stores
        self._elsewhere = elsewhere
        self._tell = tell
        self._limits = limits
        self._attendance = attendance
        self._hosted: dict[str, HostedRun] = {}
        self._waiting: dict[str, _Accepted] = {}
        self._called_early: dict[str, Run] = {}
        self._closings: dict[str, asyncio.Task[None]] = {}
        self._inserting: dict[str, asyncio.Task[Started]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()  # asyncio itself holds tasks by weak references only
        self._doubts = Doubts(stores.sessions, self._close_unbegun)
        self._draining = False
        stores.telemetry.measures.queued = lambda: len(self._waiting)

    def get(self, run_id: str) -> HostedRun | None:
        """The run, while it is executed here."""
        return self._hosted.get(run_id)

    def sessions(self) -> set[str]:
        """The ids of the sessions that have a run here, in progress or waiting."""
        return {run.session_id for run in (*self.executed(), *self.waiting())}

    def has(self, run_id: str) -> bool:
        """Whether the run is executed here, or waits to be."""
        return run_id in self._hosted or run_id in self._waiting

    async def start(
        self,
        session_id: str,
        new: NewRun,
        agent: Agent,
        prepare: Callable[[Run], Awaitable[Turn]],
        watch: Callable[[Run], RunWatch],
        *,
        cancel_when_left: bool,
    ) -> Started:
        """Insert the run, and execute it when its turn comes, whatever becomes of the caller meanwhile.

        Raises:
            SessionNotFound, RunActive, QueueFull, IdempotencyMismatch: nothing was started.
            StoreUnavailable: nothing was, or it is ended before it begins.
        """

        async def insert() -> Started:
            try:
                started = await self._stores.sessions.start_run(session_id, new)
            except StoreUnavailable:
                self._doubts.add(session_id, new.id)
                raise
            if started.created:
                self._tell.waits(session_id, started.waiting)
                self._accept(_Accepted(started.run, agent, prepare, watch), attended=cancel_when_left)
                if started.interrupts is not None:
                    self._interrupt(session_id, started.interrupts)
            return started

        task = self._inserting[new.id] = self.spawn(insert())
        task.add_done_callback(lambda task: self._inserted(new.id, task))
        return await asyncio.shield(task)

    def _inserted(self, run_id: str, task: asyncio.Task[Started]) -> None:
        del self._inserting[run_id]
        if not task.cancelled():
            task.exception()  # marks a refusal as seen, in case its caller has left

    async def settle(self) -> None:
        """Wait for the starts that are on their way."""
        if self._inserting:
            await asyncio.wait(self._inserting.values())

    def call(self, run: Run) -> None:
        """Have a run executed that waited, by its host: its turn has come."""
        if self._elsewhere.executes(run):
            self._elsewhere.begin(run)
        elif self._draining:
            self._stop(run.id, INTERRUPTED)
        else:
            self._begin(run)

    def stop(self, run_id: str, reason: str) -> None:
        """Cancel a run, if it is executed here, or waits to be."""
        self._stop(run_id, RunCancelled("", reason))

    def lose(self, run_id: str, had: int, has: int) -> None:
        """End a run that is executed here, for its log, which was there up to `had`, is there only up to `has`."""
        if (hosted := self._hosted.get(run_id)) is not None:
            self.spawn(self._lose(hosted, had, has))

    async def end(self, run_ids: Iterable[str], reason: str) -> None:
        """Cancel those runs that are executed here or wait to be, the last first, until they have their terminals."""
        for run_id in run_ids:
            self.stop(run_id, reason)
            if (closing := self._closings.get(run_id)) is not None:
                await asyncio.wait({closing})
            if (hosted := self._hosted.get(run_id)) is not None:
                await hosted.done.wait()

    def drain(self) -> None:
        """Let nothing that waits begin any more."""
        self._draining = True

    async def close(self, grace: float) -> None:
        """Give runs `grace` seconds to end by themselves; end the rest, and what waits, with `run_interrupted`."""
        self.drain()
        await self._doubts.close()
        for run_id in list(self._waiting):
            self._stop(run_id, INTERRUPTED)
        if self._tasks and grace > 0:
            log.info("host.waiting", runs=len(self._hosted), seconds=grace, hint="a second signal ends them now")
            await asyncio.wait(self._tasks, timeout=grace)
        with anyio.move_on_after(_LAST_WORDS_AMONG_OTHERS if self._elsewhere.shared else _LAST_WORDS):
            while self._tasks:
                self.interrupt()
                # A start that was on its way makes one more run to stop.
                await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        for (
            task
        ) in self._tasks:  # the storage takes nothing; another process, or the next start-up, finishes what is left
            task.cancel()

    def interrupt(self) -> None:
        """End every run now, with `run_interrupted`."""
        for run_id in (*self._waiting, *self._hosted):
            self._stop(run_id, INTERRUPTED)

    def spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Have work carried out whatever becomes of the caller; `close` waits for it."""
        # An empty context: a run must not carry the request that happened to start it.
        task = asyncio.get_running_loop().create_task(work, context=contextvars.Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def decide(self, run: Run, outcome: Outcome) -> bool:
        """Write how a run ended to its row, if nobody has; what waited behind it begins."""
        sessions = self._stores.sessions
        promote = self._elsewhere.shared or not self._draining  # another process may have what waits
        ended = await insist(lambda: sessions.finish_run(run.id, outcome, promote=promote), run_id=run.id)
        if ended is None:
            return False
        if ended.next is not None:
            self.call(ended.next)
        await insist(lambda: self._tell.ended(run.session_id), run_id=run.id)
        return True

    def waiting(self) -> list[Run]:
        """The runs that wait here, as they were accepted."""
        return [accepted.run for accepted in self._waiting.values()]

    def executed(self) -> list[Run]:
        """The runs that are executed here, as they began."""
        return [hosted.run for hosted in self._hosted.values()]

    def give_up(self, run: Run) -> None:
        """Another process has ended the run, which had not heard of this one for a while."""
        if self._waiting.pop(run.id, None) is not None:
            self._forget(run.id)
        self._stop(run.id, INTERRUPTED)

    # behind the doors

    def _stop(self, run_id: str, terminal: Terminal) -> None:
        if (hosted := self._hosted.get(run_id)) is not None:
            hosted.stop(terminal)
        elif (accepted := self._waiting.pop(run_id, None)) is not None:
            closing = self._closings[run_id] = self.spawn(self._close_unbegun(accepted.run, terminal))
            closing.add_done_callback(lambda _: self._forget(run_id))

    def _accept(self, accepted: _Accepted, *, attended: bool) -> None:
        run = accepted.run
        self._waiting[run.id] = accepted
        if attended:
            self._attendance.watch(run.id, run.session_id)
        called = run if run.status is RunStatus.RUNNING else self._called_early.pop(run.id, None)
        if called is not None:
            self._begin(called)

    def _begin(self, run: Run) -> None:
        """Execute a run whose turn has come."""
        if (accepted := self._waiting.pop(run.id, None)) is not None:
            watch = accepted.watch(run)
            hosted = HostedRun(run, accepted.agent, accepted.prepare, self._stores, self._limits, self.decide, watch)
            self._hosted[run.id] = hosted
            if not self._tell.began(run):
                self.spawn(insist(lambda: self._tell.refresh(run.session_id), run_id=run.id))
            self.spawn(hosted.execute()).add_done_callback(lambda _: self._forget(run.id))
        elif run.id in self._inserting and run.id not in self._closings:
            self._called_early[run.id] = run  # its insert was committed, and its task has not heard of that yet

    def _interrupt(self, session_id: str, run_id: str) -> None:
        if self.has(run_id) or not self._elsewhere.shared:
            self.stop(run_id, _SUPERSEDED)
        else:
            self.spawn(self._elsewhere.insist(session_id, run_id, _SUPERSEDED))

    async def _lose(self, hosted: HostedRun, had: int, has: int) -> None:
        run_id = hosted.run.id
        # Before it ends here: an archive that is there now was made by another process, which took this one for dead.
        if await insist(lambda: self._stores.sessions.awaits_archive(run_id), run_id=run_id):
            log.error("runlog.lost", run_id=run_id, had=had, has=has)
        hosted.lose()

    async def _close_unbegun(self, run: Run, terminal: Terminal) -> None:
        closing = Closing(recorder_of(run).end(terminal), 0)
        outcome = outcome_of(terminal, last_seq=closing.last_seq, output="", at=self._stores.clock())
        try:
            await close_log(self._stores, run, outcome, closing, self.decide)
        except (Fenced, RunNotFound) as error:
            log.warning("run.lost", run_id=run.id, reason=str(error))

    def _forget(self, run_id: str) -> None:
        self._hosted.pop(run_id, None)
        self._closings.pop(run_id, None)
        self._attendance.forget(run_id)
