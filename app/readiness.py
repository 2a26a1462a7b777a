"""Whether the stores serve: asked by health checks, answered in bounded time whatever state the stores are in."""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from app.errors import NotReady
from app.hosting.ending import Stores
from app.hosts.base import Fleet
from app.runlog.single_flight import SingleFlight

log = structlog.get_logger()

_PATIENCE: Final = 2.0
"""Seconds that the stores have to answer."""


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

    async def _look(self) -> None:
        await asyncio.gather(self._stores.sessions.check(), self._stores.log.check(), self._fleet.check())

    def _note(self, *, ready: bool, reason: str | None = None) -> None:
        """Tell of a change, not of every check."""
        if ready and not self._ready:
            log.info("stores.ready_again")
        elif self._ready and not ready:
            log.warning("stores.not_ready", reason=reason)
        self._ready = ready
