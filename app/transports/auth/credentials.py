"""What a caller shows: a bearer token in a header or among the subprotocols of a WebSocket, or a ticket (P6.2)."""

from __future__ import annotations

from typing import Any, Final

from litestar.datastructures import Headers
from litestar.types import Scope

from app.errors import Unauthenticated
from app.transports.auth.principals import MAX_TOKEN, well_formed

SUBPROTOCOL: Final = "runcast.v1"
"""What a WebSocket of ours speaks; offered beside `bearer.<token>`, it is what the server answers."""

_BEARER: Final = "bearer."


def bearer_of(scope: Scope) -> str | None:
    """The bearer token, None if none is shown.

    Raises:
        Unauthenticated: what is shown is malformed, or there is more than one.
    """
    found = [part[7:].strip() for part in Headers.from_scope(scope).getall("authorization", []) if _is_bearer(part)]
    found += [name.removeprefix(_BEARER) for name in _subprotocols(scope) if name.startswith(_BEARER)]
    if len(set(found)) > 1:
        raise Unauthenticated("more than one token was given", given=True)
    return well_formed(found[0]) if found else None


def ticket_of(scope: Scope) -> str | None:
    """The ticket of the query, None if none is shown."""
    found = [part[7:] for part in scope["query_string"].split(b"&") if part.startswith(b"ticket=")]
    if not found:
        return None
    if len(found) > 1 or len(found[0]) > MAX_TOKEN:
        raise Unauthenticated("the ticket is malformed", given=True)
    return well_formed(found[0].decode("latin-1"))


def answer_to(scope: Scope) -> str | None:
    """The subprotocol that a handshake is answered with: ours if it was offered, and never a token."""
    return SUBPROTOCOL if SUBPROTOCOL in _subprotocols(scope) else None


def _is_bearer(header: str) -> bool:
    scheme, _, _ = header.partition(" ")
    return scheme.lower() == "bearer"


def _subprotocols(scope: Scope) -> list[str]:
    offered: Any = scope.get("subprotocols")
    return list(offered or ())
