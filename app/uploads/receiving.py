"""The bytes of an upload, on their way from the network to the disk: a few at a time, counted, their beginning kept."""

from __future__ import annotations

import errno
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from attrs import define, field

from app.errors import SessionNotFound, StorageFull, TooLarge
from app.uploads.shelf import Incoming
from app.uploads.sniffing import HEAD

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_WRITTEN_AT_ONCE: Final = 256 * 1024

InThread = Callable[..., Awaitable[Any]]


@define
class Measure:
    """What is remembered of the bytes that went by.

    Attributes:
        size: how many they were.
        head: the first `HEAD` of them.
    """

    size: int = 0
    head: bytearray = field(factory=bytearray)

    def add(self, chunk: bytes) -> None:
        """Take note of some more."""
        self.size += len(chunk)
        self.head += chunk[: HEAD - len(self.head)]


async def write_all(incoming: Incoming, chunks: AsyncIterator[bytes], most_bytes: int, in_thread: InThread) -> Measure:
    """Write an upload as it comes.

    Raises:
        TooLarge: it has more than `most_bytes`.
        StorageFull: the disk takes no more.
    """
    measure, waiting = Measure(), bytearray()
    async for chunk in chunks:
        measure.add(chunk)
        if measure.size > most_bytes:
            raise TooLarge(f"a file has at most {most_bytes} bytes")
        waiting += chunk
        if len(waiting) >= _WRITTEN_AT_ONCE:
            await _write_out(incoming, waiting, in_thread)
    await _write_out(incoming, waiting, in_thread)
    return measure


@contextmanager
def disk_errors() -> Iterator[None]:
    """Say what an error of the disk means to the client, where it means something."""
    try:
        yield
    except FileNotFoundError as error:
        raise SessionNotFound("the session was deleted") from error
    except OSError as error:
        if error.errno in _FULL:
            raise StorageFull("there is no room left to keep this file") from error
        raise


async def _write_out(incoming: Incoming, waiting: bytearray, in_thread: InThread) -> None:
    data = bytes(waiting)
    waiting.clear()
    with disk_errors():
        await in_thread(incoming.write, data)
