"""A cable between a client and a server: it can be cut, fall silent, and keep things from getting through."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Literal, Self

import httpx

Trouble = Literal["refuses", "resets", "hangs", "swallows"]

_REFUSAL = b"HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno"


class Cable:
    """Forwards what comes to `url` to wherever `to` says just then.

    Attributes:
        url: what the client is given.
        connections: how many were made.
        on_websocket: what happens to a request for a WebSocket, instead of being forwarded.
        loses_answers_to: once a request begins with this, its answer is lost, and then so is this setting.
    """

    def __init__(self, to: Callable[[], str]) -> None:
        self.url = ""
        self.connections = 0
        self.on_websocket: Trouble | None = None
        self.loses_answers_to: bytes | None = None
        self._to = to
        self._silent = False
        self._open: set[asyncio.StreamWriter] = set()

    @classmethod
    @contextlib.asynccontextmanager
    async def plugged(cls, to: Callable[[], str]) -> AsyncIterator[Self]:
        cable = cls(to)
        async with await asyncio.start_server(cable._carry, "127.0.0.1", 0) as server:
            cable.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            yield cable
            cable.cut()

    def cut(self) -> None:
        """Reset every connection."""
        for writer in self._open:
            writer.transport.abort()

    def go_silent(self) -> None:
        """From now on the connections there are carry nothing, and nobody is told."""
        self._silent = True

    def mend(self) -> None:
        self._silent = False

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._open.add(writer)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            if self.on_websocket is not None and b"upgrade: websocket" in head.lower():
                await self._trouble(self.on_websocket, head, reader, writer)
            else:
                await self._forward(head, reader, writer)
        writer.transport.abort()
        self._open.discard(writer)

    async def _trouble(
        self, kind: Trouble, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if kind == "refuses":
            writer.write(_REFUSAL)
        if kind == "swallows":  # all that comes after the handshake
            to = httpx.URL(self._to())
            there, back = await asyncio.open_connection(to.host, to.port)
            self._open.add(back)
            back.write(head)
            writer.write(await there.readuntil(b"\r\n\r\n"))
        if kind != "resets":
            await reader.read()

    async def _forward(self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        to = httpx.URL(self._to())
        there, back = await asyncio.open_connection(to.host, to.port)
        self._open.add(back)
        back.write(head)
        up = asyncio.create_task(self._pipe(reader, back))
        try:
            if self.loses_answers_to is not None and head.startswith(self.loses_answers_to):
                self.loses_answers_to = None
                await there.read(1)
            else:
                await self._pipe(there, writer)
        finally:
            up.cancel()
            back.transport.abort()
            self._open.discard(back)

    async def _pipe(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            if not self._silent:
                writer.write(data)
                await writer.drain()
