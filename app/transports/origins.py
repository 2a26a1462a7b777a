"""Who may call from a browser: `Origin` checked on every handshake and every unsafe request (P6.4).

A request without an `Origin` is no page's; one whose `Origin` is the server's own, or listed, passes.
"""

from __future__ import annotations

from typing import Final

from litestar.config.cors import CORSConfig
from litestar.datastructures import Headers, MutableScopeHeaders
from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import ForbiddenOrigin

_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_DEFAULT_PORTS: Final = {"http": ":80", "https": ":443"}


class Origins:
    """The origins that may connect.

    Args:
        allowed: foreign ones, as `https://app.example`.

    Attributes:
        allowed: these.
    """

    def __init__(self, allowed: tuple[str, ...]) -> None:
        self.allowed = frozenset(allowed)

    def check(self, scope: Scope) -> None:
        """Return when the request may go on.

        Raises:
            ForbiddenOrigin: its Origin is neither the server's own nor allowed.
        """
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
    """Refuses unsafe HTTP methods from foreign origins; the WebSocket route asks `Origins` after its handshake."""

    scopes = (ScopeType.HTTP,)

    def __init__(self, origins: Origins) -> None:
        self._origins = origins

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        if str(scope.get("method")) not in _SAFE:
            self._origins.check(scope)
        await next_app(scope, receive, _varying(send) if self._origins.allowed else send)


def _varying(send: Send) -> Send:
    """Tell caches that an answer depends on who asks, also where it was given to nobody's page."""

    async def send_(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableScopeHeaders.from_message(message).setdefault("vary", "Origin")
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
