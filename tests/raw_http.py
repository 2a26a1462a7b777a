"""HTTP as bytes on a socket: what the libraries hide."""

import asyncio
import base64
import contextlib
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from tests.gateway import Gateway

PATIENCE = 20.0


def request(gateway: Gateway, path: str, *headers: str, method: str = "GET", body: bytes = b"") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", f"host: {urlsplit(gateway.url).netloc}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


def upgrade(gateway: Gateway, path: str) -> bytes:
    """A WebSocket handshake."""
    key = base64.b64encode(os.urandom(16)).decode()
    headers = ("upgrade: websocket", "connection: upgrade", f"sec-websocket-key: {key}", "sec-websocket-version: 13")
    return request(gateway, path, *headers)


def dial(gateway: Gateway, *, receive_buffer: int | None = None) -> socket.socket:
    """A blocking socket, connected; a small receive buffer makes it stall early."""
    address = urlsplit(gateway.url)
    connection = socket.socket()
    if receive_buffer is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    connection.settimeout(PATIENCE)
    connection.connect((address.hostname, address.port))
    return connection


@asynccontextmanager
async def exchange(gateway: Gateway, message: bytes) -> AsyncIterator[tuple[str, dict[str, str], asyncio.StreamReader]]:
    """Send a request; the status line and the headers of its answer, and its body still to be read."""
    address = urlsplit(gateway.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    try:
        writer.write(message)
        async with asyncio.timeout(PATIENCE):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
        status, *lines = head.rstrip().split("\r\n")
        yield status, dict(line.split(": ", 1) for line in lines), reader
    finally:
        writer.close()
        with contextlib.suppress(OSError):  # the server may have cut it
            await writer.wait_closed()


async def chunk(reader: asyncio.StreamReader) -> bytes:
    """The next chunk of a chunked body, empty at its end.

    Raises:
        IncompleteReadError, ConnectionResetError: the body broke off.
    """
    async with asyncio.timeout(PATIENCE):
        size = int((await reader.readuntil(b"\r\n")).strip(), 16)
        data = await reader.readexactly(size)
        assert await reader.readexactly(2) == b"\r\n"
        return data


async def body(reader: asyncio.StreamReader) -> bytes:
    """A chunked body up to its clean end."""
    whole = b""
    while part := await chunk(reader):
        whole += part
    return whole
