"""The least pace at which bytes have to move, in a request's body as in an answer, or the connection is cut."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

LEAST_BYTES: Final = 64 * 1024
EVERY_S: Final = 20.0
"""At least so many bytes in every so many seconds: a body of 8 MiB takes 43 minutes at most."""


class Pace:
    """Watches one transfer.

    Args:
        moved: how many bytes have moved so far; None when there is nothing left to move.
        slow: called once, when too few have.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, moved: Callable[[], int | None], slow: Callable[[], None]
    ) -> None:
        self._loop = loop
        self._moved = moved
        self._slow = slow
        self._seen = 0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Watch from now on."""
        if self._timer is None:
            self._seen = self._moved() or 0
            self._timer = self._loop.call_later(EVERY_S, self._look)

    def stop(self) -> None:
        """Watch no longer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        moved = self._moved()
        if moved is None:
            return
        if moved - self._seen < LEAST_BYTES:
            self._slow()
        else:
            self.start()
