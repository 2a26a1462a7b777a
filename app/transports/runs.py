"""Routes about runs (section 5 of the protocol)."""

from __future__ import annotations

from typing import Annotated, Any, Final

from attrs import frozen
from litestar import MediaType, Request, Response, get, post
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, HeaderParameter, JSONBody, QueryParameter, SkipValidation

from app.errors import (
    BadPosition,
    Crowded,
    Draining,
    ForbiddenOrigin,
    IdempotencyMismatch,
    InvalidJson,
    InvalidMessage,
    NoSuchApproval,
    QueueFull,
    RateLimited,
    RunActive,
    RunNotFound,
    SessionNotFound,
    StorageFull,
    TooLarge,
)
from app.tracing.base import Cause
from app.transports.auth.authenticator import BY_TICKET
from app.transports.bodies import MAX_KEY, AnswerApproval, ApprovalView, RunList, RunView, StartRun, run_view
from app.transports.commands import approval_of, new_message
from app.transports.operations import OperationSpec
from app.transports.parameters import PAGE, After, Limit, PageCursor, Registry, RunEvent, start_of
from app.transports.problems import declared
from app.transports.sse import StreamOptions

_LOG_PAGE: Final = 1000
"""The most messages that one answer of the log route holds."""

_LONGEST_WAIT: Final = 30.0

IdempotencyKey = Annotated[
    str | None,
    HeaderParameter(
        name="Idempotency-Key",
        schema_extra={"minLength": 1, "maxLength": MAX_KEY},  # told, not enforced: it is refused as the field is
        description="The same key with the same body starts nothing twice.",
    ),
]
_SAME: Final = ResponseSpec(RunView, generate_examples=False, description="The run that this key started before.")


@post(
    "/sessions/{session_id:str}/runs",
    operation_class=OperationSpec,
    operation_id="startRun",
    summary="Start a run",
    tags=["runs"],
    status_code=202,
    media_type=MediaType.JSON,
    responses={
        200: _SAME,
        **declared(
            InvalidJson,
            InvalidMessage,
            ForbiddenOrigin,
            SessionNotFound,
            RunActive,
            QueueFull,
            TooLarge,
            IdempotencyMismatch,
            RateLimited,
            StorageFull,
            Draining,
        ),
    },
    **BY_TICKET,
)
async def start_run(
    session_id: FromPath[str],
    data: JSONBody[StartRun],
    registry: Registry,
    principal: NamedDependency[str],
    request: Request[Any, Any, Any],
    stream_options: NamedDependency[SkipValidation[StreamOptions]],
    idempotency_key: IdempotencyKey = None,
) -> Response[RunView]:
    """Send a message; the answer is the run that it started, whose events are elsewhere."""
    cause = Cause.of(request.headers, stream_options.telemetry.tracing.headers)
    message = new_message(data, idempotency_key=_as_in_a_body(idempotency_key), cause=cause)
    started = await registry.start(principal, session_id, message)
    run = started.run if started.created else await registry.run(principal, session_id, started.run.id)
    return Response(run_view(run), status_code=202 if started.created else 200)


def _as_in_a_body(key: str | None) -> str | None:
    """A header's bytes, which were taken for latin-1, as the UTF-8 that they are in a body."""
    try:
        return key.encode("latin-1").decode() if key is not None else None
    except UnicodeDecodeError:
        raise InvalidMessage("Idempotency-Key: expected UTF-8") from None


@get(
    "/sessions/{session_id:str}/runs",
    operation_class=OperationSpec,
    operation_id="listRuns",
    summary="List runs",
    tags=["runs"],
    responses=declared(InvalidMessage, SessionNotFound),
)
async def list_runs(
    session_id: FromPath[str],
    registry: Registry,
    principal: NamedDependency[str],
    limit: Limit = PAGE,
    cursor: PageCursor = None,
) -> RunList:
    """The session's runs, oldest first."""
    page = await registry.runs(principal, session_id, limit, cursor)
    return RunList(items=[run_view(run) for run in page.items], next=page.next)


