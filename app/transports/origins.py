"""Who may call from a browser: `Origin` checked on every handshake and every unsafe request (P6.4).

A request without an `Origin` is no page's; one whose `Origin` is the server's own, or listed, passes.

A page may have its own name lead to 127.0.0.1, once it is loaded (DNS rebinding): to the browser, this server is then
the page's own. Where nobody has to authenticate, the name that was asked for must therefore be a local one.
"""

from __future__ import annotations

import re
from typing import Any, Final

from litestar import Request
from litestar.config.cors import CORSConfig
from litestar.datastructures import Headers, MutableScopeHeaders
from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.status_codes import HTTP_400_BAD_REQUEST
from litestar.types import ASGIApp, HTTPResponseStartEvent, HTTPScope, Message, Receive, Scope, Send

from app.errors import ForbiddenOrigin, InvalidMessage, Refusal
from app.measures import Measures
from app.transports.problems import of_refusal

_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_LOCAL: Final = re.compile(r"(([\w-]+\.)*localhost|127(\.\d{1,3}){3}|\[::1\])(:\d+)?", re.ASCII)
_DEFAULT_PORTS: Final = {"http": ":80", "https": ":443"}


class Origins:
    """The origins that may connect.

    Args:
        allowed: foreign ones, as `https://app.example`.
        only_local: answer to the names of this machine, and to those of the allowed origins, alone.

    Attributes:
        allowed: the foreign ones.
    """

    def __init__(self, allowed: tuple[str, ...], *, only_local: bool = False) -> None:
        self.allowed = frozenset(allowed)
        self._only_local = only_local
        self._hosts = {origin.partition("://")[2] for origin in allowed}

    def check_host(self, scope: Scope) -> None:
        """Return when the request was sent to a name that the server answers to.

        Raises:
            ForbiddenOrigin: it was not.
        """
        host = Headers.from_scope(scope).get("host", "").lower() if self._only_local else ""
        if host and host not in self._hosts and _LOCAL.fullmatch(host) is None:
            raise ForbiddenOrigin(
                "while nobody has to authenticate, this server answers to localhost and RUNCAST_ALLOWED_ORIGINS alone"
            )

    def check(self, scope: Scope) -> None:
        """Return when the request may go on.

        Raises:
            ForbiddenOrigin: its Origin is neither the server's own nor allowed, or it was sent to another server.
        """
        self.check_host(scope)
        headers = Headers.from_scope(scope)
        origin = headers.get("origin")
        if origin is None or origin.lower() in self.allowed:
            return
        scheme, _, netloc = origin.lower().partition("://")
        # Behind a proxy that ends TLS the server does not know its own scheme; its Host is what the browser asked for.
        host = headers.get("host", "").lower()
        port = _DEFAULT_PORTS.get(scheme)
        if port is not None and netloc and netloc.removesuffix(port) == host.removesuffix(port):
            return
        raise ForbiddenOrigin("this origin may not connect")


class OriginMiddleware(ASGIMiddleware):
    """Refuses unsafe HTTP methods from foreign origins, and whatever was sent to another server.

    The WebSocket route asks `Origins` after its handshake.
    """

    scopes = (ScopeType.HTTP,)

    def __init__(self, origins: Origins) -> None:
        self._origins = origins

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        if str(scope.get("method")) in _SAFE:
            self._origins.check_host(scope)
        else:
            self._origins.check(scope)
        await next_app(scope, receive, _varying(send) if self._origins.allowed else send)


class Preflights:
    """Wraps the application: a preflight that is refused is told why as a problem, like all that is refused.

    Args:
        app: answers preflights itself, and in plain text.
        origins: whose preflights are taken.
        measures: where refusals are counted.
    """

    def __init__(self, app: ASGIApp, origins: Origins, measures: Measures) -> None:
        self._app = app
        self._origins = origins
        self._measures = measures

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let one request or connection through."""
        if scope["type"] != ScopeType.HTTP or scope["method"] != "OPTIONS":
            await self._app(scope, receive, send)
            return
        refused = False

        async def telling(message: Message) -> None:
            nonlocal refused
            if message["type"] == "http.response.start":
                refused = _is_refusal(message)
            if not refused:
                await send(message)

        await self._app(scope, receive, telling)
        if refused:
            await self._refuse(scope, receive, send)

    async def _refuse(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        if Headers.from_scope(scope).get("origin") in self._origins.allowed:
            refusal: Refusal = InvalidMessage("pages may not ask with this method, or with these headers")
        else:
            refusal = ForbiddenOrigin("this origin may not connect")
        self._measures.rejected["http", refusal.code] += 1
        answer = of_refusal(refusal).to_asgi_response(None, Request[Any, Any, Any](scope))
        await answer(scope, receive, send)


def _is_refusal(start: HTTPResponseStartEvent) -> bool:
    return start["status"] == HTTP_400_BAD_REQUEST and MutableScopeHeaders.from_message(start).get(
        "content-type", ""
    ).startswith("text/plain")


def _varying(send: Send) -> Send:
    """Tell caches that an answer depends on who asks, also where it was given to nobody's page."""

    async def send_(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableScopeHeaders.from_message(message)
            if "origin" not in ",".join(headers.getall("vary", [])).lower():
                headers.add("vary", "Origin")
        await send(message)

    return send_


def cors(allowed: tuple[str, ...]) -> CORSConfig | None:
    """CORS answers that name the allowed origins, and nobody else."""
    if not allowed:
        return None
    return CORSConfig(
        allow_origins=list(allowed),
        allow_methods=["GET", "POST", "DELETE"],
        allow_headers=["content-type", "authorization", "idempotency-key", "last-event-id"],
        expose_headers=["retry-after"],
        max_age=600,
    )
