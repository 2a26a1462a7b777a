"""How a run ends: decided in its row first, then shown in its log, then put away.

Whoever sees the terminal therefore finds the row ended, exactly one outcome wins, and a start-up can finish what a
crash cut between the two (P7.1).
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Final, TypeVar

import structlog
from attrs import Factory, frozen

from app.errors import Fenced, Gap, Lost, RunNotFound, StoreUnavailable
from app.events import Event, RunCancelled, RunFailed, RunInput, RunStarted, StreamEnd, Terminal
from app.recorder import Recorder
from app.runlog.archived import ArchivedLog
from app.runlog.codec import encode_event
from app.sessions.base import Outcome, Run, RunError, RunStatus, SessionStore
from app.telemetry import Telemetry

log = structlog.get_logger()
T = TypeVar("T")

INTERRUPTED: Final = RunFailed("run_interrupted", "the server stopped while this run was in progress")
"""How a run ends that its host could not see through (P7.1)."""

LOST: Final = RunFailed("internal_error", "what this run had said was lost from its storage")
"""How a run ends whose log was lost while it was in progress: see `app.errors.Lost`."""

_LONGEST_RETRY = 5.0
_PAGE: Final = 1000


@frozen
class Stores:
    """Where a run is kept: its log, and its row; and who else is told of it.

    Attributes:
        tries: how often the end of a run is offered to a storage that does not take it; None is until it does.
    """

    log: ArchivedLog
    sessions: SessionStore
    clock: Callable[[], datetime]
    telemetry: Telemetry = Factory(Telemetry)
    tries: int | None = None


def recorder_of(run: Run) -> Recorder:
    """A recorder at the beginning of `run`."""
    asked = RunInput(run.content, run.images, run.files)
    return Recorder(RunStarted(run.id, run.session_id, asked, run.started_at or run.created_at))


@frozen
class Closing:
    """The events that close a log, the terminal last.

    Attributes:
        after: the log's tail, which they follow.
    """

    events: Sequence[Event]
    after: int

    @property
    def last_seq(self) -> int:
        """The terminal's."""
        return self.after + len(self.events)


@frozen
class Rest:
    """What there is of a log that this process has not written.

    Attributes:
        tail: its last seq, 0 if there is nothing.
    """

    recorder: Recorder
    tail: int

    @classmethod
    async def of(cls, stores: Stores, run: Run) -> Rest:
        """Read it.

        Raises:
            StoreUnavailable: the storage can't be read.
        """
        recorder, after = recorder_of(run), 0
        while True:
            try:
                page = await stores.log.read(run.id, after, _PAGE)
            except Gap as gap:  # its beginning is lost
                if gap.earliest - 1 <= after:
                    raise StoreUnavailable(f"the log of run {run.id} is lost while it is read") from gap
                after = gap.earliest - 1
                continue
            recorder.replay(entry.event for entry in page.entries)
            if not page.entries:
                return cls(recorder, after)
            after = page.entries[-1].seq

    def close(self, terminal: Terminal) -> Closing:
        """What closes it."""
        return Closing(self.recorder.end(terminal), self.tail)


Decide = Callable[[Run, Outcome], Awaitable[bool]]
"""Writes how a run ended to its row; False if somebody had done so before."""


def outcome_of(
    terminal: Event, *, last_seq: int, output: str, at: datetime, state: dict[str, Any] | None = None
) -> Outcome:
    """What a run's row says of its end: the answer is the terminal's own where it has one, else the text so far."""
    body = encode_event(terminal)
    match terminal:
        case StreamEnd():
            return Outcome(RunStatus.COMPLETED, body, last_seq, terminal.full_content, at, state=state)
        case RunCancelled():
            return Outcome(
                RunStatus.CANCELLED, body, last_seq, terminal.content, at, state=state, reason=terminal.reason
            )
        case RunFailed():
            status = RunStatus.INTERRUPTED if terminal.code == INTERRUPTED.code else RunStatus.FAILED
            error = RunError(terminal.code, terminal.message)
            return Outcome(status, body, last_seq, output, at, error=error, state=state)
        case _:
            raise TypeError(f"{type(terminal).__name__} ends no run")


async def close_log(stores: Stores, run: Run, outcome: Outcome, closing: Closing, decide: Decide) -> None:
    """Decide the run's end in its row, then show it, then archive: whoever sees the terminal finds the row ended."""
    if not await decide(run, outcome):
        log.warning("run.ended_elsewhere", run_id=run.id)
        stores.log.release(run.id)
        return
    code = outcome.error.code if outcome.error else ""
    stores.telemetry.measures.end(outcome.status, code)
    await show_and_archive(stores, run, closing)
    log.info(
        "run.ended",
        run_id=run.id,
        session_id=run.session_id,
        status=str(outcome.status),
        **({"code": code} if code else {}),
        events=outcome.last_seq,
        took=round((outcome.at - (run.started_at or run.created_at)).total_seconds(), 3),
    )


async def show_and_archive(stores: Stores, run: Run, closing: Closing) -> None:
    """Write the events that close a log, and put the log away; if it is lost before that, close what is left of it."""
    terminal = closing.events[-1]
    due: Closing | None = closing
    if not isinstance(terminal, Terminal):
        raise TypeError(f"{type(terminal).__name__} ends no run")
    while not await _put_away(stores, run, due):
        rest = await insist(lambda: Rest.of(stores, run), run_id=run.id, tries=stores.tries)
        due = rest.close(terminal) if rest.recorder.terminal is None else None


async def _put_away(stores: Stores, run: Run, due: Closing | None) -> bool:
    """Append what closes a log, if anything is due, and archive it; False if it turns out to be lost."""
    if due is not None:
        append = partial(stores.log.append, run.id, due.after + 1, due.events, closed=True)
        await insist(append, run_id=run.id, tries=stores.tries)
    try:
        await insist(lambda: stores.log.archive(run.id), run_id=run.id, tries=stores.tries)
    except Lost as error:
        if await insist(lambda: stores.sessions.holds_session(run.session_id), run_id=run.id, tries=stores.tries):
            log.error("run.end_lost", run_id=run.id, reason=str(error))  # noqa: TRY400 - no fault here
        return False
    return True


async def insist(step: Callable[[], Awaitable[T]], *, tries: int | None = None, **whose: str) -> T:
    """Repeat a storage step, which is all or nothing, until the storage takes it, or has refused it `tries` times.

    Args:
        step: what to do.
        tries: None is until it is done.
        whose: the ids that log lines about it name.

    Raises:
        Fenced, RunNotFound: the log is somebody else's, or gone; repeating is no use.
        StoreUnavailable: it was refused that often.
    """
    delay, tried = 0.1, 0
    while True:
        tried += 1
        try:
            return await step()
        except (Fenced, RunNotFound):
            raise
        except StoreUnavailable as error:
            if tried == tries:
                raise
            log.error("storage.failed", **whose, retry_in=delay, reason=str(error))  # noqa: TRY400 - no fault here
        except Exception:  # whatever it is, the run must not be lost
            log.exception("storage.failed", **whose, retry_in=delay)
        await asyncio.sleep(delay)
        delay = min(delay * 2, _LONGEST_RETRY)


def unexpected(error: BaseException, **context: str) -> RunFailed:
    """The terminal of an exception that nobody raised on purpose: its text goes to the log alone (P6.5)."""
    incident = secrets.token_hex(8)
    log.error("agent.crashed", incident=incident, exc_info=error, **context)
    return RunFailed("internal_error", "the agent failed unexpectedly", incident)
