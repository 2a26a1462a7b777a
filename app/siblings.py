"""The workers behind one port, as they answer each other: a request about all of them meets only one.

Each listens on a socket of its own in a folder that nobody else may enter. Nothing but operators' questions goes this
way; what runs need of other processes is the fleet's business.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
import structlog

log = structlog.get_logger()

T = TypeVar("T")

PATIENCE: Final = 1.0
"""Seconds that a worker has to answer another."""

Answer = Callable[[], Coroutine[Any, Any, Any]]
"""Makes an answer, of what msgspec can encode."""


class Siblings:
    """The workers of one gateway on this machine, as one of them reaches them.

    Args:
        folder: where their sockets are.
        number: this worker's, from 0.
        count: how many there should be.
    """

    def __init__(self, folder: Path, number: int, count: int) -> None:
        self.number = number
        self._folder = folder
        self._others = [other for other in range(count) if other != number]

    @asynccontextmanager
    async def answering(self, topics: Mapping[str, Answer]) -> AsyncIterator[None]:
        """Answer the others' questions meanwhile."""

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                async with asyncio.timeout(PATIENCE):
                    asked = (await reader.readline()).decode().strip()
                    writer.write(msgspec.msgpack.encode(await topics[asked]()))
                    await writer.drain()
            except (OSError, TimeoutError):  # whoever asked has gone, or waits no longer
                pass
            except Exception:
                log.exception("sibling.failed")
            finally:
                writer.close()

        await asyncio.to_thread(Path(self._path(self.number)).unlink, missing_ok=True)  # a dead worker's
        server = await asyncio.start_unix_server(serve, self._path(self.number))
        try:
            yield
        finally:
            server.close()

    async def ask(self, topic: str, kind: type[T]) -> dict[int, T]:
        """What the others answer, by their numbers; one that doesn't answer in time is missing."""
        answers = await asyncio.gather(*(self._ask(other, topic, kind) for other in self._others))
        return {other: answer for other, answer in zip(self._others, answers, strict=True) if answer is not None}

    async def _ask(self, other: int, topic: str, kind: type[T]) -> T | None:
        try:
            async with asyncio.timeout(PATIENCE):
                reader, writer = await asyncio.open_unix_connection(self._path(other))
                try:
                    writer.write(f"{topic}\n".encode())
                    return msgspec.msgpack.decode(await reader.read(), type=kind)
                finally:
                    writer.close()
        except (OSError, TimeoutError):  # it is being replaced, or held up
            return None
        except msgspec.MsgspecError as error:  # it died in the middle of a word, or is of another version
            log.warning("sibling.not_understood", sibling=other, topic=topic, reason=str(error))
            return None

    def _path(self, number: int) -> str:
        return str(self._folder / str(number))
