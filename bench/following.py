"""Viewers on bare sockets: cheap enough for a thousand in one process, and they stall or vanish when told to."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import re
import socket
import time
from collections.abc import AsyncIterator
from typing import Any, Self
from urllib.parse import urlsplit

from serving import Server

SAID = re.compile(r"(\d+)@(\d+\.\d+) ")
"""What the agent of `pacing.py` says."""

_TERMINAL = ("stream_end", "stream_cancelled", "error")


class Follower:
    """One viewer.

    Attributes:
        messages: those out of the log, as they came.
        caught_up: set once all that was stored has come.
        close_code: with which a WebSocket was closed.
        delays: when each number of `pacing.py` came, and how long after it was said, seconds; if that is asked for.
    """

    def __init__(self, transport: str, session: str, run: str | None = None) -> None:
        self.messages: list[dict[str, Any]] = []
        self.caught_up = asyncio.Event()
        self.close_code: int | None = None
        self.delays: list[tuple[float, float]] | None = None
        self.transport, self.session = transport, session
        self._path = f"/ws/sessions/{session}" if transport == "ws" else f"/sessions/{session}/events"
        if run is not None and transport == "sse":
            self._path = f"/sessions/{session}/runs/{run}/events"

    @property
    def position(self) -> str:
        """Where what came so far ends."""
        return str(self.messages[-1]["id"]) if self.messages else "0"

    @property
    def text(self) -> str:
        return "".join(message["delta"] for message in self.messages if message["type"] == "stream_delta")

    async def open(self, server: Server, after: str | None = None, *, buffer: int = 0, port: int = 0) -> Self:
        """Connect, with a small receive buffer or from a port of one's own if that is asked."""
        address = urlsplit(server.url)
        connection = socket.socket()
        connection.setblocking(False)
        if buffer:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        if port:
            connection.bind(("127.0.0.1", port))
        await asyncio.get_running_loop().sock_connect(connection, (address.hostname, address.port))
        self._reader, self._writer = await asyncio.open_connection(sock=connection)
        query = f"?after={after}" if after is not None else ""
        lines = [f"GET {self._path}{query} HTTP/1.1", f"host: {address.netloc}"]
        if self.transport == "ws":
            key = base64.b64encode(os.urandom(16)).decode()
            lines += ["upgrade: websocket", "connection: upgrade", "sec-websocket-version: 13"]
            lines += [f"sec-websocket-key: {key}"]
        self._writer.write("\r\n".join([*lines, "", ""]).encode())
        status = await self._reader.readuntil(b"\r\n\r\n")
        assert status[9:12] in (b"200", b"101"), status
        return self

    async def follow(self, *, one_run: bool = False) -> None:
        """Take all there is, until this side or the other has had enough; or up to a terminal."""
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            async for text in self._frames() if self.transport == "ws" else self._data():
                message = json.loads(text)
                if "id" in message:
                    self.messages.append(message)
                    self._time(message)
                    if one_run and message["type"] in _TERMINAL:
                        return
                elif message["type"] == "caught_up":
                    self.caught_up.set()

    def _time(self, message: dict[str, Any]) -> None:
        if self.delays is not None and message["type"] == "stream_delta":
            now = time.monotonic()
            self.delays += [(now, now - float(at)) for _, at in SAID.findall(message["delta"])]

    def stall(self) -> None:
        """Take nothing any more, without a word."""
        self._writer.transport.pause_reading()  # type: ignore[attr-defined]

    def close(self) -> None:
        self._writer.transport.abort()

    async def _data(self) -> AsyncIterator[bytes]:
        while size := int(await self._reader.readuntil(b"\r\n"), 16):
            chunk = await self._reader.readexactly(size + 2)
            for line in chunk.split(b"\n"):
                if line.startswith(b"data: "):
                    yield line[6:]

    async def _frames(self) -> AsyncIterator[bytes]:
        while True:
            head = await self._reader.readexactly(2)
            size = head[1]
            if size >= 126:  # noqa: PLR2004 - RFC 6455
                size = int.from_bytes(await self._reader.readexactly(2 if size == 126 else 8))  # noqa: PLR2004
            body = await self._reader.readexactly(size)
            match head[0] & 15:
                case 1:
                    yield body
                case 8:
                    self.close_code = int.from_bytes(body[:2])
                    return
                case 9:
                    self._writer.write(bytes([0x8A, 0x80 | len(body), 0, 0, 0, 0]) + body)
