"""How often something may happen in a minute."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

_MINUTE: Final = 60.0


class Rate:
    """Counts what happens, over the minute that has just gone by.

    Args:
        limit: how often in any minute.
    """

    def __init__(self, limit: int) -> None:
        self._times: deque[float] = deque(maxlen=limit)

    def admits(self) -> bool:
        """Whether it may happen once more, now; only what may is counted."""
        now = asyncio.get_running_loop().time()
        if len(self._times) == self._times.maxlen and now - self._times[0] < _MINUTE:
            return False
        self._times.append(now)
        return True
