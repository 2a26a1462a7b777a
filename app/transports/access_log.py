"""One log line per request and per connection: no bodies, no query strings (tickets travel there)."""

from __future__ import annotations

import time
from typing import Any, Final

import structlog
from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from app.transports.auth.principals import ANYBODY

log = structlog.get_logger()

PROBE: Final = {"probe": True}
"""`opt` of the routes that machines ask again and again: they are told of only when something is wrong."""

_TOLD: Final = "runcast.told"
_OK: Final = 200


def tell(scope: Any, **fields: Any) -> None:
    """Add fields to the line that this request or connection will get."""
    scope.setdefault(_TOLD, {}).update(fields)


class AccessLog(ASGIMiddleware):
    """Logs `request.answered`, `stream.closed` or `socket.closed`, with the seconds that each took."""

    scopes = (ScopeType.HTTP, ScopeType.WEBSOCKET)

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(path=scope["path"])  # whatever is logged on the way names it
        began = time.monotonic()
        status: int | None = None

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await next_app(scope, receive, noting if scope["type"] == ScopeType.HTTP else send)
        finally:
            fields: dict[str, Any] = {"took": round(time.monotonic() - began, 4)}
            if (caller := scope.get("user", ANYBODY)) != ANYBODY:
                fields["principal"] = caller
            told: dict[str, Any] = scope.get(_TOLD, {})  # type: ignore[assignment]
            if scope["type"] == ScopeType.WEBSOCKET:
                log.info("socket.closed", **fields, **told)
            elif told:
                log.info("stream.closed", method=scope["method"], status=status, **fields, **told)
            else:
                write = log.debug if status == _OK and _is_probe(scope) else log.info
                write("request.answered", method=scope["method"], status=status, **fields)


def _is_probe(scope: Any) -> bool:
    return PROBE.items() <= getattr(scope.get("route_handler"), "opt", {}).items()
