"""The WebSocket of a session: a listener for commands, and a sender beside it (P3.1, P4.1).

Litestar's listener does not read while its handler awaits, so nothing is ever streamed from the handler: it hands the
command over and returns. The sender follows the session's viewer until one of the two ends.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import anyio
import structlog
from litestar import WebSocket, websocket_listener
from litestar.di import NamedDependency
from litestar.exceptions import WebSocketDisconnect
from litestar.params import FromPath, SkipValidation
from msgspec import UNSET

from app.dialects import messages, native
from app.errors import (
    BadPosition,
    InvalidJson,
    InvalidMessage,
    RateLimited,
    Refusal,
    SessionNotFound,
    StoreUnavailable,
    TooLarge,
    TooManyCommands,
    UnknownType,
)
from app.measures import ViewerCount
from app.registry import RunRegistry
from app.transports.access_log import tell
from app.transports.auth.authenticator import Authenticator
from app.transports.auth.credentials import answer_to
from app.transports.commands import (
    ApproveCommand,
    CancelCommand,
    Command,
    MessageCommand,
    PingCommand,
    approval_of,
    new_message,
    parse,
    request_id_of,
)
from app.transports.cutting import Patience, cut
from app.transports.json_text import decode
from app.transports.origins import Origins
from app.transports.parameters import After, start_of
from app.transports.rates import Rate
from app.transports.sse import StreamOptions
from app.transports.viewing import Viewing
from app.viewing.viewer import Viewer

log = structlog.get_logger()

_REFUSED_FRAMES: Final = 20
"""How many frames a connection may send in a minute that are malformed, or commands over the limit (P4.2, P6.6)."""

_NO_GOOD_FRAME: Final = (InvalidJson, UnknownType, InvalidMessage, TooManyCommands)

_TOO_SLOW: Final = (4508, "too slow, reconnect")
_DRAINING: Final = (1012, "the server is shutting down, reconnect")
_FAILED: Final = (1011, "something went wrong on the server")
_DONE: Final = (1000, "")
_WHY: Final = {
    4508: "too_slow",
    1012: "draining",
    1011: "failed",
    4004: "session_deleted",
    RateLimited.close_code: "rate_limited",
}
"""Why a viewer is cut, by the code that tells it."""

_WHY_LEFT: Final = {TooLarge.close_code: "too_large", RateLimited.close_code: "rate_limited"}
"""The same where the server's protocol closed before we were asked."""

_CLOSE_GRACE: Final = 1.0
"""Seconds that a peer has to take its close frame before the connection is reset, ..."""

_TOO_SLOW_GRACE: Final = 5.0
"""... and one that was too slow: it has to wake up first, and then to take what waits before the frame (P3.9)."""

_GONE: Final = (WebSocketDisconnect, OSError, RuntimeError)
"""What sending raises once the peer, or this side, has closed."""

Socket = WebSocket[Any, Any, Any]


