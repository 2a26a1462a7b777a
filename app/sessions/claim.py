"""A claim on a PostgreSQL database, for one process or one fleet, which ends with the process, however it ends.

Whoever does not see the events of a process would take its runs for abandoned. A process that has no Redis therefore
claims the database for itself, and those that meet at one share it with nobody who meets elsewhere. The claims are
advisory locks: the server lets go of them when the connection ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final
from zlib import crc32

import structlog
from attrs import frozen
from sqlalchemy import func, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from app.errors import ConfigurationError
from app.sessions.engine import driver, shown
from app.sessions.postgresql import failures, open_alone

log = structlog.get_logger()

_ADVISORY_LOCK: Final = 0x52554E43484F5354  # "RUNCHOST"
_FLEETS: Final = 0x464C4545  # "FLEE"
_OTHER_FLEETS: Final = text(
    "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 2 AND classid = :fleets"
    " AND objid <> :fleet AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)
_LOOKS: Final = 5.0
_PATIENCE: Final = 30.0
"""Seconds that a start waits: a machine that vanished without a word is given up by the server in less."""


@asynccontextmanager
async def claimed(
    url: str, fleet: str | None = None, *, patience: float = _PATIENCE, looks: float = _LOOKS
) -> AsyncIterator[None]:
    """Be the only process inside, or the only fleet, of all that claim this database. A lost connection is replaced.

    Args:
        url: of a PostgreSQL database.
        fleet: what the processes that share it have in common; None for a process by itself.
        patience: seconds to wait for another process to go away.
        looks: seconds between looks at the connection.

    Raises:
        ConfigurationError: another process or fleet stays, the database can't be reached, or its driver is not
            installed.
    """
    with driver():
        engine = await asyncio.to_thread(open_alone, url)
    try:
        claim = _Claim(engine, crc32(fleet.encode()) >> 1 if fleet is not None else None)
        connection = await _first(claim, url, patience)
        left = asyncio.Event()
        task = asyncio.create_task(_hold(claim, connection, looks, left))
        try:
            yield
        finally:
            left.set()  # rather than cancel it: a connection that is cancelled while it is made is nobody's
            await task
    finally:
        await engine.dispose()


async def _first(claim: _Claim, url: str, patience: float) -> AsyncConnection:
    deadline = asyncio.get_running_loop().time() + patience
    waited = False
    while True:
        try:
            connection = await claim.make()
        except failures() as error:
            reason = error.orig if isinstance(error, DBAPIError) else error
            raise ConfigurationError(f"the database {shown(url)} can't be opened: {reason}") from error
        except ValueError:  # the driver's, about the URL; its text may hold the password
            raise ConfigurationError("the database URL can't be read") from None
        if connection is not None:
            return connection
        if asyncio.get_running_loop().time() >= deadline:
            others = "another Runcast process" if claim.fleet is None else "Runcast without the same RUNCAST_REDIS_URL"
            raise ConfigurationError(f"the database {shown(url)} is in use by {others}: stop it first")
        if not waited:
            log.info("database.waiting", hint="another process uses the database", seconds=patience)
        waited = True
        await asyncio.sleep(min(0.5, patience))


@frozen
class _Claim:
    """What is claimed, and how: by one process, or by a fleet."""

    engine: AsyncEngine
    fleet: int | None

    async def make(self) -> AsyncConnection | None:
        """The connection that holds the claim, or None while others do."""
        connection = await self.engine.connect()
        try:
            if await self._locks(connection):
                return connection
        except BaseException:
            await connection.close()
            raise
        await connection.close()
        return None

    async def _locks(self, connection: AsyncConnection) -> bool:
        if self.fleet is None:
            return bool(await connection.scalar(select(func.pg_try_advisory_lock(_ADVISORY_LOCK))))
        if not await connection.scalar(select(func.pg_try_advisory_lock_shared(_ADVISORY_LOCK))):
            return False
        own = {"fleets": _FLEETS, "fleet": self.fleet}
        await connection.execute(text("SELECT pg_advisory_lock_shared(:fleets, :fleet)"), own)
        return not await connection.scalar(_OTHER_FLEETS, own)


async def _hold(claim: _Claim, connection: AsyncConnection | None, looks: float, left: asyncio.Event) -> None:
    while not await _is_set(left, looks):
        try:
            if connection is not None:
                await connection.scalar(select(1))
            elif (connection := await claim.make()) is None:
                log.error("database.claimed_elsewhere", hint="two processes or fleets use one database: stop one")
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
