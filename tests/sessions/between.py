"""Something between a store and its PostgreSQL server, where connections are cut and answers held back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path


class Between:
    """A relay in front of a server's socket.

    Attributes:
        commits_to_lose: how many commits are carried out without an answer: the connection breaks instead.
        then_refuses: whether it lets nobody through once it has lost a commit, until `refuses` is False again.
    """

    def __init__(self, server: Path) -> None:
        self._server = server
        self._writers: set[asyncio.StreamWriter] = set()
        self._moving = asyncio.Event()
        self._moving.set()
        self.commits_to_lose = 0
        self.then_refuses = False
        self.refuses = False

    def stall(self) -> None:
        """Pass nothing on any more, and tell nobody."""
        self._moving.clear()

    def cut(self) -> None:
        """Break all connections."""
        for writer in self._writers:
            writer.transport.abort()
        self._moving.set()

    async def relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refuses:
            writer.transport.abort()
            return
        from_server, to_server = await asyncio.open_unix_connection(self._server)
        both = {writer, to_server}
        self._writers |= both
        try:
            answers = asyncio.create_task(self._answer(from_server, writer))
            while data := await reader.read(65536):
                await self._moving.wait()
                lost = self.commits_to_lose and b"COMMIT;" in data
                if lost:
                    self.commits_to_lose -= 1
                    answers.cancel()
                    await asyncio.wait({answers})
                to_server.write(data)
                if lost:
                    assert b"COMMIT" in await from_server.read(65536)
                    self.refuses = self.then_refuses
                    break
        except ConnectionError:
            pass
        finally:
            answers.cancel()
            for each in both:
                each.transport.abort()
            self._writers -= both

    async def _answer(self, from_server: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await from_server.read(65536):
            await self._moving.wait()
            writer.write(data)
        writer.close()


@asynccontextmanager
async def between(url: str, folder: Path) -> AsyncIterator[tuple[Between, str]]:
    """A relay, and the URL by which the same database is reached through it."""
    before, _, server = url.partition("?host=")
    name = ".s.PGSQL.5432"
    relay = Between(Path(server) / name)
    listening = await asyncio.start_unix_server(relay.relay, folder / name)
    try:
        yield relay, f"{before}?host={folder}"
    finally:
        listening.close()
        relay.cut()
