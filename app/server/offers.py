"""What the application may ask of a connection: to reset it, and how much still waits to be sent (P3.9).

uvicorn closes a transport only once its buffer is flushed, which never happens when the peer has stopped reading.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from typing import Any, Final

EXTENSION: Final = "runcast.connection"
"""Where a connection's scope holds the offers: `abort` and `buffered`."""

LAST_BYTES_S: Final = 1.0
"""Seconds that a peer has to take what is buffered for it when it has to go."""

_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)


def offers(transport: asyncio.Transport) -> dict[str, Callable[[], Any]]:
    """The offers of one connection."""

    def abort() -> None:
        reset(transport)

    return {"abort": abort, "buffered": transport.get_write_buffer_size}


def reset(transport: asyncio.Transport) -> None:
    """Cut a connection, so that its peer can't take what it got for the whole."""
    connection = transport.get_extra_info("socket")
    if connection is not None and connection.fileno() >= 0:  # the peer may have been quicker
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    transport.abort()
