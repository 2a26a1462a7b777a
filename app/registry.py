"""RunRegistry: the one object that joins agents, logs, sessions and dialects, and the only one that transports know.

Every method takes the principal, and every session is looked up in one place (P6.3).
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final, TypeVar

import anyio
from attrs import evolve

from app.agents.base import Approval, File, Turn
from app.agents.loader import Profiles
from app.assembly import Parts
from app.errors import Draining, Gap, InvalidMessage, NoSuchApproval, RunNotFound, SessionNotFound, StoreUnavailable
from app.events import FileRef
from app.hosting.approvals import is_settled
from app.hosting.conversation import NewMessage, turn_of
from app.position import Position
from app.sessions.base import Listing, NewRun, Run, Session, Started
from app.telemetry import RunWatch
from app.viewing.viewer import Slice, Viewer

T = TypeVar("T")

_TRIES: Final = 64
"""How many ids are tried to find one whose log is on a server that answers."""

_DRAINING: Final = "this server is shutting down; connect again"

_READ_IN: Final = 3.0
"""Seconds after which what is read for one answer is given up: a little longer than a store takes to restart."""


class RunRegistry:
    """The runs of this process, and the doors to every run that is kept.

    Args:
        parts: what is behind the doors.
        profiles: the agents that can be talked to.

    Attributes:
        sweep: finishes what other processes left; somebody has to sweep where there are any.
        oversight: everybody's runs, for whoever may see them: it asks for no principal.
    """

    def __init__(self, parts: Parts, profiles: Profiles) -> None:
        self.profiles = profiles
        self.draining = False
        self.oversight = parts.oversight
        self.sweep = parts.sweep
        self._stores = parts.stores
        self._rows = parts.stores.sessions
        self._uploads = parts.uploads
        self._readiness = parts.readiness
        self._audience = parts.audience
        self._hosting = parts.hosting
        self._commands = parts.commands
        self._places = parts.places
        self._deletions = parts.deletions
        self._interruptible: set[anyio.CancelScope] = set()

    # sessions

    async def create_session(self, principal: str, profile: str | None, title: str | None) -> Session:
        """Create a session; without a profile it gets the default one.

        Raises:
            InvalidMessage: there is no such profile.
            Draining: the process is going away.
        """
        self._refuse_when_draining()
        name = profile if profile is not None else self.profiles.default.name
        if self.profiles.get(name) is None:
            raise InvalidMessage(f"$.profile: there is no profile {name!r}")
        now = self._stores.clock()
        session = Session(f"ses_{secrets.token_hex(16)}", principal, name, title, now, now)
        await self._rows.create_session(session)
        return session

    async def session(self, principal: str, session_id: str) -> Session:
        """The principal's session: the one place where a session is looked up for anybody.

        Raises:
            SessionNotFound: there is none, or it is another principal's.
        """
        found = await self._rows.get_session(principal, session_id)
        if found is None:
            raise SessionNotFound("there is no such session")
        return found

    async def sessions(self, principal: str, limit: int, cursor: str | None) -> Listing[Session]:
        """The principal's sessions, newest first."""
        return await self._rows.list_sessions(principal, limit, cursor)

    async def delete_session(self, principal: str, session_id: str) -> None:
        """Cancel the session's runs, let its viewers have the terminal, then remove everything that was kept.

        Raises:
            SessionNotFound: there is none, or it is another principal's.
        """
        await self._deletions.delete(principal, session_id)

    # files

    async def upload(
        self, principal: str, session_id: str, open_form: Callable[[], Awaitable[tuple[str, AsyncIterator[bytes]]]]
    ) -> File:
        """Keep a file of the session. `open_form` gives its name and its bytes; it isn't asked for who may not.

        Raises:
            SessionNotFound, TooLarge, StorageFull, Draining: nothing is kept.
        """
        await self.session(principal, session_id)
        self._refuse_when_draining()

        async def receive() -> File:
            name, chunks = await open_form()
            return await self._uploads.receive(session_id, name, chunks)

        return await self._until_drained(receive())

    # runs

    async def start(self, principal: str, session_id: str, message: NewMessage) -> Started:
        """Start a run, or find the one that the same idempotency key started before (P4.5).

        Raises:
            SessionNotFound, RunActive, QueueFull, IdempotencyMismatch, InvalidMessage, RateLimited, StorageFull,
                Draining: nothing was started.
        """
        session = await self.session(principal, session_id)
        self._refuse_when_draining()
        profile = self.profiles.get(session.profile)
        if profile is None:
            raise InvalidMessage(f"the session's profile {session.profile!r} is no longer there")
        files = await self._uploads.claimed(session_id, message.files)
        await self._readiness.check_room()
        new = NewRun(
            id=self._new_id(),
            content=message.content,
            images=len(message.images),
            files=tuple(FileRef(file.id, file.name) for file in files),
            host=self._hosting.name,
            at=self._stores.clock(),
            idempotency_key=message.idempotency_key,
            body_hash=message.digest(),
            on_conflict=message.on_conflict,
        )

        async def prepare(run: Run) -> Turn:
            return await turn_of(run, message, self._rows, self._uploads)

        def watch(run: Run) -> RunWatch:
            return RunWatch(self._stores.telemetry, run, profile.name, message.cause, self._stores.clock)

        self._refuse_when_draining()  # after the last wait, or nobody might be there any more to end the run
        with self._places.starting(principal, session_id):
            return await self._hosting.start(
                session_id, new, profile.agent, prepare, watch, cancel_when_left=message.cancel_when_left
            )

    async def run(self, principal: str, session_id: str, run_id: str) -> Run:
        """One run, its `last_seq` up to date.

        Raises:
            SessionNotFound, RunNotFound: there is none.
            StoreUnavailable: its log can't be read in time.
        """
        return await _in_time(self._current(await self._row(principal, session_id, run_id)))

    async def runs(self, principal: str, session_id: str, limit: int, cursor: str | None) -> Listing[Run]:
        """The session's runs, oldest first.

        Raises:
            SessionNotFound: there is none.
            StoreUnavailable: their logs can't be read in time.
        """
        page = await self.transcript(principal, session_id, limit, cursor)

        async def current() -> tuple[Run, ...]:
            return tuple([await self._current(run) for run in page.items])

        return Listing(await _in_time(current()), page.next)

    async def transcript(self, principal: str, session_id: str, limit: int, cursor: str | None) -> Listing[Run]:
        """The session's runs as far as their rows tell: what was asked, and what was answered.

        Raises:
            SessionNotFound: there is none.
        """
        await self.session(principal, session_id)
        return await self._rows.list_runs(session_id, limit, cursor)

    async def cancel(self, principal: str, session_id: str, run_id: str | None = None) -> Run:
        """Cancel a run, by default the one in progress, else the last; one that has ended stays as it is (P4.6).

        Raises:
            SessionNotFound, RunNotFound: there is none.
            NoAnswer: the process that executes it does not answer.
        """
        run = await self._run_or_latest(principal, session_id, run_id)
        await self._commands.cancel(run, "cancelled")
        return run

    async def approve(
        self, principal: str, session_id: str, call_id: str, approval: Approval, run_id: str | None = None
    ) -> None:
        """Answer what a run's agent asked, by default the run in progress; the same answer twice is one (P4.7).

        The answer is in the run's log when this returns.

        Raises:
            SessionNotFound, RunNotFound: there is none.
            NoSuchApproval: the run waits for no such answer.
            NoAnswer: the process that executes it does not answer, or its storage does not.
        """
        try:
            run = await self._run_or_latest(principal, session_id, run_id)
        except RunNotFound:
            if run_id is not None:
                raise
            raise NoSuchApproval("the session has no run that waits for an approval") from None
        try:
            await self._commands.approve(run, call_id, approval)
        except NoSuchApproval:
            # The run may have ended before who answered heard that the answer was taken.
            ended = await self._rows.get_run(session_id, run.id)
            if ended is None or ended.ended_at is None:
                raise
            if not await is_settled(self._stores.log, run.id, call_id, approval):
                raise

    # following

    async def follow_session(
        self, principal: str, session_id: str, after: Position | None, dialect: str = "native"
    ) -> Viewer:
        """Follow a session from a position, or from the run in progress (P3.1, P3.4).

        Raises:
            SessionNotFound: there is none. RateLimited: too many viewers. Draining: the process is going away.
        """
        await self.session(principal, session_id)
        # Settled before the stream opens: who sees it open misses no run that starts afterwards.
        start = after if after is not None else await self._audience.now(session_id)
        self._refuse_when_draining()  # after the last wait, or the viewer would not be sent away
        return self._audience.follow_session(principal, session_id, start, dialect)

    async def follow_run(
        self, principal: str, session_id: str, run_id: str, after: Position | None, dialect: str = "native"
    ) -> Viewer | None:
        """Follow one run from a position, or from its first event; None when nothing of it is left to send (P3.7).

        Raises:
            SessionNotFound, RunNotFound: there is none. RateLimited: there are too many viewers. Draining: the process
                is going away.
        """
        run = await self._current(await self._row(principal, session_id, run_id))
        start = after if after is not None else Position(run.number, 0)
        over = run.ended_at is not None and await self._is_over(run, start)
        self._refuse_when_draining()
        if over:
            return None
        return self._audience.follow_run(principal, run, start, dialect)

    async def read_log(
        self, principal: str, session_id: str, run_id: str, after: Position | None, *, limit: int, wait: float
    ) -> Slice:
        """A piece of a run's log in the native dialect; waits `wait` seconds for a first event.

        Raises:
            SessionNotFound, RunNotFound: there is none. RateLimited: there are too many viewers. Draining: the process
                is going away. StoreUnavailable: the log can't be read in time.
        """
        run = await self.run(principal, session_id, run_id)
        self._refuse_when_draining()
        start = after if after is not None else Position(run.number, 0)
        reading = self._audience.read(principal, run, start, limit=limit, wait=wait)
        return await self._until_drained(_in_time(reading, wait + _READ_IN))

    # life

    async def check(self) -> None:
        """Return if the process can serve: its stores answer, and it is not going away.

        Raises:
            Draining: it is going away. NotReady: a store fails, or does not answer in time.
        """
        self._refuse_when_draining()
        await self._readiness.check()

    def lose(self, run_id: str, had: int, has: int) -> None:
        """Be told that the log of a run here was there up to the seq `had`, and is there only up to `has`.

        The run ends, with `internal_error` unless another process has ended it.
        """
        self._hosting.lose(run_id, had, has)

    def drain(self) -> None:
        """Take no new runs, and send every viewer away to reconnect elsewhere (P7.3)."""
        self.draining = True
        self._hosting.drain()
        self._audience.drain()
        for scope in self._interruptible:
            scope.cancel()

    def interrupt(self) -> None:
        """Give the runs no more time: end them with `run_interrupted` (P7.3)."""
        self._hosting.interrupt()

    async def finish(self, grace: float = 0.0) -> None:
        """Drain, then end what still runs after `grace` seconds with `run_interrupted` (P7.3)."""
        self.drain()
        await self._hosting.close(grace)

    async def close(self, grace: float = 0.0) -> None:
        """Finish, if nobody did, and let go of the agents."""
        await self.finish(grace)
        await self.profiles.aclose()

    # behind the doors

    def _new_id(self) -> str:
        """A run's, with which its log can be written, if there is any."""
        for _ in range(_TRIES):
            run_id = f"run_{secrets.token_hex(16)}"
            if self._stores.log.suits(run_id):
                break
        return run_id

    async def _run_or_latest(self, principal: str, session_id: str, run_id: str | None) -> Run:
        """A run; without an id the one in progress, else the last. Whose it is comes before what becomes of it."""
        await self.session(principal, session_id)
        if run_id is None and (active := await self._rows.get_active_run(session_id)) is not None:
            return await self._current(active)
        if run_id is None:
            runs = await self._rows.run_numbers(session_id)
            run_id = runs[-1][1] if runs else ""
        return await self._current(await self._row(principal, session_id, run_id))

    async def _row(self, principal: str, session_id: str, run_id: str) -> Run:
        await self.session(principal, session_id)
        found = await self._rows.get_run(session_id, run_id)
        if found is None:
            raise RunNotFound("there is no such run in this session")
        if found.trimmed:
            self._stores.log.heed_trims([run_id])
        return found

    async def _current(self, run: Run) -> Run:
        if run.ended_at is not None and self._hosting.get(run.id) is None:
            return run
        page = await self._stores.log.read(run.id, 0, 1)
        return evolve(run, last_seq=page.tail)

    async def _is_over(self, run: Run, start: Position) -> bool:
        """Whether `start` is the run's terminal; the row ends a moment before the log does."""
        if start.run != run.number:
            return False
        try:
            page = await self._stores.log.read(run.id, start.seq, 1)
        except Gap:
            return False
        return page.closed and not page.entries

    async def _until_drained(self, work: Awaitable[T]) -> T:
        """What `work` answers, if it does before the process goes away."""
        scope = anyio.CancelScope()
        self._interruptible.add(scope)
        try:
            with scope:
                return await work
        finally:
            self._interruptible.discard(scope)
        raise Draining(_DRAINING)

    def _refuse_when_draining(self) -> None:
        if self.draining:
            raise Draining(_DRAINING)


async def _in_time(reading: Awaitable[T], seconds: float = _READ_IN) -> T:
    # Who follows is held up by a store that is away; who asks once is better told so than kept waiting.
    try:
        with anyio.fail_after(seconds):
            return await reading
    except TimeoutError as error:
        raise StoreUnavailable(f"what was asked for could not be read within {seconds:g} s") from error
