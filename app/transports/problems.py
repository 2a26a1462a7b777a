"""Errors -> RFC 9457 problem details, in one place; and how routes declare them."""

from __future__ import annotations

import secrets
from typing import Any, Final

import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException
from litestar.openapi.datastructures import ResponseSpec
from litestar.types import ExceptionHandlersMap

from app.errors import InvalidMessage, Refusal, StoreUnavailable, Unauthenticated
from app.measures import Measures
from app.transports.bodies import Problem
from app.transports.structuring import converter

log = structlog.get_logger()

MEDIA_TYPE: Final = "application/problem+json"

_LEFT: Final = "client disconnected prematurely"
"""What Litestar says, as a fault of the server, when a client leaves in the middle of its body."""

_FRAMEWORK: Final = {
    400: ("invalid_message", "Invalid request"),
    404: ("not_found", "No such route"),
    405: ("method_not_allowed", "Method not allowed"),
    413: ("too_large", "Too large"),
    415: ("invalid_message", "Unsupported media type"),
}


def problem(
    status: int,
    code: str,
    title: str,
    detail: str,
    *,
    incident: str | None = None,
    headers: dict[str, str] | None = None,
) -> Response[Any]:
    """One problem as a response."""
    body = Problem(
        type=f"urn:runcast:problem:{code}", title=title, status=status, detail=detail, code=code, incident=incident
    )
    content = {name: value for name, value in converter.unstructure(body).items() if value is not None}
    return Response(content, status_code=status, media_type=MEDIA_TYPE, headers=headers)


def of_refusal(refusal: Refusal) -> Response[Any]:
    """A refusal as a response."""
    return problem(refusal.status, refusal.code, refusal.title, str(refusal), headers=_headers(refusal))


def _headers(refusal: Refusal) -> dict[str, str] | None:
    if isinstance(refusal, Unauthenticated):
        error = ', error="invalid_token"' if refusal.given else ""
        return {"www-authenticate": f'Bearer realm="runcast"{error}'}
    return {"retry-after": "1"} if refusal.status in (429, 503) else None


def _refused(request: Request[Any, Any, Any], refusal: Refusal) -> Response[Any]:
    _count(request, refusal.code)
    return of_refusal(refusal)


def _count(request: Request[Any, Any, Any], code: str) -> None:
    measures: Measures = request.app.state.measures
    measures.rejected["http", code] += 1


def _framework(request: Request[Any, Any, Any], error: HTTPException) -> Response[Any]:
    if error.detail == _LEFT:
        _count(request, "invalid_message")
        return problem(400, "invalid_message", "Invalid request", "the body was cut")
    if error.status_code >= 500:  # noqa: PLR2004
        return _unexpected(request, error)
    if _body_is_missing(error):
        return _refused(request, InvalidMessage("$: expected a JSON object as the body"))
    code, title = _FRAMEWORK.get(error.status_code, ("invalid_message", "Invalid request"))
    _count(request, code)
    found = problem(error.status_code, code, title, _detail(error))
    if error.headers:
        found.headers.update(error.headers)
    return found


def _body_is_missing(error: HTTPException) -> bool:
    extra = error.extra if isinstance(error.extra, list) else []
    return any(isinstance(e, dict) and e.get("message") == "'data'" for e in extra)


def _detail(error: HTTPException) -> str:
    extra = error.extra if isinstance(error.extra, list) else []
    fields = [f"{e.get('key')}: {e.get('message')}" for e in extra if isinstance(e, dict) and e.get("key")]
    return "; ".join(fields) or error.detail


def _unexpected(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
    incident = secrets.token_hex(8)
    _count(request, "internal_error")
    log.error("request.failed", incident=incident, method=request.method, path=request.url.path, exc_info=error)
    detail = "something went wrong on the server; the incident number leads to its log"
    return problem(500, "internal_error", "Internal error", detail, incident=incident)


def _unavailable(request: Request[Any, Any, Any], error: StoreUnavailable) -> Response[Any]:
    _count(request, "internal_error")
    log.error("storage.failed", method=request.method, path=request.url.path, reason=str(error))
    detail = "what the server keeps can't be read or written just now; nothing was changed"
    return problem(503, "internal_error", "Storage unavailable", detail, headers={"retry-after": "5"})


HANDLERS: Final[ExceptionHandlersMap] = {
    Refusal: _refused,
    HTTPException: _framework,
    StoreUnavailable: _unavailable,
    Exception: _unexpected,
}


def declared(*refusals: type[Refusal]) -> dict[int, ResponseSpec]:
    """The problem responses that a guarded route declares, by status.

    Refusals of malformed parameters and of unknown callers, and failures of the server and of its storage, are always
    among them.
    """
    return declared_open(Unauthenticated, *refusals)


def declared_open(*refusals: type[Refusal]) -> dict[int, ResponseSpec]:
    """The same of a route that anybody may call."""
    by_status: dict[int, list[str]] = {400: ["invalid_message"], 500: ["internal_error"], 503: ["internal_error"]}
    for refusal in refusals:
        by_status.setdefault(refusal.status, []).append(refusal.code)
    return {
        status: ResponseSpec(
            Problem,
            media_type=MEDIA_TYPE,
            generate_examples=False,
            description=", ".join(f"`{code}`" for code in codes),
        )
        for status, codes in sorted(by_status.items())
    }
