"""Waiting before another attempt: doubling, with jitter, and never shorter than the server asked for."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from typing import Final

from attrs import define, frozen

from app.client.errors import Unreachable

FIRST_S: Final = 0.25
_LONGEST_S: Final = 10.0
_STABLE_S: Final = 5.0
"""A connection that held for this long was no failure."""

_log = logging.getLogger("runcast.client")


@frozen
class Lost:
    """A connection or a request that failed and is tried again.

    Attributes:
        url: the server's address.
        error: why.
        after: the position that following is taken up from; None for a request, and where nothing was received yet.
        delay: seconds until the next attempt.
    """

    url: str
    error: Unreachable
    after: str | None
    delay: float


OnLost = Callable[[Lost], None]


def warn(lost: Lost) -> None:
    """Tell the program's log, which is what happens where nobody else is told."""
    _log.warning("%s: %s; trying again in %.1f s", lost.url, lost.error, lost.delay)


@define
class Attempts:
    """The waits between attempts at one thing."""

    tell: OnLost
    url: str
    first: float = FIRST_S
    _failures: int = 0
    _began: float = 0.0

    def begin(self) -> None:
        """An attempt begins."""
        self._began = asyncio.get_running_loop().time()

    def succeed(self) -> None:
        """It led somewhere: the next wait is a short one again."""
        self._failures = 0

    async def fail(self, error: Unreachable, after: str | None = None) -> None:
        """Wait before the next one."""
        if asyncio.get_running_loop().time() - self._began > _STABLE_S:
            self._failures = 0
        spread = min(_LONGEST_S, self.first * 2**self._failures) * random.uniform(0.5, 1.0)  # noqa: S311
        self._failures = min(self._failures + 1, 10)
        delay = max(error.retry_after, spread)
        self.tell(Lost(self.url, error, after, delay))
        await asyncio.sleep(delay)
