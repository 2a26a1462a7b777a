"""The route that makes tickets (P6.2)."""

from __future__ import annotations

from litestar import MediaType, Response, post
from litestar.di import NamedDependency
from litestar.params import JSONBody, SkipValidation

from app.errors import ForbiddenOrigin, InvalidJson, InvalidMessage, SessionNotFound, TooLarge
from app.transports.auth.authenticator import Authenticator
from app.transports.auth.tickets import LIFETIME
from app.transports.bodies import CreateTicket, TicketView
from app.transports.operations import OperationSpec
from app.transports.parameters import Registry
from app.transports.problems import declared


@post(
    "/tickets",
    operation_class=OperationSpec,
    operation_id="createTicket",
    summary="Create a ticket",
    tags=["sessions"],
    media_type=MediaType.JSON,
    responses=declared(InvalidJson, InvalidMessage, ForbiddenOrigin, SessionNotFound, TooLarge),
)
async def create_ticket(
    data: JSONBody[CreateTicket],
    registry: Registry,
    principal: NamedDependency[str],
    authenticator: NamedDependency[SkipValidation[Authenticator]],
) -> Response[TicketView]:
    """Make what a browser's WebSocket or EventSource shows as `?ticket=`: for one session and five minutes."""
    session = await registry.session(principal, data.session_id)
    ticket = authenticator.tickets.issue(principal, session.id)
    return Response(TicketView(ticket=ticket, expires_in=LIFETIME), headers={"cache-control": "no-store"})
