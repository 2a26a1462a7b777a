"""Routes about sessions (section 5 of the protocol)."""

from __future__ import annotations

from typing import Final

from litestar import delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from app.errors import Draining, ForbiddenOrigin, InvalidJson, InvalidMessage, SessionNotFound, TooLarge
from app.transports.auth.authenticator import BY_TICKET
from app.transports.bodies import (
    MAX_TITLE,
    CreateSession,
    MessageList,
    SessionList,
    SessionView,
    message_views,
    session_view,
)
from app.transports.operations import OperationSpec, OptionalBodySpec
from app.transports.parameters import PAGE, Limit, PageCursor, Registry
from app.transports.problems import declared

_ANY_SESSION: Final = CreateSession()


@post(
    "/sessions",
    operation_class=OptionalBodySpec,
    operation_id="createSession",
    summary="Create a session",
    tags=["sessions"],
    responses=declared(InvalidJson, InvalidMessage, ForbiddenOrigin, TooLarge, Draining),
)
async def create_session(
    registry: Registry, principal: NamedDependency[str], data: JSONBody[CreateSession] = _ANY_SESSION
) -> SessionView:
    """Create a session; an empty body will do."""
    if data.title is not None and len(data.title) > MAX_TITLE:
        raise InvalidMessage(f"$.title: at most {MAX_TITLE} characters")
    return session_view(await registry.create_session(principal, data.profile, data.title))


@get(
    "/sessions",
    operation_class=OperationSpec,
    operation_id="listSessions",
    summary="List sessions",
    tags=["sessions"],
    responses=declared(InvalidMessage),
)
async def list_sessions(
    registry: Registry, principal: NamedDependency[str], limit: Limit = PAGE, cursor: PageCursor = None
) -> SessionList:
    """The caller's sessions, newest first."""
    page = await registry.sessions(principal, limit, cursor)
    return SessionList(items=[session_view(session) for session in page.items], next=page.next)


@get(
    "/sessions/{session_id:str}",
    operation_class=OperationSpec,
    operation_id="getSession",
    summary="Get a session",
    tags=["sessions"],
    responses=declared(SessionNotFound),
    **BY_TICKET,  # who may cancel the run in progress has to know which one it is
)
async def get_session(session_id: FromPath[str], registry: Registry, principal: NamedDependency[str]) -> SessionView:
    """One session, with its run in progress."""
    return session_view(await registry.session(principal, session_id))


@delete(
    "/sessions/{session_id:str}",
    operation_class=OperationSpec,
    operation_id="deleteSession",
    summary="Delete a session",
    tags=["sessions"],
    responses=declared(SessionNotFound, ForbiddenOrigin),
)
async def delete_session(session_id: FromPath[str], registry: Registry, principal: NamedDependency[str]) -> None:
    """Cancel its run, give its viewers the terminal, and remove everything that was kept of it."""
    await registry.delete_session(principal, session_id)


@get(
    "/sessions/{session_id:str}/messages",
    operation_class=OperationSpec,
    operation_id="listMessages",
    summary="Read the transcript",
    tags=["sessions"],
    responses=declared(InvalidMessage, SessionNotFound),
)
async def list_messages(
    session_id: FromPath[str],
    registry: Registry,
    principal: NamedDependency[str],
    limit: Limit = PAGE,
    cursor: PageCursor = None,
) -> MessageList:
    """What user and agent said, oldest first; `limit` counts runs, each of which has up to two messages."""
    page = await registry.transcript(principal, session_id, limit, cursor)
    return MessageList(items=[view for run in page.items for view in message_views(run)], next=page.next)
