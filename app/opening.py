"""What a registry stands on, opened and closed: stores of its own, or those that many processes share."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from datetime import UTC, datetime
from typing import Final

from app.agents.loader import Profiles
from app.assembly import assemble
from app.capacity import Capacity
from app.dialects.native import Native
from app.errors import ConfigurationError, StoreUnavailable, installs
from app.hosting.ending import Stores
from app.hosting.limits import RunLimits
from app.hosting.recovery import recover
from app.hosts.base import Alone, Fleet
from app.registry import RunRegistry
from app.retention import Retention, SteadyClock
from app.runlog.archived import ArchivedLog
from app.runlog.base import RunLog
from app.runlog.sqlite import SqliteLog
from app.sessions.claim import claimed
from app.sessions.sql import open_sessions
from app.settings import Settings, variable
from app.telemetry import Telemetry
from app.uploads.desk import Limits, Uploads

_ORPHANED: Final = 3600.0
"""Age in seconds of a file without a row that is no other process's upload on its way."""

_UNLIMITED: Final = 366 * 24 * 3600.0
"""Seconds that the log of a run without a deadline is kept after its last event."""


@asynccontextmanager
async def open_registry(settings: Settings, profiles: Profiles, telemetry: Telemetry) -> AsyncIterator[RunRegistry]:
    """Open the stores, finish what was left by a process that is gone, and close it all in the end.

    Raises:
        ConfigurationError: something that the settings name can't be used.
    """
    try:
        settings.data_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"{settings.data_dir} can't be the data directory: {error.strerror}") from error
    async with AsyncExitStack() as stack:
        registry: RunRegistry | None = None

        def lost(run_id: str, had: int, has: int) -> None:
            if registry is not None:
                registry.lose(run_id, had, has)

        fleet, live = await _ground(settings, telemetry, lost, stack)
        url = database_url(settings)
        with _naming("data_dir" if settings.database_url is None else "database_url"):
            if settings.database_url is not None:
                await stack.enter_async_context(claimed(url, fleet.meeting if fleet.shared else None))
            rows = await open_sessions(url, synchronous=settings.sqlite_sync, pool=settings.database_pool)
        stack.push_async_callback(rows.close)
        log = ArchivedLog(live, rows, measures=telemetry.measures, shared=fleet.shared)
        stores = Stores(log, rows, lambda: datetime.now(UTC), telemetry)
        uploads = Uploads(settings.data_dir / "files", rows, _upload_limits(settings), stores.clock)
        stack.push_async_callback(uploads.close)
        await _recover(settings, stores, uploads, fleet)
        if settings.retention_days is not None:
            clock = SteadyClock(stores.clock, time.monotonic)
            retention = Retention(stores, uploads, settings.retention_days, clock)
            await stack.enter_async_context(retention.sweeping())
        native = Native()
        parts = assemble(
            stores,
            uploads,
            {native.name: native},
            limits=_limits(settings),
            capacity=_capacity(settings),
            disconnect_grace=settings.disconnect_grace,
            fleet=fleet,
        )
        registry = RunRegistry(parts, profiles)
        stack.push_async_callback(registry.close, settings.drain_timeout)
        if fleet.shared:
            await stack.enter_async_context(registry.sweep.sweeping())
        yield registry


async def _ground(
    settings: Settings, telemetry: Telemetry, lost: Callable[[str, int, int], None], stack: AsyncExitStack
) -> tuple[Fleet, RunLog]:
    """Where the events in progress are, and the processes that share them."""
    measures = telemetry.measures
    if settings.redis_url is None:
        file = settings.data_dir / "events.sqlite3"
        own = await SqliteLog.open(file, synchronous=settings.sqlite_sync, measures=measures)
        stack.push_async_callback(own.close)
        return Alone(), own
    try:
        from app.hosts.redis import open_fleet  # noqa: PLC0415 - an extra, which few need
        from app.runlog.redis.log import CLOSED_TTL, OPEN_TTL, RedisLog  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"RUNCAST_REDIS_URL needs {error.name}, which is not installed: {installs('scale')}"
        ) from error
    # A run that waits for somebody's answer may say nothing for as long as it lasts.
    open_ttl = max(OPEN_TTL, settings.run_deadline + CLOSED_TTL if settings.run_deadline else _UNLIMITED)
    with _naming("redis_url"):
        log = await RedisLog.open(settings.redis_url, lost=lost, measures=measures, open_ttl=open_ttl)
        stack.push_async_callback(log.close)
        fleet = await open_fleet(settings.redis_url)
        stack.push_async_callback(fleet.close)
    return fleet, log


@contextmanager
def _naming(setting: str) -> Iterator[None]:
    """Let whoever reads that something can't be used know where that stands."""
    try:
        yield
    except (ConfigurationError, StoreUnavailable) as error:
        raise ConfigurationError(f"{variable(setting)}: {error}") from error


async def _recover(settings: Settings, stores: Stores, uploads: Uploads, fleet: Fleet) -> None:
    """Finish what was left, as far as it can't be at work; in a fleet, runs and deletions are left to the sweep."""
    if not fleet.shared:
        try:
            await recover(stores)
        except StoreUnavailable as error:
            raise ConfigurationError(f"the events in {settings.data_dir} can't be used: {error}") from error
    try:
        await uploads.recover(older_than=_ORPHANED if fleet.shared else 0.0)
    except OSError as error:
        raise ConfigurationError(f"the files in {settings.data_dir} can't be used: {error}") from error


def database_url(settings: Settings) -> str:
    """Where sessions, runs and archives are kept.

    Raises:
        ConfigurationError: they are to be in PostgreSQL, and the data directory holds others, with their events.
    """
    file = settings.data_dir.absolute() / "sessions.sqlite3"
    if settings.database_url is None:
        return f"sqlite+aiosqlite:///{file}"
    if file.exists():
        raise ConfigurationError(
            f"RUNCAST_DATABASE_URL is set, but {file} holds sessions: choose another RUNCAST_DATA_DIR, or unset it"
        )
    return settings.database_url


def _capacity(settings: Settings) -> Capacity:
    told_apart = settings.auth != "none"
    return Capacity(
        viewers=settings.max_viewers,
        viewers_per_principal=settings.max_principal_viewers if told_apart else None,
        runs=settings.max_runs,
        runs_per_principal=settings.max_principal_runs if told_apart else None,
    )


def _limits(settings: Settings) -> RunLimits:
    return RunLimits(
        deadline=settings.run_deadline,
        idle=settings.idle_timeout,
        events=settings.max_run_events,
        bytes=settings.max_run_bytes,
    )


def _upload_limits(settings: Settings) -> Limits:
    return Limits(settings.max_upload_bytes, settings.max_session_files, settings.max_session_file_bytes)
