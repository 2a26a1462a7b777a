"""A relay before a server: it can cut connections, keep answers back, and lead to another server from now on."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Self


class Relay:
    """Listens on a port of its own.

    Attributes:
        port: where to connect.
        target: the port that new connections lead to.
        mute: nothing that the server says comes through, but what is sent to it does.
        lost: set when an answer was kept back.
    """

    def __init__(self, target: int) -> None:
        self.target = target
        self.mute = False
        self.lost = asyncio.Event()
        self._writers: set[asyncio.StreamWriter] = set()
        self._serving: set[asyncio.Task[None]] = set()

    @classmethod
    @asynccontextmanager
    async def to(cls, target: int) -> AsyncIterator[Self]:
        relay = cls(target)
        server = await asyncio.start_server(relay._serve, "127.0.0.1", 0)
        relay.port = server.sockets[0].getsockname()[1]
        relay.url = f"redis://127.0.0.1:{relay.port}/0"
        try:
            yield relay
        finally:
            server.close()
            relay.cut()
            if relay._serving:
                await asyncio.wait(relay._serving)

    def cut(self) -> None:
        """End every connection, at once."""
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if (serving := asyncio.current_task()) is not None:
            self._serving.add(serving)
            serving.add_done_callback(self._serving.discard)
        self._writers.add(writer)
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
            self._writers.add(far_writer)
            try:
                await asyncio.gather(
                    self._pass_on(reader, far_writer, answers=False), self._pass_on(far_reader, writer, answers=True)
                )
            finally:
                self._writers.discard(far_writer)
        except OSError:
            writer.transport.abort()
        finally:
            self._writers.discard(writer)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, answers: bool) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                if answers and self.mute:
                    self.lost.set()
                    continue
                writer.write(data)
                await writer.drain()
        writer.transport.abort()
