"""One connection that follows a session or a run: by WebSocket, or by server-sent events."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, Literal

import httpcore
import httpx
from attrs import define
from httpx_sse import SSEError, aconnect_sse
from httpx_ws import AsyncWebSocketSession, HTTPXWSException, WebSocketDisconnect, WebSocketUpgradeError, aconnect_ws
from wsproto.utilities import ProtocolError

from app.client.errors import Refused, Unreachable, is_final, of_answer, of_close, of_transport
from app.client.http import SILENCE_S, Server
from app.client.reading import Message, position, read
from app.dialects.messages import Ack, Error, Pong

Transport = Literal["websocket", "sse"]

_OPEN_S: Final = 4.0
_SPEAK_S: Final = 10.0
"""For how long an open WebSocket may say nothing at all: `caught_up`, if nothing else, comes at once."""

_PING_S: Final = SILENCE_S / 2
_CHUNK_BYTES: Final = 1024 * 1024
_BROKEN: Final = (
    httpx.TransportError,
    httpcore.NetworkError,
    httpcore.TimeoutException,
    HTTPXWSException,
    ProtocolError,
)

Give = Callable[[Message], Awaitable[None]]


class NoWebSocket(Unreachable):
    """No WebSocket opened, though somebody answered: what is between may not let any through.

    Attributes:
        refusal: what the answer says, if there was one that is final.
    """

    def __init__(self, message: str, refusal: Refused | None = None) -> None:
        super().__init__(message)
        self.refusal = refusal


class Ended(Exception):
    """The run has ended, and everything of it was sent before."""


@define
class Stream:
    """What there is to follow, and from where.

    Attributes:
        server: who has it.
        path: of the session, or of the run.
        after: begin strictly after this position.
        retry: seconds that the server wants clients to wait before they come back; None until it says so.
    """

    server: Server
    path: str
    after: str | None
    retry: float | None = None

    async def by_websocket(self, give: Give) -> None:
        """Give its messages until the connection breaks, which is always an exception.

        Raises:
            NoWebSocket: none opened.
            Unreachable: the connection broke.
            Refused: the server closed it for good (P7.5).
        """
        asked = await self._asked()
        scheme, _, rest = f"{self.server.base}/ws/{self.path}".partition(":")
        url = f"{scheme.replace('http', 'ws')}:{rest}"
        try:
            async with aconnect_ws(
                url,
                self.server.http,
                keepalive_ping_interval_seconds=_PING_S,
                keepalive_ping_timeout_seconds=_PING_S,
                max_message_size_bytes=_CHUNK_BYTES,
                timeout=_OPEN_S,
                **asked,
            ) as socket:
                lost = await _read(socket, give)
        except WebSocketUpgradeError as error:
            raise _no_websocket(error.response) from error
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise of_transport(error) from error
        except httpx.TransportError as error:
            raise NoWebSocket(str(error) or type(error).__name__) from error
        except ExceptionGroup as group:  # of the tasks that read and ping beside us
            if group.split(_BROKEN)[1] is not None:
                raise
            raise Unreachable("the WebSocket broke") from group
        raise lost

    async def by_events(self, give: Give) -> None:
        """The same; for a run, until it has ended.

        Raises:
            Ended: the run has ended, and nothing comes after the position (P3.7).
            Unreachable: the connection broke.
            Refused: the server's answer is final.
        """
        timeout = httpx.Timeout(10.0, read=SILENCE_S)
        url, asked = f"{self.server.base}/{self.path}/events", await self._asked()
        try:
            async with aconnect_sse(self.server.http, "GET", url, timeout=timeout, **asked) as source:
                if source.response.status_code == httpx.codes.NO_CONTENT:
                    raise Ended
                if not source.response.is_success:
                    await source.response.aread()
                    raise of_answer(source.response)
                async for event in source.aiter_sse():
                    if event.retry is not None:
                        self.retry = event.retry / 1000
                    if event.data and not isinstance(message := read(event.data), Ack | Pong):
                        await give(message)
        except (httpx.TransportError, SSEError, ValueError) as error:
            raise of_transport(error) from error
        raise Unreachable("the stream ended")

    async def _asked(self) -> dict[str, Any]:
        asked = await self.server.credentials()
        if self.after is not None:
            asked["params"]["after"] = self.after
        return asked


async def _read(socket: AsyncWebSocketSession, give: Give) -> Refused | Unreachable:
    """Read until it breaks; the answer is why, since what is raised here would come out as a group."""
    told: tuple[str, str] | None = None
    patience: float | None = _SPEAK_S
    while True:
        try:
            message = read(await socket.receive_text(patience))
            patience = None
        except TimeoutError:
            return NoWebSocket("the WebSocket opened and said nothing")
        except WebSocketDisconnect as closed:
            return of_close(closed.code, closed.reason, told)
        except (HTTPXWSException, ValueError) as error:
            return of_transport(error)
        if isinstance(message, Error) and position(message) is None:
            told = (message.code, message.message)
        elif not isinstance(message, Ack | Pong):
            await give(message)


def _no_websocket(answer: httpx.Response) -> NoWebSocket:
    status = answer.status_code
    message = f"the server answered {status} and opened no WebSocket"
    return NoWebSocket(message, Refused(f"http_{status}", message, status) if is_final(status) else None)