@get(
    "/sessions/{session_id:str}/runs/{run_id:str}",
    operation_class=OperationSpec,
    operation_id="getRun",
    summary="Get a run",
    tags=["runs"],
    responses=declared(SessionNotFound, RunNotFound),
)
async def get_run(
    session_id: FromPath[str], run_id: FromPath[str], registry: Registry, principal: NamedDependency[str]
) -> RunView:
    """One run and where it stands."""
    return run_view(await registry.run(principal, session_id, run_id))


@post(
    "/sessions/{session_id:str}/runs/{run_id:str}/cancel",
    operation_class=OperationSpec,
    operation_id="cancelRun",
    summary="Cancel a run",
    tags=["runs"],
    status_code=202,
    responses=declared(SessionNotFound, RunNotFound, ForbiddenOrigin),
    **BY_TICKET,
)
async def cancel_run(
    session_id: FromPath[str], run_id: FromPath[str], registry: Registry, principal: NamedDependency[str]
) -> RunView:
    """Cancel it; a run that has ended answers with its state."""
    return run_view(await registry.cancel(principal, session_id, run_id))


@post(
    "/sessions/{session_id:str}/runs/{run_id:str}/approvals/{call_id:str}",
    operation_class=OperationSpec,
    operation_id="answerApproval",
    summary="Answer an approval",
    tags=["runs"],
    status_code=202,
    responses=declared(
        InvalidJson, InvalidMessage, SessionNotFound, RunNotFound, NoSuchApproval, ForbiddenOrigin, TooLarge
    ),
    **BY_TICKET,
)
async def answer_approval(
    session_id: FromPath[str],
    run_id: FromPath[str],
    call_id: FromPath[str],
    data: JSONBody[AnswerApproval],
    registry: Registry,
    principal: NamedDependency[str],
) -> ApprovalView:
    """Answer what the run's agent asked; every viewer sees the answer, and the same answer twice is one."""
    approval = approval_of(data)
    await registry.approve(principal, session_id, call_id, approval, run_id)
    return ApprovalView(call_id=call_id, approved=approval.approved, comment=approval.comment)


@frozen(kw_only=True, slots=False)
class LogPage:
    """Messages of a run as plain JSON; `next` is the position to go on from, `done` says that nothing will follow."""

    events: list[RunEvent]
    next: str
    done: bool


@get(
    "/sessions/{session_id:str}/runs/{run_id:str}/log",
    operation_class=OperationSpec,
    operation_id="readLog",
    summary="Read a run's log",
    tags=["runs"],
    responses={
        200: ResponseSpec(LogPage, generate_examples=False, description="Messages, oldest first."),
        **declared(BadPosition, SessionNotFound, RunNotFound, RateLimited, Crowded, Draining),
    },
    **BY_TICKET,
)
async def read_log(
    session_id: FromPath[str],
    run_id: FromPath[str],
    registry: Registry,
    principal: NamedDependency[str],
    after: After = None,
    limit: Annotated[
        int, QueryParameter(name="limit", ge=1, le=_LOG_PAGE, description="At most so many messages.")
    ] = _LOG_PAGE,
    wait: Annotated[
        float, QueryParameter(name="wait", ge=0, le=_LONGEST_WAIT, description="Seconds to wait for a first event.")
    ] = 0.0,
) -> Response[bytes]:
    """The same messages as plain JSON, for clients that can't stream: `wait` makes it a long poll."""
    start = start_of(after, None)
    part = await registry.read_log(principal, session_id, run_id, start, limit=limit, wait=wait)
    body = b'{"events":[%s],"next":"%s","done":%s}' % (
        b",".join(frame.json for frame in part.frames),
        str(part.next).encode(),
        b"true" if part.done else b"false",
    )
    return Response(body, media_type="application/json")
