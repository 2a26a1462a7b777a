"""Whether the stores serve: asked by health checks, answered in bounded time whatever state the stores are in."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

import structlog

from app.errors import NotReady, StorageFull, StoreFull, StoreUnavailable
from app.hosting.ending import Stores
from app.hosts.base import Fleet
from app.runlog.single_flight import SingleFlight

log = structlog.get_logger()

_PATIENCE: Final = 2.0
"""Seconds that the stores have to answer."""

_SHORT: Final = 0.5
"""Seconds for which a start waits to hear whether there is room."""


class Readiness:
    """The stores of one process, looked at from outside.

    A look that gets no answer stays under way, and whoever asks meanwhile waits for the same one: a store that hangs
    is asked once, however often its health is checked.
    """

    def __init__(self, stores: Stores, fleet: Fleet) -> None:
        self._stores = stores
        self._fleet = fleet
        self._share = SingleFlight()
        self._ready = True

    async def check(self) -> None:
        """Return if both stores answer, and the other processes know that this one lives.

        Raises:
            NotReady: one of them fails, or does not answer within two seconds.
        """
        try:
            async with asyncio.timeout(_PATIENCE):
                await self._share("stores", self._look)
        except TimeoutError:
            self._note(ready=False, reason="no answer")
            raise NotReady("the stores do not answer") from None
        except Exception as error:
            self._note(ready=False, reason=str(error))
            raise NotReady("the stores can't be read or written") from error
        self._note(ready=True)

    async def check_room(self) -> None:
        """Return unless a run that is started now could not say anything.

        Raises:
            StorageFull: there is no room for its log.
        """
        if not self._fleet.shared:  # log and row are on one disk, which does not take the row either
            return
        with suppress(TimeoutError, StoreUnavailable):  # what is away may be back before the run says anything
            async with asyncio.timeout(_SHORT):
                try:
                    await self._share("room", self._stores.log.check)
                except StoreFull as full:
                    raise StorageFull("there is no room left for what the run would say") from full

    async def _look(self) -> None:
        await asyncio.gather(self._stores.sessions.check(), self._stores.log.check(), self._fleet.check())

    def _note(self, *, ready: bool, reason: str | None = None) -> None:
        """Tell of a change, not of every check."""
        if ready and not self._ready:
            log.info("stores.ready_again")
        elif self._ready and not ready:
            log.warning("stores.not_ready", reason=reason)
        self._ready = ready
