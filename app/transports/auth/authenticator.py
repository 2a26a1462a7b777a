"""Whoever calls is named here, once per request and connection, before anything else is done for them (P6.1, P6.3).

Every HTTP route asks, save those that are marked `OPEN`. A route marked `BY_TICKET` takes a ticket for its session
too. The WebSocket asks after its handshake, so that browsers see the close code (P7.5).
"""

from __future__ import annotations

from typing import Any, Final

from attrs import frozen
from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Receive, Scope, Send

from app.errors import Unauthenticated
from app.transports.auth.credentials import bearer_of, ticket_of
from app.transports.auth.principals import ANYBODY, Tokens
from app.transports.auth.tickets import Tickets

OPEN: Final[dict[str, Any]] = {"open": True}
"""`opt` of a route that anybody may call."""

BY_TICKET: Final[dict[str, Any]] = {"opt": {"by_ticket": True}, "security": [{"ticket": []}]}
"""Keywords of a route that takes a ticket for its session instead of a token (P6.2)."""


@frozen
class Authenticator:
    """Names the caller.

    Attributes:
        tokens: how tokens are told; None lets anybody in, as `local`.
        tickets: those that this server signed.
    """

    tokens: Tokens | None
    tickets: Tickets

    def principal(self, scope: Scope, session_id: str | None = None) -> str:
        """Who calls; with `session_id`, a ticket for that session will do.

        Raises:
            Unauthenticated: nobody is known by what was shown.
        """
        if self.tokens is None:
            return ANYBODY
        if (token := bearer_of(scope)) is not None:
            return self.tokens.principal(token)
        if session_id is not None and (ticket := ticket_of(scope)) is not None:
            return self.tickets.principal(ticket, session_id)
        raise Unauthenticated("this needs a token: Authorization: Bearer <token>", given=False)


class Guard(ASGIMiddleware):
    """Puts the caller into `scope["user"]`, or refuses the request before its body is read."""

    scopes = (ScopeType.HTTP,)
    exclude_opt_key = "open"

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        if str(scope.get("method")) != "OPTIONS":  # which asks what may be asked, and comes without credentials
            by_ticket = scope["route_handler"].opt.get("by_ticket", False)
            session_id = scope["path_params"]["session_id"] if by_ticket else None
            authenticator: Authenticator = scope["litestar_app"].state.authenticator
            scope["user"] = authenticator.principal(scope, session_id)
        await next_app(scope, receive, send)
