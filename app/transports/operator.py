"""The operator's view of runs: everybody's, live, without a word of what was said in them."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Annotated, Any, Final

import msgspec
from attrs import frozen
from litestar import Request, Response, get
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import QueryParameter, SkipValidation

from app.errors import InvalidMessage
from app.oversight import Overseen
from app.sessions.base import RunStatus
from app.transports.access_log import PROBE
from app.transports.auth.authenticator import OPEN
from app.transports.conditional import has
from app.transports.metrics import MetricsDoor
from app.transports.operations import OperationSpec
from app.transports.parameters import PAGE, Limit, PageCursor, Registry
from app.transports.problems import declared
from app.transports.structuring import converter


@frozen(kw_only=True, slots=False)
class OperatorRun:
    """A run of anybody's: `viewers` are counted by transport, `lag` is the greatest of theirs, in events.

    `waits_for_approval`: its agent has asked somebody, and waits for the answer.
    """

    id: str
    session_id: str
    number: int
    principal: str
    profile: str
    host: str
    status: RunStatus
    position: str
    viewers: dict[str, int]
    lag: int
    waits_for_approval: bool
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    code: str | None
    reason: str | None


@frozen(kw_only=True, slots=False)
class OperatorRunList:
    """One page of runs; `next` is the cursor of the following one."""

    items: list[OperatorRun]
    next: str | None


_RUNS: Final = ResponseSpec(OperatorRunList, generate_examples=False, description="Runs, newest first.")
_KNOWN: Final = ResponseSpec(None, generate_examples=False, description="As `If-None-Match` knows it.")


@get(
    "/operator/runs",
    operation_class=OperationSpec,
    operation_id="listEveryRun",
    summary="List everybody's runs",
    tags=["operations"],
    opt={**PROBE, **OPEN},
    responses={200: _RUNS, 304: _KNOWN, **declared(InvalidMessage)},
)
async def list_every_run(
    request: Request[Any, Any, Any],
    registry: Registry,
    metrics_door: NamedDependency[SkipValidation[MetricsDoor]],
    status: Annotated[
        list[RunStatus] | None, QueryParameter(name="status", description="Only runs in one of these states.")
    ] = None,
    limit: Limit = PAGE,
    cursor: PageCursor = None,
) -> Response[bytes]:
    """What is executed here, what waits, and what has ended: for the operator, by the token of `/metrics`.

    It is cheap to ask again and again: an answer has an ETag.
    """
    metrics_door.check(request.scope)
    page = await registry.oversight.runs(status or list(RunStatus), limit, cursor)
    answer = OperatorRunList(items=[_view(run) for run in page.items], next=page.next)
    body = msgspec.json.encode(converter.unstructure(answer))
    headers = {"etag": f'"{hashlib.sha256(body).hexdigest()[:32]}"', "cache-control": "no-cache"}
    if has(request, headers["etag"]):
        return Response(b"", status_code=304, headers=headers)
    return Response(body, media_type="application/json", headers=headers)


def _view(run: Overseen) -> OperatorRun:
    record = run.record
    return OperatorRun(
        id=record.id,
        session_id=record.session_id,
        number=record.number,
        principal=record.principal,
        profile=record.profile,
        host=record.host,
        status=record.status,
        position=str(run.position),
        viewers=dict(sorted(run.viewers.items())),
        lag=run.lag,
        waits_for_approval=run.asks,
        created_at=record.created_at,
        started_at=record.started_at,
        ended_at=record.ended_at,
        code=record.code,
        reason=record.reason,
    )
