"""A TCP proxy that resets streams in the middle of a message, as a bad network does."""

import asyncio
import contextlib
import re
import socket
import struct
from collections.abc import AsyncIterator, Iterable
from urllib.parse import urlsplit

_REQUEST = re.compile(rb"(?:GET|POST) (\S+) HTTP/1\.1\r\n(.*?)\r\n\r\n", re.DOTALL)
_STREAM = b"content-type: text/event-stream\r\n"
_RESET = struct.pack("ii", 1, 0)  # linger for no time at all: what closes the socket is a RST


class Cutter:
    """Passes everything on, except that it resets the first streams after so many bytes of their bodies.

    Args:
        upstream: the server's URL.
        after: for each stream to be reset, the bytes of it that pass.
    """

    def __init__(self, upstream: str, after: Iterable[int]) -> None:
        self.url = ""
        self.targets: list[str] = []
        """The path and query of every request."""
        self.resumed_after: list[str | None] = []
        """The `Last-Event-ID` of every request for a stream."""
        self.resets = 0
        self._upstream = urlsplit(upstream)
        self._after = list(after)

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator["Cutter"]:
        async with await asyncio.start_server(self._serve, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            self.url = f"http://127.0.0.1:{port}"
            yield self

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(self._upstream.hostname, self._upstream.port)
        with contextlib.suppress(ConnectionError):
            await asyncio.gather(self._ask(reader, back), self._answer(there, writer))
        for end in (writer, back):
            end.close()

    async def _ask(self, client: asyncio.StreamReader, server: asyncio.StreamWriter) -> None:
        asked = b""
        while piece := await client.read(65536):
            asked += piece
            while request := _REQUEST.search(asked):
                asked = asked[request.end() :]
                self._note(request[1].decode(), request[2].decode())
            server.write(piece)
            await server.drain()
        server.close()

    def _note(self, target: str, fields: str) -> None:
        self.targets.append(target)
        if "/events" in target:
            found = re.search(r"^last-event-id: (\S+)\r?$", fields, re.MULTILINE | re.IGNORECASE)
            self.resumed_after.append(found[1] if found else None)

    async def _answer(self, server: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        answered = b""
        while piece := await server.read(65536):
            answered += piece
            body = answered.partition(_STREAM)[2].partition(b"\r\n\r\n")[2]
            if self._after and len(body) > self._after[0]:
                surplus = len(body) - self._after.pop(0)
                client.write(piece[: len(piece) - surplus])
                await client.drain()
                self._reset(client)
                return
            client.write(piece)
            await client.drain()
        client.close()

    def _reset(self, client: asyncio.StreamWriter) -> None:
        self.resets += 1
        client.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        client.transport.abort()
        raise ConnectionResetError
