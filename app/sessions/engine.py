"""The connection to the database, of either kind, and all that is particular to SQLite."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from app.errors import ConfigurationError, installs
from app.sessions.postgresql import SCHEMES, open_for_migrations, open_postgresql

Synchronous = Literal["normal", "full"]

_SQLITE = "sqlite+aiosqlite"
_BUSY_SECONDS = 10
# sqlite3 must not begin transactions by itself: `_begin` does.
_SQLITE_ARGUMENTS = {"timeout": _BUSY_SECONDS, "isolation_level": None}
_WRITES = "runcast_writes"


def open_engine(url: str, *, synchronous: Synchronous = "normal", pool: int = 10) -> AsyncEngine:
    """Make the engine of `sqlite+aiosqlite:///path` or `postgresql://…`; nothing is connected yet.

    It blocks a little: drivers are imported, paths looked at.

    Args:
        url: where the database is.
        synchronous: SQLite only; `full` also survives a loss of power (P7.2).
        pool: PostgreSQL only; how many connections there are.

    Raises:
        ConfigurationError: the URL is no such URL, or its driver is not installed.
    """
    parsed = _parse(url)
    if parsed.drivername in SCHEMES:
        with driver():
            return open_postgresql(url, pool, json_serializer=_dump)
    engine = create_async_engine(parsed, json_serializer=_dump, connect_args=_SQLITE_ARGUMENTS)
    _set_up_sqlite(engine.sync_engine, synchronous)
    return engine


def writing(engine: AsyncEngine) -> AsyncEngine:
    """The same engine, for transactions that write. Others may only read, one statement at a time."""
    return engine.execution_options(**{_WRITES: True})


def transact(url: str, work: Callable[[Connection], None]) -> None:
    """Carry out `work` in a transaction that writes, in a thread that runs no loop, and disconnect.

    It also gives a SQLite file its write-ahead log, so it has to be called once before an engine is used.

    Raises:
        ConfigurationError: see `open_engine`.
        sqlalchemy.exc.DBAPIError: the database can't be opened, or refuses.
        OSError: its server can't be reached.
    """
    parsed = _parse(url)
    if parsed.drivername in SCHEMES:
        with driver():
            engine = open_for_migrations(url)
        asyncio.run(_transact(engine, work))
        return
    # Not aiosqlite: its thread outlives a connection that fails, and then misses the loop.
    file = create_engine(parsed.set(drivername="sqlite"), connect_args=_SQLITE_ARGUMENTS)
    event.listen(file, "connect", _use_wal)
    _set_up_sqlite(file, "full")
    try:
        with file.execution_options(**{_WRITES: True}).begin() as connection:
            work(connection)
    finally:
        file.dispose()


async def _transact(engine: AsyncEngine, work: Callable[[Connection], None]) -> None:
    try:
        async with engine.begin() as connection:
            await connection.run_sync(work)
    finally:
        await engine.dispose()


def shown(url: str) -> str:
    """Which database a URL means, without who may open it."""
    parsed = _parse(url)
    if parsed.drivername not in SCHEMES:
        return str(parsed.database)
    server = parsed.host or parsed.query.get("host") or "localhost"
    return f"{parsed.database or 'of that user'} on {server}" + (f":{parsed.port}" if parsed.port else "")


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # whose text may hold the password
        raise ConfigurationError("the database URL can't be read") from None
    shared = parsed.database not in {None, "", ":memory:"}
    if parsed.drivername in SCHEMES or (parsed.drivername == _SQLITE and shared):
        return parsed
    raise ConfigurationError("the database URL must be sqlite+aiosqlite:///<path> or postgresql://<server>/<database>")


@contextmanager
def driver() -> Iterator[None]:
    """What uses PostgreSQL's driver, which is of an extra.

    Raises:
        ConfigurationError: it is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"RUNCAST_DATABASE_URL needs {error.name}, which is not installed: {installs('scale')}"
        ) from error


def _set_up_sqlite(engine: Engine, synchronous: Synchronous) -> None:
    def connect(connection: DBAPIConnection, _record: object) -> None:
        cursor = connection.cursor()
        for pragma in (f"synchronous={synchronous}", "foreign_keys=ON"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    event.listen(engine, "connect", connect)
    event.listen(engine, "begin", _begin)


def _use_wal(connection: DBAPIConnection, _record: object) -> None:
    # The file remembers it. While another process writes or does the same, SQLite refuses without waiting.
    deadline = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            connection.cursor().execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


def _begin(connection: Connection) -> None:
    # A transaction that reads first and then writes fails at once if another wrote in between, however long the busy
    # timeout is. One that is to write therefore takes the lock at its start.
    if connection.get_execution_options().get(_WRITES):
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def _dump(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    try:
        text.encode()
    except UnicodeEncodeError:  # a lone surrogate, which only an escape can say
        return json.dumps(value)
    return text
