"""One run being executed here: the agent's task on one side, its log on the other.

The agent only fills a buffer; this side takes what gathered there, appends it in one go, and comes back for more, so
the append in progress is the batching window. How the run ended is decided in its row, then written to the log: from
out here, so that neither a crash nor an agent that will not stop can leave a run without its terminal (P7.1).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec
import structlog

from app.agents.base import Agent, Approval, Turn
from app.errors import AgentError, Fenced, Lost, RunNotFound, StoreUnavailable
from app.events import ApprovalRequested, Event, RunFailed, StreamEnd, Terminal
from app.hosting.approvals import Approvals
from app.hosting.ending import LOST, Closing, Decide, Stores, close_log, insist, outcome_of, recorder_of, unexpected
from app.hosting.limits import Allowance, RunLimits, Timekeeper
from app.recorder_values import agents_own
from app.sessions.base import Outcome, Run
from app.telemetry import RunWatch

log = structlog.get_logger()

_AHEAD = 256
"""Events that an agent may have said before they are in its log; then it waits."""

_TURN = 32
"""How often an agent that never waits lets everybody else have a turn."""

_LEFT_BEHIND: Final[set[asyncio.Task[None]]] = set()
"""Agents that would not stop. If nothing held them they would be collected while they wait, with a traceback each."""

_DELAYS: Final = (0.1, 0.5, 1.0, 2.0, 4.0, 8.0)
"""Seconds after which what the agent is told is gathered again, if the storage failed."""

_STOP_GRACE = 5.0
"""Seconds that an agent has to stop after it was cancelled (P4.6)."""

_LOST_GRACE = 1.0
"""The same when its log was lost: viewers have nothing before they have the terminal."""


class HostedRun:
    """A run that this process executes.

    Args:
        run: its row, as it was when its turn came.
        prepare: gathers what the agent is told; when it fails, so does the run.
        watch: told of what operators want to know.

    Attributes:
        done: set once the terminal is in the log, or somebody else wrote one.
    """

    def __init__(
        self,
        run: Run,
        agent: Agent,
        prepare: Callable[[Run], Awaitable[Turn]],
        stores: Stores,
        limits: RunLimits,
        decide: Decide,
        watch: RunWatch,
    ) -> None:
        self.run = run
        self.done = asyncio.Event()
        self._agent = agent
        self._prepare = prepare
        self._turn: Turn | None = None
        self._stores = stores
        self._decide = decide
        self._watch = watch
        self._recorder = recorder_of(run)
        self._approvals = Approvals(self._say)
        watch.approvals(lambda: self._approvals.waiting)
        self._limits = limits
        self._allowance = Allowance(limits)
        self._time = Timekeeper(limits, expired=self.stop, heard=lambda: self._heard, excused=self._is_excused)
        self._pending: list[Event] = []
        self._closing: list[Event] = []
        self._next_seq = 1
        self._heard = 0
        self._stopped = False
        self._lost = False
        self._changed = asyncio.Event()
        self._room = asyncio.Event()
        self._queue(self._recorder.begin())

    def stop(self, terminal: Terminal) -> None:
        """End the run with `terminal`, unless it is ending already. What the agent still says is discarded (P4.6)."""
        if self._recorder.terminal is None:
            self._stopped = True
            self._closing = self._recorder.end(terminal)
            self._changed.set()

    def lose(self) -> None:
        """Its log was lost: end it, as soon as its agent lets go; what is not in the log yet goes with the terminal."""
        if not self._lost:
            self._lost = True
            self.stop(LOST)

    async def answer(self, call_id: str, approval: Approval) -> None:
        """Give the agent an answer that it waits for, once it is in the log.

        Raises:
            NoSuchApproval: it waits for no such answer.
            NoAnswer: the storage does not take it now.
        """
        await self._approvals.answer(call_id, approval)

    async def execute(self) -> None:
        """See the run through to its terminal."""
        speaking = asyncio.get_running_loop().create_task(self._speak(), context=self._watch.context())
        speaking.add_done_callback(self._fell_silent)
        self._time.start()
        try:
            await self._pump(speaking)
            if self._recorder.terminal is None:
                self._closing = self._ending(speaking)
            self._time.stop()
            await self._close()
        except (Fenced, RunNotFound) as error:
            log.warning("run.lost", run_id=self.run.id, reason=str(error))
        finally:
            self._time.stop()
            speaking.cancel()
            self._watch.close()
            self._approvals.close()
            self.done.set()

    async def _speak(self) -> None:
        self._turn = await self._prepared()
        self._turn.ask = self._approvals.ask
        stream = self._agent.run_stream(self._turn)
        try:
            async for raw in stream:
                self._heard += 1
                if not self._allowance.has_plenty(raw) and not self._allowance.fits(raw, self._recorder.unclosed):
                    self.stop(self._limits.full)
                    return
                said = self._recorder.feed(raw)
                if self._recorder.terminal is not None:
                    self._closing = said or self._closing
                    self._changed.set()
                    return
                self._queue(said)
                if len(self._pending) >= _AHEAD:
                    self._room.clear()
                    await self._room.wait()
                elif self._heard % _TURN == 0:  # it may never wait for anything, nor say anything that counts
                    await asyncio.sleep(0)
        except (SystemExit, KeyboardInterrupt) as error:  # the loop would take it for its own
            raise RuntimeError("the agent tried to end the process") from error
        finally:
            if (aclose := getattr(stream, "aclose", None)) is not None:
                await aclose()

    async def _prepared(self) -> Turn:
        for delay in _DELAYS:
            try:
                return await self._prepare(self.run)
            except StoreUnavailable as error:  # which may be away for a moment; that is no failure of the agent
                log.error("storage.failed", run_id=self.run.id, retry_in=delay, reason=str(error))  # noqa: TRY400
            await asyncio.sleep(delay)
        return await self._prepare(self.run)

    def _say(self, raw: Event) -> list[Event]:
        # An answer is among what the end of the run would bring, for which there is always room.
        if isinstance(raw, ApprovalRequested) and not self._allowance.fits(raw, self._recorder.unclosed):
            self.stop(self._limits.full)
            return []
        said = self._recorder.feed(raw)
        self._queue(said)
        return said

    def _queue(self, said: list[Event]) -> None:
        self._pending += said
        self._allowance.take(said)
        self._changed.set()

    def _is_excused(self) -> bool:
        """Whether the agent is silent for another reason than its own."""
        return self._approvals.waiting or self._allowance.events >= self._next_seq

    def _fell_silent(self, speaking: asyncio.Task[None]) -> None:
        self._changed.set()
        if self._recorder.terminal is not None and not speaking.cancelled() and (error := speaking.exception()):
            log.info("agent.failed_late", run_id=self.run.id, exc_info=error)

    async def _pump(self, speaking: asyncio.Task[None]) -> None:
        while self._recorder.terminal is None:
            await self._changed.wait()
            self._changed.clear()
            ended = speaking.done()
            await self._flush()
            if ended:
                return
        if self._stopped:
            speaking.cancel()
            await asyncio.wait({speaking}, timeout=_LOST_GRACE if self._lost else _STOP_GRACE)
            if not speaking.done():
                log.warning("agent.would_not_stop", run_id=self.run.id)
                _LEFT_BEHIND.add(speaking)
                speaking.add_done_callback(_LEFT_BEHIND.discard)

    async def _flush(self) -> None:
        if not self._pending or self._lost:
            return
        taken, self._pending = self._pending, []
        self._room.set()
        try:
            await insist(lambda: self._stores.log.append(self.run.id, self._next_seq, taken), run_id=self.run.id)
        except Lost:
            self._pending = taken + self._pending
            self.lose()
            return
        self._next_seq += len(taken)
        self._watch.appended(taken)
        self._approvals.written(taken)

    def _ending(self, speaking: asyncio.Task[None]) -> list[Event]:
        try:
            return self._recorder.end(self._verdict(speaking))
        except Exception as error:  # noqa: BLE001 - an agent's own kind of AgentError may lack what it should have
            return self._recorder.end(unexpected(error, run_id=self.run.id))

    def _verdict(self, speaking: asyncio.Task[None]) -> Terminal:
        if speaking.cancelled():
            error: BaseException | None = asyncio.CancelledError()
        else:
            error = speaking.exception()
        match error:
            case None:
                return StreamEnd("")
            case AgentError():
                return agents_own(RunFailed(error.code, error.message))
            case _:
                return unexpected(error, run_id=self.run.id)

    async def _close(self) -> None:
        await self._flush()
        if self._lost:
            self._closing = self._pending + self._closing
        closing = Closing(self._closing, self._next_seq - 1)
        terminal = self._closing[-1]
        outcome = outcome_of(
            terminal,
            last_seq=closing.last_seq,
            output=self._recorder.content,
            at=self._stores.clock(),
            state=_storable(self._turn.state, self.run.id) if self._turn else None,
        )

        async def decide(run: Run, outcome: Outcome) -> bool:
            decided = await self._decide(run, outcome)
            if decided:
                self._watch.ended(outcome, terminal)
            return decided

        await close_log(self._stores, self.run, outcome, closing, decide)


def _storable(state: dict[str, Any], run_id: str) -> dict[str, Any] | None:
    try:
        plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(state), type=dict[str, Any])
    except (TypeError, ValueError, RecursionError):
        log.warning("agent.state_is_not_json", run_id=run_id)
        return None
    return plain
