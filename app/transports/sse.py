"""Server-sent events: one response class over a viewer, and the two routes that answer with it (section 3).

Ready bytes go out in one body chunk per batch. The viewer is released on every path: a client that left, one that
takes nothing, a drain, a crash.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any, Final, cast

import anyio
import structlog
from attrs import frozen
from litestar import Request, Response, get
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, SkipValidation
from litestar.response.base import ASGIResponse
from litestar.types import Receive, Send

from app.errors import BadPosition, Crowded, Draining, RateLimited, RunNotFound, SessionNotFound, StoreUnavailable
from app.measures import ViewerCount
from app.position import Position
from app.telemetry import Telemetry
from app.transports.auth.authenticator import BY_TICKET
from app.transports.cutting import Patience, cut
from app.transports.operations import OperationSpec
from app.transports.parameters import After, LastEventId, Registry, RunEvent, start_of
from app.transports.problems import declared
from app.transports.viewing import Viewing
from app.viewing.viewer import Viewer

log = structlog.get_logger()

HEARTBEAT: Final = 15.0
"""Seconds of silence after which a comment is sent (P3.8)."""

_FAREWELL: Final = 1.0
"""Seconds that a client has to take the news that the server drains; all of them know within two (P7.3)."""

_MEDIA_TYPE: Final = "text/event-stream"
_HEADERS: Final = {
    "content-type": _MEDIA_TYPE,  # or Litestar would add a charset, of which the format has only one
    "cache-control": "no-cache, no-transform",
    "x-accel-buffering": "no",
}


@frozen
class StreamOptions:
    """What every stream is given, whatever its transport.

    Attributes:
        send_timeout: seconds that a peer may take nothing (P3.9).
        telemetry: who is told of viewers.
        commands_per_minute: how many a WebSocket may send (P6.6).
        max_json_depth: how deep a command may be nested (P6.6).
    """

    send_timeout: float
    telemetry: Telemetry
    commands_per_minute: int
    max_json_depth: int


class _Stream:
    """One response while it is open."""

    def __init__(self, viewer: Viewer, send: Send, patience: Patience, count: ViewerCount) -> None:
        self._viewer = viewer
        self._send = send
        self._patience = patience
        self._count = count
        self._now: Callable[[], float] = asyncio.get_running_loop().time
        self._last = self._now()

    async def follow(self) -> None:
        """Send all there is.

        Raises:
            SessionNotFound: the session was deleted.
        """
        async with self._viewer as viewer:
            await self.write(b": connected\nretry: %d\n\n" % _retry())
            async for batch in viewer:
                await self.write(batch.sse)
                self._count.sent += len(batch.frames)

    async def watch(self, receive: Receive) -> None:
        """Return when the client has left; meanwhile, break silences."""
        while True:
            with anyio.move_on_after(max(self._last + HEARTBEAT - self._now(), 1.0)):
                if (await receive())["type"] == "http.disconnect":
                    return
                continue
            if self._patience.begun == self._patience.ended and self._now() - self._last >= HEARTBEAT:
                await self.write(b": ping\n\n")

    async def write(self, chunk: bytes, *, more: bool = True) -> None:
        self._patience.begun += 1
        await self._send({"type": "http.response.body", "body": chunk, "more_body": more})
        self._patience.ended += 1
        self._last = self._now()
        # The server's send neither waits nor raises once the client has left: let the loop find out.
        await asyncio.sleep(0)


class _EventStreamASGI(ASGIResponse):
    _should_set_content_length = False

    def __init__(self, stream: EventStream, request: Request[Any, Any, Any], **options: Any) -> None:
        super().__init__(**options)
        self._stream = stream
        self._scope = request.scope

    async def send_body(self, send: Send, receive: Receive) -> None:
        response, options = self._stream, self._stream.options
        with Viewing(options.telemetry, self._scope, "sse", response.viewer, response.start) as viewing:
            async with anyio.create_task_group() as group:
                with anyio.CancelScope() as sending:
                    with Patience(self._scope, options.send_timeout, sending.cancel) as patience:
                        stream = _Stream(response.viewer, send, patience, viewing.count)
                        group.start_soon(_leave_with_client, stream, receive, group.cancel_scope)
                        if await self._all_sent(stream, viewing):
                            group.cancel_scope.cancel()
                            return
                if sending.cancelled_caught:
                    viewing.ends("too_slow")
                await cut(self._scope)
                group.cancel_scope.cancel()

    async def _all_sent(self, stream: _Stream, viewing: Viewing) -> bool:
        """Send the stream to its end; False when it must not look finished (P3.10)."""
        try:
            await stream.follow()
            if self._stream.viewer.drained:
                viewing.ends("draining")
                async with asyncio.timeout(_FAREWELL):
                    await stream.write(b": draining\nretry: %d\n\n" % _retry())
                if self._stream.of_run:
                    return False
            viewing.ends("run_ended")
            await stream.write(b"", more=False)
        except SessionNotFound:
            viewing.ends("session_deleted")
            if self._stream.of_run:  # its log is gone before it had the terminal
                return False
            await stream.write(b"", more=False)
        except TimeoutError:
            return False
        except StoreUnavailable as error:
            viewing.ends("failed")
            log.error("storage.failed", transport="sse", reason=str(error))  # noqa: TRY400 - no fault here
            return False
        except Exception:
            viewing.ends("failed")
            log.exception("stream.failed", transport="sse")
            return False
        return True


async def _leave_with_client(stream: _Stream, receive: Receive, scope: anyio.CancelScope) -> None:
    await stream.watch(receive)
    scope.cancel()


class EventStream(Response[Any]):
    """A response that follows a viewer.

    Args:
        start: the position that it begins after, if the client brought one along.
        of_run: it follows one run, so that its clean end means that the run has ended.
    """

    def __init__(
        self,
        viewer: Viewer,
        options: StreamOptions,
        *,
        start: Position | None,
        of_run: bool,
    ) -> None:
        super().__init__(None, media_type=_MEDIA_TYPE, headers=_HEADERS)
        self.start = start
        self.viewer = viewer
        self.options = options
        self.of_run = of_run

    def to_asgi_response(
        self,
        app: Any,  # noqa: ARG002 - Litestar passes it
        request: Request[Any, Any, Any],
        *,
        headers: dict[str, str] | None = None,
        cookies: Any = None,
        status_code: int | None = None,
        is_head_response: bool = False,
        **_: Any,
    ) -> ASGIResponse:
        return _EventStreamASGI(
            self,
            request,
            headers={**(headers or {}), **self.headers},
            cookies=cookies,
            media_type=self.media_type,
            status_code=status_code or 200,
            is_head_response=is_head_response,
        )


def _retry() -> int:
    return random.randint(500, 1500)  # noqa: S311 - spreads reconnects (P3.8), guards nothing


# The 204 (P3.7) stands in a description only: declared, it would make generators type every event as possibly nothing.
_EVENTS: Final = ResponseSpec(
    cast("type[Any]", RunEvent),
    media_type=_MEDIA_TYPE,
    generate_examples=False,
    description="The events, as they happen.",
)


@get(
    "/sessions/{session_id:str}/events",
    operation_id="followSession",
    summary="Follow a session",
    tags=["sessions"],
    media_type=_MEDIA_TYPE,
    operation_class=OperationSpec,
    responses={200: _EVENTS, **declared(BadPosition, SessionNotFound, RateLimited, Crowded, Draining)},
    **BY_TICKET,
)
async def follow_session(
    session_id: FromPath[str],
    registry: Registry,
    principal: NamedDependency[str],
    stream_options: NamedDependency[SkipValidation[StreamOptions]],
    after: After = None,
    last_event_id: LastEventId = None,
) -> EventStream:
    """Follow the run in progress and every later one, until the client leaves (P3.2)."""
    start = start_of(after, last_event_id)
    viewer = await registry.follow_session(principal, session_id, start)
    return EventStream(viewer, stream_options, start=start, of_run=False)


@get(
    "/sessions/{session_id:str}/runs/{run_id:str}/events",
    operation_id="followRun",
    summary="Follow a run",
    tags=["runs"],
    media_type=_MEDIA_TYPE,
    operation_class=OperationSpec,
    responses={200: _EVENTS, **declared(BadPosition, SessionNotFound, RunNotFound, RateLimited, Crowded, Draining)},
    **BY_TICKET,
)
async def follow_run(
    session_id: FromPath[str],
    run_id: FromPath[str],
    registry: Registry,
    principal: NamedDependency[str],
    stream_options: NamedDependency[SkipValidation[StreamOptions]],
    after: After = None,
    last_event_id: LastEventId = None,
) -> Response[Any]:
    """Follow one run until its terminal event (P3.3).

    Resuming after the terminal event is answered by a 204 without a body: nothing follows (P3.7).
    """
    start = start_of(after, last_event_id)
    viewer = await registry.follow_run(principal, session_id, run_id, start)
    if viewer is None:
        return Response(None, status_code=204)
    return EventStream(viewer, stream_options, start=start, of_run=True)
