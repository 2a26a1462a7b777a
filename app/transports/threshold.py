"""What every request passes, whether or not a route knows it: the log, the headers of answers, HEAD as GET."""

from __future__ import annotations

import time
from typing import Any, Final

import structlog
from litestar.enums import HttpMethod, ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from app.transports.access_log import log_answer, logged_path

_HEADERS: Final = {
    b"cache-control": b"no-store",
    b"content-security-policy": b"default-src 'none'; frame-ancestors 'none'",
    b"cross-origin-resource-policy": b"same-origin",
    b"referrer-policy": b"no-referrer",
    b"x-content-type-options": b"nosniff",
}
"""What an answer says where its route says nothing else: it is kept, framed, embedded and guessed at by nobody."""


class Threshold:
    """Wraps the application."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let one request or connection in, and tell of it when it is over."""
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(path=logged_path(scope))  # whatever is logged on the way names it
        began = time.monotonic()
        status: int | None = None

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                _complete(message)
            await send(message)

        try:
            if scope["type"] == ScopeType.WEBSOCKET:
                await self._app(scope, receive, send)
            elif scope["method"] == HttpMethod.HEAD:
                await self._app(_as_get(scope), receive, _without_body(noting))
            else:
                await self._app(scope, receive, noting)
        finally:
            log_answer(scope, status, time.monotonic() - began)


def _complete(message: Any) -> None:
    said = {name.lower() for name, _ in message["headers"]}
    message["headers"] = [*message["headers"], *(header for header in _HEADERS.items() if header[0] not in said)]


def _as_get(scope: Any) -> Any:
    return {**scope, "method": "GET"}


def _without_body(send: Send) -> Send:
    """Answer with the head that a GET would have had; who streams finds that the client has left."""

    async def send_head(message: Message) -> None:
        if message["type"] == "http.response.start":
            await send(message)
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    return send_head