class Connection:
    """One open WebSocket: its commands and its replies.

    Attributes:
        principal: who sends the commands, once that is known.
        viewing: what is told of its viewer, once it has one.
    """

    def __init__(self, socket: Socket, registry: RunRegistry, session_id: str, options: StreamOptions) -> None:
        self._socket = socket
        self._registry = registry
        self.principal = ""
        self._session_id = session_id
        self._sending = anyio.CancelScope()
        self._patience = Patience(socket.scope, options.send_timeout, self._sending.cancel)
        self._rejected = options.telemetry.measures.rejected
        self.viewing: Viewing | None = None
        self._closed = False
        self._max_json_depth = options.max_json_depth
        self._commands = Rate(options.commands_per_minute)
        self._refusals = Rate(_REFUSED_FRAMES)

    async def send(self, text: str) -> None:
        """Send one text frame."""
        self._patience.begun += 1
        await self._socket.send({"type": "websocket.send", "text": text})  # type: ignore[arg-type]
        self._patience.ended += 1

    async def follow(self, viewer: Viewer, count: ViewerCount) -> None:
        """Send everything that the viewer is due, then close as the reason asks (P7.5)."""
        code, reason = _TOO_SLOW
        with self._sending, self._patience:
            code, reason = await self._follow(viewer, count)
        await self.close(code, reason)

    async def _follow(self, viewer: Viewer, count: ViewerCount) -> tuple[int, str]:
        try:
            async with viewer:
                async for batch in viewer:
                    for frame in batch.frames:
                        await self.send(frame.text)
                    count.sent += len(batch.frames)
                    await asyncio.sleep(0)
        except SessionNotFound as gone:
            return gone.close_code, str(gone)
        except _GONE:
            raise
        except StoreUnavailable as error:
            log.error("storage.failed", transport="websocket", reason=str(error))  # noqa: TRY400 - no fault here
            return _FAILED
        except Exception:
            log.exception("stream.failed", transport="websocket")
            return _FAILED
        return _DRAINING if viewer.drained else _DONE

    async def close(self, code: int, reason: str) -> None:
        """Close, and cut the connection where the peer does not even take the close frame.

        What it sent before it knew is not carried out any more.
        """
        self._closed = True
        tell(self._socket.scope, code=code)
        if self.viewing is not None:
            self.viewing.ends(_WHY.get(code), code)
        with suppress(*_GONE):
            try:
                async with asyncio.timeout(_TOO_SLOW_GRACE if code == _TOO_SLOW[0] else _CLOSE_GRACE):
                    await self._socket.close(code, reason)
            except TimeoutError:
                await cut(self._socket.scope)

    async def turn_away(self, refusal: Refusal) -> None:
        """Close a connection that may not follow.

        After the handshake, or browsers would see neither the code nor the reason.
        """
        self._rejected["websocket", refusal.code] += 1
        tell(self._socket.scope, reason=refusal.code)
        if isinstance(refusal, BadPosition):
            await self.send(native.encode(messages.Error(code=refusal.code, message=str(refusal))).decode())
        await self.close(refusal.close_code, str(refusal))

    async def receive(self, text: str) -> None:
        """Carry one command out, or refuse it; the connection lives either way (P4.2)."""
        if self._closed:
            return
        value: Any = None
        try:
            value = decode(text, self._max_json_depth)
            self._refuse_too_many()
            command = parse(value)
            run_id = await self._carry_out(command)
        except Refusal as refusal:
            await self._refuse(refusal, request_id_of(value))
        except Exception:  # whatever went wrong, the other commands of this connection still count
            incident = secrets.token_hex(8)
            self._rejected["websocket", "internal_error"] += 1
            log.exception("command.failed", incident=incident)
            await self._reply_error("internal_error", "something went wrong", request_id_of(value), incident)
        else:
            if isinstance(command, PingCommand):
                await self._reply(messages.Pong())
            if command.request_id is not None:
                await self._reply(messages.Ack(request_id=command.request_id, run_id=run_id or UNSET))

    def _refuse_too_many(self) -> None:
        if not self._commands.admits():
            raise TooManyCommands("too many commands in a minute")

    async def _carry_out(self, command: Command) -> str | None:
        match command:
            case MessageCommand():
                cause = self.viewing.cause if self.viewing is not None else None
                message = new_message(command, cause=cause)
                started = await self._registry.start(self.principal, self._session_id, message)
                return started.run.id
            case CancelCommand():
                run = await self._registry.cancel(self.principal, self._session_id, command.run_id)
                return run.id
            case ApproveCommand():
                await self._registry.approve(self.principal, self._session_id, command.call_id, approval_of(command))
                return None
            case PingCommand():
                return None

    async def _refuse(self, refusal: Refusal, request_id: str | None) -> None:
        self._rejected["websocket", refusal.code] += 1
        await self._reply_error(refusal.code, str(refusal), request_id)
        if isinstance(refusal, _NO_GOOD_FRAME) and not self._refusals.admits():
            await self.close(RateLimited.close_code, "too many refused frames")

    async def _reply_error(self, code: str, message: str, request_id: str | None, incident: str | None = None) -> None:
        reply = messages.Error(
            code=code,
            message=message,
            incident=incident or UNSET,
            request_id=UNSET if request_id is None else request_id,
        )
        await self._reply(reply)

    async def _reply(self, message: messages.ReplyMessage) -> None:
        with suppress(*_GONE):
            await self.send(native.encode(message).decode())


@asynccontextmanager
async def session_lifespan(
    socket: Socket,
    session_id: FromPath[str],
    registry: NamedDependency[SkipValidation[RunRegistry]],
    authenticator: NamedDependency[SkipValidation[Authenticator]],
    stream_options: NamedDependency[SkipValidation[StreamOptions]],
    origins: NamedDependency[SkipValidation[Origins]],
    after: After = None,
) -> AsyncIterator[None]:
    """Find out where a viewer begins, accept, and keep its sender running for as long as the listener reads.

    In this order: who sees the handshake answered may start a run at once, and gets all of it.
    """
    connection = Connection(socket, registry, session_id, stream_options)
    socket.state.connection = connection
    viewer: Viewer | None = None
    refusal: Refusal | None = None
    try:
        origins.check(socket.scope)
        connection.principal = socket.scope["user"] = authenticator.principal(socket.scope, session_id)
        start = start_of(after, None)
        viewer = await registry.follow_session(connection.principal, session_id, start)
    except Refusal as refused:
        refusal = refused
    except StoreUnavailable as error:
        log.error("storage.failed", path=socket.url.path, reason=str(error))  # noqa: TRY400 - no fault here
    except Exception:
        log.exception("socket.failed")
    await socket.accept(subprotocols=answer_to(socket.scope))
    if viewer is None:
        await (connection.turn_away(refusal) if refusal is not None else connection.close(*_FAILED))
        with suppress(*_GONE):
            yield
        return
    viewing = Viewing(stream_options.telemetry, socket.scope, "websocket", viewer, start)
    connection.viewing = viewing
    with viewing:
        async with anyio.create_task_group() as group:

            async def send() -> None:
                with suppress(*_GONE):
                    await connection.follow(viewer, viewing.count)
                group.cancel_scope.cancel()

            group.start_soon(send)
            try:
                yield
            except WebSocketDisconnect as gone:
                viewing.ends("draining" if viewer.drained else _WHY_LEFT.get(gone.code), gone.code)
            except _GONE:
                pass
            group.cancel_scope.cancel()


@websocket_listener("/ws/sessions/{session_id:str}", connection_lifespan=session_lifespan)
async def session_socket(data: str, socket: Socket) -> None:
    """One text frame from the client; a binary one arrives as an empty text, which is no JSON."""
    await socket.state.connection.receive(data)
    await asyncio.sleep(0)  # commands that came in one piece take turns with everybody else's work
