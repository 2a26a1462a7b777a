"""A claim on a PostgreSQL database for one process, which ends with the process, however it ends.

The events of a process that has no Redis are its own, so a second process on the same database would take the first
one's runs for abandoned. The claim is an advisory lock: the server lets go of it when the connection ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

import structlog
from sqlalchemy import func, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from app.errors import ConfigurationError
from app.sessions.engine import driver, shown
from app.sessions.postgresql import failures, open_alone

log = structlog.get_logger()

_ADVISORY_LOCK: Final = 0x52554E43484F5354  # "RUNCHOST"
_LOOKS: Final = 5.0
_PATIENCE: Final = 30.0
"""Seconds that a start waits: a machine that vanished without a word is given up by the server in less."""


@asynccontextmanager
async def claimed(url: str, *, patience: float = _PATIENCE, looks: float = _LOOKS) -> AsyncIterator[None]:
    """Be the only process inside, of all that claim this database. A lost connection is replaced.

    Args:
        url: of a PostgreSQL database.
        patience: seconds to wait for another process to go away.
        looks: seconds between looks at the connection.

    Raises:
        ConfigurationError: another process stays, the database can't be reached, or its driver is not installed.
    """
    with driver():
        engine = await asyncio.to_thread(open_alone, url)
    try:
        connection = await _first(engine, url, patience)
        left = asyncio.Event()
        task = asyncio.create_task(_hold(engine, connection, looks, left))
        try:
            yield
        finally:
            left.set()  # rather than cancel it: a connection that is cancelled while it is made is nobody's
            await task
    finally:
        await engine.dispose()


async def _first(engine: AsyncEngine, url: str, patience: float) -> AsyncConnection:
    deadline = asyncio.get_running_loop().time() + patience
    waited = False
    while True:
        try:
            connection = await _claim(engine)
        except failures() as error:
            reason = error.orig if isinstance(error, DBAPIError) else error
            raise ConfigurationError(f"the database {shown(url)} can't be opened: {reason}") from error
        if connection is not None:
            return connection
        if asyncio.get_running_loop().time() >= deadline:
            raise ConfigurationError(f"the database {shown(url)} is in use by another Runcast process: stop it first")
        if not waited:
            log.info("database.waiting", hint="another process uses the database", seconds=patience)
        waited = True
        await asyncio.sleep(min(0.5, patience))


async def _claim(engine: AsyncEngine) -> AsyncConnection | None:
    connection = await engine.connect()
    try:
        if await connection.scalar(select(func.pg_try_advisory_lock(_ADVISORY_LOCK))):
            return connection
    except BaseException:
        await connection.close()
        raise
    await connection.close()
    return None


async def _hold(engine: AsyncEngine, connection: AsyncConnection | None, looks: float, left: asyncio.Event) -> None:
    while not await _is_set(left, looks):
        try:
            if connection is not None:
                await connection.scalar(select(1))
            elif (connection := await _claim(engine)) is None:
                log.error("database.claimed_elsewhere", hint="two processes use one database: stop one")
        except failures() as error:
            log.warning("database.claim_lost", reason=type(error).__name__, retry_in=looks)
            if connection is not None:
                await _let_go(connection)
            connection = None
    if connection is not None:
        await _let_go(connection)


async def _is_set(event: asyncio.Event, patience: float) -> bool:
    with suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), patience)
    return event.is_set()


async def _let_go(connection: AsyncConnection) -> None:
    with suppress(*failures()):
        await connection.close()
