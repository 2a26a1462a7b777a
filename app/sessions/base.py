"""Sessions and runs, and the SessionStore port that keeps them.

The store decides, atomically, what must be decided once: which run is a session's active one (P4.4), whether an
idempotency key was seen (P4.5), and how a run ended. Events are not here; they are in the run's log.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, Generic, Literal, Protocol, TypeVar

from attrs import frozen

from app.events import FileRef

T = TypeVar("T")

OnConflict = Literal["reject", "queue", "interrupt"]
"""What a message does that finds a run in progress (P4.4)."""

MAX_WAITING: Final = 8
"""How many runs of a session may wait for those ahead of them (P4.4)."""


class RunStatus(StrEnum):
    """Where a run stands (section 5 of the protocol)."""

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"


@frozen
class Session:
    """One conversation of one principal. Times are aware, UTC."""

    id: str
    principal: str
    profile: str
    title: str | None
    created_at: datetime
    updated_at: datetime
    active_run: str | None = None


@frozen
class RunError:
    """Why a run failed: a code of P7.4 and a message for the client."""

    code: str
    message: str


@frozen
class Run:
    """One turn. Once it ended, `last_seq` is the seq of its last event and `output` the answer's text.

    Attributes:
        host: the process that executes it, or did.
        trimmed: retention has left nothing of its log but the terminal (P3.6).
    """

    id: str
    session_id: str
    number: int
    status: RunStatus
    content: str
    images: int
    files: tuple[FileRef, ...]
    created_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    last_seq: int = 0
    output: str | None = None
    error: RunError | None = None
    host: str = ""
    trimmed: bool = False


@frozen
class BegunRun:
    """A run whose turn has come; `trimmed` as of Run."""

    number: int
    id: str
    trimmed: bool = False


@frozen
class RunRecord:
    """A run as its operator sees it: whose it is and how it went, and nothing of what was said.

    Attributes:
        host: the process that executes it, or did.
        last_seq: of its last event, once it has ended.
        code: of its failure (P7.4).
        reason: why it was cancelled.
    """

    id: str
    session_id: str
    number: int
    status: RunStatus
    principal: str
    profile: str
    host: str
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    last_seq: int
    code: str | None
    reason: str | None


@frozen
class StoredFile:
    """An uploaded file of a session: what is known of it beside its bytes.

    Attributes:
        name: what the client calls it, sanitised.
        stored_as: what it is called in the session's folder.
        media_type: recognised by its bytes.
        size: in bytes.
    """

    id: str
    session_id: str
    name: str
    stored_as: str
    media_type: str
    size: int
    created_at: datetime


@frozen
class NewRun:
    """What is asked for when a run is started.

    Attributes:
        id: minted by the caller, never reused.
        body_hash: of the request's body, to tell a retry from a reuse of `idempotency_key` (P4.5).
        host: the process that will execute it.
    """

    id: str
    content: str
    images: int
    files: tuple[FileRef, ...]
    host: str
    at: datetime
    idempotency_key: str | None = None
    body_hash: str = ""
    on_conflict: OnConflict = "reject"


@frozen
class Waiting:
    """A run that waits: it starts once the `ahead` runs before it have ended. Its number may still rise (P4.4)."""

    run_id: str
    number: int
    ahead: int


@frozen
class Started:
    """The answer to a start.

    Attributes:
        created: whether the run is new (False: its key was seen before).
        waiting: if it has to wait, itself and those that it was put ahead of, which got new numbers.
        interrupts: the run in progress that it wants cancelled.
    """

    run: Run
    created: bool
    waiting: tuple[Waiting, ...] = ()
    interrupts: str | None = None


@frozen
class Ended:
    """What ending a run brought about: `next` waited behind it and is running now."""

    next: Run | None = None


@frozen
class Outcome:
    """How a run ended.

    Attributes:
        terminal: the terminal event, encoded by the log's codec. It is kept in the run's row before the log is closed
            with it, so that a crash in between can be finished, and so that exactly one outcome ever wins.
        last_seq: the seq that the terminal will have.
        state: what the agent wants to find again in the session's next run, or None to leave it as it was.
        reason: why it was cancelled.
    """

    status: RunStatus
    terminal: bytes
    last_seq: int
    output: str
    at: datetime
    error: RunError | None = None
    state: dict[str, Any] | None = None
    reason: str | None = None


@frozen
class Unfinished:
    """A run whose log is not archived yet: it was left running, or its end was decided but not carried out."""

    run: Run
    terminal: bytes | None


@frozen
class Expired:
    """A run whose log may be trimmed."""

    session_id: str
    number: int
    run_id: str


@frozen
class Listing(Generic[T]):
    """One page of a list; `next` is the cursor of the following one, None at the end."""

    items: tuple[T, ...]
    next: str | None


class SessionStore(Protocol):
    """Sessions and runs. A session is always looked up by (principal, id) (P6.3); runs through their session.

    Every method raises StoreUnavailable when the storage fails. What was asked for may then have been carried out all
    the same, when only the answer was lost; the same call again is harmless, and gives the answer of the first.
    """

    async def create_session(self, session: Session) -> None:
        """Keep a new session."""

    async def get_session(self, principal: str, session_id: str) -> Session | None:
        """The principal's session with its `active_run`, or None."""

    async def list_sessions(self, principal: str, limit: int, cursor: str | None) -> Listing[Session]:
        """The principal's sessions, newest first (by creation).

        Raises:
            InvalidMessage: the cursor is none that this method gave.
        """

    async def delete_session(self, principal: str, session_id: str, at: datetime) -> bool:
        """Mark a session as deleted: from now on nobody finds it, and nothing begins in it; False if there is none.

        What is kept of it stays, so that its runs can end, until `remove_session`.
        """

    async def deleted_sessions(self, before: datetime) -> Sequence[str]:
        """The ids of the sessions that were marked before a time, and are still to be removed."""

    async def holds_session(self, session_id: str) -> bool:
        """Whether there is such a session, anybody's, and it is not deleted."""

    async def remove_session(self, session_id: str) -> None:
        """Remove a session with its runs, their archives and the rows of its files."""

    async def get_state(self, session_id: str) -> dict[str, Any]:
        """What the agent left with the last run's Outcome; empty at first."""

    async def start_run(self, session_id: str, new: NewRun) -> Started:
        """Insert a run as the session's next number; gives an untitled session its first words as title.

        It is running, or queued behind the one in progress as its `on_conflict` says: at the end of the queue, or at
        its head (`interrupt`). One transaction, and a partial unique index, so that it holds across processes.

        Raises:
            RunActive: another run of the session is queued or running.
            QueueFull: as many as may are waiting already.
            IdempotencyMismatch: the key was used with another `body_hash`.
            SessionNotFound: the session is gone, or deleted.
        """

    async def get_run(self, session_id: str, run_id: str) -> Run | None:
        """One run, or None."""

    async def get_active_run(self, session_id: str) -> Run | None:
        """The run that is queued or running, or None."""

    async def list_runs(self, session_id: str, limit: int, cursor: str | None) -> Listing[Run]:
        """The session's runs, oldest first.

        Raises:
            InvalidMessage: the cursor is none that this method gave.
        """

    async def every_run(self, statuses: Collection[RunStatus], limit: int, cursor: str | None) -> Listing[RunRecord]:
        """The runs of everybody that are in one of these states, newest first (by creation): for the operator.

        Raises:
            InvalidMessage: the cursor is none that this method gave.
        """

    async def run_numbers(self, session_id: str) -> Sequence[tuple[int, str]]:
        """(number, run id) of every run of the session, in order."""

    async def unarchived_runs(self, session_id: str) -> Sequence[str]:
        """The ids of the session's runs without an archive, in order: what goes on, or has not been put away yet."""

    async def begun_runs(self, session_id: str) -> Sequence[BegunRun]:
        """Every run whose turn has come, in order: nothing will ever come before the last of them.

        A run that was cancelled while it waited has its turn when those before it have ended.
        """

    async def latest_numbers(self, session_ids: Collection[str]) -> Mapping[str, int]:
        """Which of these sessions are there, marked as deleted or not, and the number of the latest run of each.

        Runs that wait do not count; without any it is 0. It is the last of `begun_runs`, or a little more.
        """

    async def waiting_runs(self, session_id: str) -> Sequence[Waiting]:
        """The session's runs that wait, in the order in which they will start.

        Raises:
            SessionNotFound: the session is gone, or deleted.
        """

    async def finish_run(self, run_id: str, outcome: Outcome, *, promote: bool = True) -> Ended | None:
        """Decide how a run ended, if nobody has yet: None when it had ended otherwise, and nothing was changed.

        Unless `promote` is False or the session is deleted, its first waiting run is running when this returns, if no
        other is.
        """

    async def unfinished_runs(
        self, hosts: Collection[str] | None = None, *, ended_before: datetime | None = None
    ) -> Sequence[Unfinished]:
        """Every run without an archive, oldest first: what a start-up has to finish.

        Or of those only the ones of some hosts, or only the ones whose end was decided before a time.
        """

    async def hosts_with_unfinished_runs(self) -> frozenset[str]:
        """The hosts of the runs without an archive."""

    async def put_archive(self, run_id: str, body: bytes, *, trimmed: bool = False) -> None:
        """Keep a closed log's archive (see `runlog.base.Archive`).

        Raises:
            RunNotFound: the run was deleted; nothing is kept.
        """

    async def awaits_archive(self, run_id: str) -> bool:
        """Whether the run is there, and has no archive yet."""

    async def get_archive(self, run_id: str) -> bytes | None:
        """A closed log's archive, or None."""

    async def expired_runs(self, before: datetime, limit: int, after: Expired | None = None) -> Sequence[Expired]:
        """Archived runs whose logs are whole and that ended before a time, by session and number.

        Never a run that comes after one of its session that has not ended by then: what is trimmed of a session is its
        beginning.

        Args:
            before: the time, aware.
            limit: at most so many.
            after: only those that come after this one.
        """

    async def expired_files(self, before: datetime, limit: int) -> Sequence[StoredFile]:
        """Files that were uploaded before a time to sessions in which nothing has happened since."""

    async def remove_files(self, ids: Sequence[str]) -> None:
        """Remove the rows of files."""

    async def add_file(self, file: StoredFile, *, most_files: int, most_bytes: int) -> None:
        """Keep a file's row, if the session's files are then no more, and no larger together, than it may have.

        Raises:
            TooLarge: they would be.
            SessionNotFound: the session is gone, or deleted.
        """

    async def list_files(self, session_id: str) -> Sequence[StoredFile]:
        """The session's files, oldest first."""

    async def kept_files(self, ids: Sequence[str]) -> frozenset[str]:
        """Which of these files have a row."""

    async def check(self) -> None:
        """Return if the store answers; raise whatever it raises if not."""

    async def close(self) -> None:
        """Let go of connections."""
