"""uvicorn's protocols, with a way for the application to abort a connection that takes nothing (P3.9).

uvicorn closes a transport only once its buffer is flushed, which never happens when the peer has stopped reading.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request

EXTENSION: Final = "runcast.connection"
"""Where a connection's scope holds what the application may ask of it: `abort` and `buffered`."""

_LAST_BYTES_S: Final = 1.0
"""Seconds that a peer has to take what is buffered for it when the server goes away."""

_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)


def _offers(transport: asyncio.Transport) -> dict[str, Callable[[], Any]]:
    def abort() -> None:
        connection = transport.get_extra_info("socket")
        if connection is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        transport.abort()

    return {"abort": abort, "buffered": transport.get_write_buffer_size}


class HttpProtocol(HttpToolsProtocol):
    """HTTP/1.1 by httptools."""

    def on_message_begin(self) -> None:
        """Make the offers to the request that begins."""
        super().on_message_begin()
        extensions: dict[Any, Any] = {**(self.scope.get("extensions") or {}), EXTENSION: _offers(self.transport)}
        self.scope["extensions"] = extensions

    def shutdown(self) -> None:
        """Close what is idle, even if its peer does not take the last bytes."""
        super().shutdown()
        if self.transport.is_closing():
            self.loop.call_later(_LAST_BYTES_S, self.transport.abort)


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """WebSockets by the sans-I/O layer of websockets."""

    def handle_connect(self, event: Request) -> None:
        """Make the offers to the connection that begins."""
        super().handle_connect(event)
        if (scope := getattr(self, "scope", None)) is not None:
            scope["extensions"][EXTENSION] = _offers(self.transport)

    def shutdown(self) -> None:
        """Close, even if the peer does not take the close frame."""
        super().shutdown()
        self.loop.call_later(_LAST_BYTES_S, self.transport.abort)

    def send_receive_event_to_app(self) -> None:
        """Close with 1007 on text that is not UTF-8; uvicorn does the same, but logs a traceback for each."""
        if self.curr_msg_data_type == "text" and not self.close_sent and not _is_utf_8(b"".join(self.frames)):
            self.frames = []
            self.conn.send_close(1007)
            self.handle_parser_exception()
            return
        super().send_receive_event_to_app()


def _is_utf_8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
