"""What goes over HTTP as JSON, save the dialects' messages: one attrs class per body of section 5 of the protocol."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final, Literal

from attrs import field, frozen

from app.position import Position
from app.sessions.base import Run, RunStatus, Session

MAX_CONTENT: Final = 100_000
MAX_IMAGES: Final = 4
MAX_FILES: Final = 16
MAX_KEY: Final = 128
MAX_TITLE: Final = 200
MAX_COMMENT: Final = 2048
MAX_CALL_ID: Final = 256

KEY_PATTERN: Final = r"^[^\u0000-\u001f\u007f-\u009f]*$"
"""An idempotency key has no control characters."""


def schema(default: Any = None, /, **keywords: Any) -> Any:
    """A field with JSON Schema keywords of its own."""
    return field(default=default, metadata={"schema": keywords})


@frozen(kw_only=True, slots=False)
class CreateSession:
    """A session to create. Without a profile it gets the default one; without a title, its first message names it."""

    profile: str | None = None
    title: str | None = schema(max_length=MAX_TITLE)


@frozen(kw_only=True, slots=False)
class NamedFile:
    """An uploaded file as the upload route described it; `path` has to be one that it returned for this session."""

    name: str
    path: str


@frozen(kw_only=True, slots=False)
class StartRun:
    """A message that starts a run (P4.3)."""

    content: str = field(metadata={"schema": {"min_length": 1, "max_length": MAX_CONTENT}})
    images: list[str] | None = schema(
        max_items=MAX_IMAGES, description="Data URLs or bare base64: png, jpeg, gif or webp, at most 5 MiB each."
    )
    files: list[str | NamedFile] | None = schema(
        max_items=MAX_FILES,
        description="Ids that the upload route returned, or objects with a `name` and `path` that it did.",
    )
    idempotency_key: str | None = schema(min_length=1, max_length=MAX_KEY, pattern=KEY_PATTERN)
    on_conflict: Literal["reject", "queue", "interrupt"] | None = schema(
        description="When a run is in progress: refuse (the default), wait for it, or cancel it and go first."
    )
    on_disconnect: Literal["continue", "cancel"] | None = schema(
        description="What happens to the run when its last viewer has left."
    )


@frozen(kw_only=True, slots=False)
class CreateTicket:
    """The session that a ticket is for."""

    session_id: str


@frozen(kw_only=True, slots=False)
class TicketView:
    """A ticket, and the seconds for which it opens streams."""

    ticket: str
    expires_in: int


@frozen(kw_only=True, slots=False)
class AnswerApproval:
    """An answer to a question of the agent (P4.1)."""

    approved: bool
    comment: str | None = schema(max_length=MAX_COMMENT)


@frozen(kw_only=True, slots=False)
class ApprovalView:
    """An answer that the agent got."""

    call_id: str
    approved: bool
    comment: str | None


@frozen(kw_only=True, slots=False)
class SessionView:
    """One conversation."""

    id: str
    profile: str
    title: str | None
    created_at: datetime
    updated_at: datetime
    active_run: str | None


@frozen(kw_only=True, slots=False)
class FailureView:
    """Why a run failed."""

    code: str
    message: str


@frozen(kw_only=True, slots=False)
class RunView:
    """One turn of a conversation; `position` is its last event's."""

    id: str
    session_id: str
    number: int
    status: RunStatus
    position: str
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    error: FailureView | None


@frozen(kw_only=True, slots=False)
class FileView:
    """A file that came with a message."""

    id: str
    name: str


@frozen(kw_only=True, slots=False)
class UploadView:
    """An uploaded file. A message names it by its `id`, or by an object with its `name` and `path`."""

    id: str
    name: str
    path: str
    size: int
    media_type: str


@frozen(kw_only=True, slots=False)
class MessageView:
    """One message of the transcript; `images` counts them."""

    role: Literal["user", "assistant"]
    content: str
    run_id: str
    at: datetime
    images: int
    files: list[FileView]


@frozen(kw_only=True, slots=False)
class ProfileView:
    """An agent that can be talked to."""

    name: str
    description: str
    default: bool


@frozen(kw_only=True, slots=False)
class Health:
    """The state of this process."""

    status: Literal["ok"]


@frozen(kw_only=True, slots=False)
class SessionList:
    """One page of sessions; `next` is the cursor of the following one."""

    items: list[SessionView]
    next: str | None


@frozen(kw_only=True, slots=False)
class RunList:
    """One page of runs; `next` is the cursor of the following one."""

    items: list[RunView]
    next: str | None


@frozen(kw_only=True, slots=False)
class MessageList:
    """One page of a transcript; `next` is the cursor of the following one."""

    items: list[MessageView]
    next: str | None


@frozen(kw_only=True, slots=False)
class ProfileList:
    """Every profile."""

    items: list[ProfileView]
    next: str | None


@frozen(kw_only=True, slots=False)
class Problem:
    """Why a request was refused (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    incident: str | None = None


def session_view(session: Session) -> SessionView:
    """A session as clients see it."""
    return SessionView(
        id=session.id,
        profile=session.profile,
        title=session.title,
        created_at=session.created_at,
        updated_at=session.updated_at,
        active_run=session.active_run,
    )


def run_view(run: Run) -> RunView:
    """A run as clients see it."""
    return RunView(
        id=run.id,
        session_id=run.session_id,
        number=run.number,
        status=run.status,
        position=str(Position(run.number, run.last_seq)),
        created_at=run.created_at,
        started_at=run.started_at,
        ended_at=run.ended_at,
        error=FailureView(code=run.error.code, message=run.error.message) if run.error else None,
    )


def message_views(run: Run) -> list[MessageView]:
    """What a run adds to the transcript: the user's message, and the answer once there is one."""
    files = [FileView(id=file.id, name=file.name) for file in run.files]
    asked = MessageView(
        role="user", content=run.content, run_id=run.id, at=run.created_at, images=run.images, files=files
    )
    if not run.output or run.ended_at is None:
        return [asked]
    answer = MessageView(role="assistant", content=run.output, run_id=run.id, at=run.ended_at, images=0, files=[])
    return [asked, answer]
