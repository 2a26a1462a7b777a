"""What is kept has an end (P3.6): logs of runs that ended long ago are trimmed to their terminals, old files removed.

Sessions and runs stay, and with them the transcript, until the session is deleted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from typing import Final

import structlog

from app.errors import RunNotFound, StoreUnavailable
from app.hosting.ending import Stores
from app.meanwhile import meanwhile
from app.sessions.base import Expired
from app.uploads.desk import Uploads

log = structlog.get_logger()

_BATCH: Final = 100
_OFTEN: Final = 24
"""How many times in the time that is kept is looked for what is over; a little late is early enough."""

_SHORTEST, _LONGEST = 1.0, 3600.0


class SteadyClock:
    """A clock that never runs ahead of the time that has passed since it was made.

    A wall clock that jumps forward would have everything trimmed that was to be kept; one that jumps back trims late.
    """

    def __init__(self, wall: Callable[[], datetime], passed: Callable[[], float]) -> None:
        self._wall = wall
        self._passed = passed
        self._began, self._since = wall(), passed()

    def __call__(self) -> datetime:
        return min(self._wall(), self._began + timedelta(seconds=self._passed() - self._since))


class Retention:
    """Removes what was kept for `days` days.

    Args:
        clock: the time, aware.
    """

    def __init__(self, stores: Stores, uploads: Uploads, days: float, clock: Callable[[], datetime]) -> None:
        self._stores = stores
        self._uploads = uploads
        self._kept = timedelta(days=days)
        self._clock = clock

    async def sweep(self) -> None:
        """Remove what is over now, a little at a time."""
        before = self._clock() - self._kept
        trimmed = 0
        last: Expired | None = None
        while found := await self._stores.sessions.expired_runs(before, _BATCH, last):
            for last in found:
                trimmed += await self._trim(last.run_id)
        removed = await self._uploads.expire(before)
        if trimmed or removed:
            log.info("retention.swept", logs=trimmed, files=removed)

    async def _trim(self, run_id: str) -> bool:
        try:
            await self._stores.log.trim(run_id)
        except RunNotFound:  # the session was deleted meanwhile
            return False
        except StoreUnavailable as error:  # one that is damaged must not keep the others from being trimmed
            log.warning("retention.failed", run_id=run_id, reason=str(error))
            return False
        return True

    def sweeping(self) -> AbstractAsyncContextManager[None]:
        """Sweep now and every so often, while inside."""
        return meanwhile(self._sweep_for_ever())

    async def _sweep_for_ever(self) -> None:
        pause = min(max(self._kept.total_seconds() / _OFTEN, _SHORTEST), _LONGEST)
        while True:
            try:
                await self.sweep()
            except Exception:
                log.exception("retention.failed", retry_in=pause)
            await asyncio.sleep(pause)
