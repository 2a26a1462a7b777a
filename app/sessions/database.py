"""Reading and writing over an engine's pool: one statement, or one transaction."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager, nullcontext
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

from sqlalchemy import Executable
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from app.errors import StoreUnavailable
from app.sessions.engine import writing
from app.sessions.postgresql import failures, passes
from app.sessions.rows import AnyRow

P = ParamSpec("P")
T = TypeVar("T")

_TRIES: Final = 5
_PAUSE: Final = 0.05


class Database:
    """An engine whose work is carried out whole: cancelling who waits for it does not stop it.

    A cancelled statement would cost its connection, and aiosqlite loses the thread of a connection that is closed
    while it works.

    What a server's restart, a deadlock or a lost connection cut short is repeated for about a second. A transaction
    whose commit was answered by nothing may have been carried out by then: one that writes has to recognise its own
    success, and give the same answer.

    Raises:
        StoreUnavailable: from `read` and `write`: a full disk, a damaged or locked file, a lost server.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._reader = engine
        self._writer = writing(engine)
        self._going_on: set[asyncio.Task[Any]] = set()
        on_sqlite = engine.dialect.name == "sqlite"
        self._tries = 1 if on_sqlite else _TRIES
        self._failures = (DBAPIError, OSError) if on_sqlite else failures()
        # SQLite's writers wait for each other by polling, each holding a connection; those of this process need not.
        self._turn: AbstractAsyncContextManager[Any] = asyncio.Lock() if on_sqlite else nullcontext()

    async def read(self, query: Executable) -> Sequence[AnyRow]:
        """All rows of one query."""
        return await self._whole(self._repeat(lambda: self._read(query)))

    async def write(
        self, work: Callable[Concatenate[AsyncConnection, P], Awaitable[T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """What `work(connection, …)` returns, in one transaction; if it raises, nothing was changed by it.

        Except for StoreUnavailable: the commit may have been carried out when the server was lost.
        """
        return await self._whole(
            self._repeat(lambda: self._write(lambda connection: work(connection, *args, **kwargs)))
        )

    async def close(self) -> None:
        """Let work that goes on come to its end, then close every connection."""
        await self._whole(self._close(frozenset(self._going_on)))

    async def _whole(self, work: Coroutine[Any, Any, T]) -> T:
        task = asyncio.create_task(work)
        self._going_on.add(task)
        task.add_done_callback(self._end)
        return await asyncio.shield(task)

    def _end(self, task: asyncio.Task[Any]) -> None:
        self._going_on.discard(task)
        if not task.cancelled():
            # Marks a failure as seen, in case whoever waited for it was cancelled meanwhile.
            task.exception()

    async def _repeat(self, attempt: Callable[[], Awaitable[T]]) -> T:
        with _typed(self._failures):
            for tried in range(1, self._tries):
                try:
                    return await attempt()
                except self._failures as error:
                    if not passes(error):
                        raise
                # Not all at the same moment: those that met in a deadlock would meet again.
                await asyncio.sleep(_PAUSE * 2**tried * random.uniform(0.5, 1.0))  # noqa: S311
            return await attempt()

    async def _read(self, query: Executable) -> Sequence[AnyRow]:
        async with self._reader.connect() as connection:
            return (await connection.execute(query)).all()

    async def _write(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        async with self._turn, self._writer.begin() as connection:
            return await work(connection)

    async def _close(self, going_on: frozenset[asyncio.Task[Any]]) -> None:
        await asyncio.gather(*going_on, return_exceptions=True)
        await self._reader.dispose()


@contextmanager
def _typed(failures: tuple[type[Exception], ...]) -> Iterator[None]:
    """What is the database's failure, and not that of a statement or its values, is StoreUnavailable."""
    try:
        yield
    except (DataError, IntegrityError, ProgrammingError):
        raise
    except PoolTimeoutError as error:
        raise StoreUnavailable("all connections to the database were in use for too long") from error
    except failures as error:
        reason = str(error.orig if isinstance(error, DBAPIError) else error) or type(error).__name__
        raise StoreUnavailable(f"the database could not be used: {reason}") from error
