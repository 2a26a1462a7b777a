"""One log line per request and per connection: no bodies, no query strings (tickets travel there)."""

from __future__ import annotations

import time

import structlog
from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Message, Receive, Scope, Send

log = structlog.get_logger()


class AccessLog(ASGIMiddleware):
    """Logs `request.answered` and `socket.closed`, with the seconds that each took."""

    scopes = (ScopeType.HTTP, ScopeType.WEBSOCKET)

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        structlog.contextvars.clear_contextvars()
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
            took = round(time.monotonic() - began, 4)
            if scope["type"] == ScopeType.HTTP:
                log.info("request.answered", method=scope["method"], path=scope["path"], status=status, took=took)
            else:
                log.info("socket.closed", path=scope["path"], took=took)
