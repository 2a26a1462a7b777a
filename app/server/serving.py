"""Serving: uvicorn with our protocols, and a shutdown that tells viewers before it waits for them (P7.3)."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import FrameType
from typing import Any, Final

import structlog
import uvicorn

from app.server.http_protocol import HttpProtocol
from app.server.stop_signals import die_of
from app.server.websocket_protocol import WebSocketProtocol

log = structlog.get_logger()

_PING_S: Final = 20.0
_BACKSTOP_S: Final = 5

_SILENT: Final = logging.getLogger(f"{__name__}.silent")
_SILENT.addHandler(logging.NullHandler())
_SILENT.propagate = False


class Server(uvicorn.Server):
    """A uvicorn server that drains.

    Args:
        drain: tells every viewer to go, and lets nothing new begin.
        finish: gives runs their time to end. Requests are answered meanwhile: who comes is told why not, and whoever
            waits for a run can still cancel it, or answer it.
        hurry: called at the second signal, which asks not to wait any longer.
        serving: called once connections are accepted.
        replaced: whether other processes take who comes meanwhile. Then nobody new is let in, so that whoever chooses
            among the processes chooses another, and what is said on connections that stay is the last on them.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        *,
        drain: Callable[[], None],
        finish: Callable[[], Awaitable[None]],
        hurry: Callable[[], None],
        serving: Callable[[], None],
        replaced: bool = False,
    ) -> None:
        super().__init__(config)
        self._drain = drain
        self._finish = finish
        self._hurry = hurry
        self._serving = serving
        self._replaced = replaced
        self._loop: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then say so. A start that fails is told by whoever called `run`, not by a traceback in the log."""
        self._loop = asyncio.get_running_loop()
        said, self.lifespan.logger = self.lifespan.logger, _SILENT
        await super().startup(sockets)
        self.lifespan.logger = said
        if self.started:
            self._serving()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Drain at the first signal, hurry at the second (P7.3)."""
        if self.should_exit and self._loop is not None:
            self._loop.call_soon_threadsafe(self._hurry)
        super().handle_exit(sig, frame)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Die of the signal that asked to stop, once all is closed.

        Winding up the event loop instead would wait for every task, and an agent that will not stop is one.
        """
        with super().capture_signals():
            yield
            if self._captured_signals:
                die_of(self._captured_signals[0])

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Drain, let runs end, then stop accepting and let uvicorn do the rest, which only waits for streams."""
        self._drain()
        if self._replaced:
            self._leave()
        await self._finish()
        self._leave()
        await super().shutdown(sockets)
        log.info("server.stopped")

    def _leave(self) -> None:
        """Accept nobody any more, and keep no connection for a next request."""
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            if isinstance(connection, HttpProtocol):
                connection.shutdown()


def config_of(app: Any, *, max_message_bytes: int, refused: Callable[[str], None]) -> uvicorn.Config:
    """Uvicorn as we run it.

    No access log, since it prints query strings; no compression of small frames; pings (P3.8); nothing is believed of
    `X-Forwarded-*`, since nothing here depends on a client's address.

    Args:
        app: the ASGI application.
        max_message_bytes: the longest WebSocket message (P4.2).
        refused: told the code of every request that no application gets to see.
    """
    return uvicorn.Config(
        app,
        http=partial(HttpProtocol, refused=refused),  # type: ignore[arg-type]
        ws=WebSocketProtocol,
        ws_max_size=max_message_bytes,
        ws_ping_interval=_PING_S,
        ws_ping_timeout=_PING_S,
        ws_per_message_deflate=False,
        timeout_graceful_shutdown=_BACKSTOP_S,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        lifespan="on",
    )
