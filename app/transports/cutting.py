"""Cutting a connection whose peer takes nothing, so that it reconnects instead of taking what it got for the whole.

P3.9, P3.10. Our server puts two calls into a connection's scope: `abort` resets it, `buffered` tells how many bytes
still wait to be sent. Under another server a response just stays unfinished, and every long send counts as a stall.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, Self

EXTENSION: Final = "runcast.connection"

_LOOKS: Final = 8
"""How often a stall is looked for while it lasts as long as is bearable."""


def _offer(scope: Any, name: str) -> Callable[[], Any] | None:
    offers: dict[str, Callable[[], Any]] = (scope.get("extensions") or {}).get(EXTENSION, {})
    return offers.get(name)


async def cut(scope: Any) -> None:
    """Reset the connection, where the server lets us."""
    if (abort := _offer(scope, "abort")) is not None:
        abort()
        await asyncio.sleep(0)


class Patience:
    """Watches one connection's sends from beside them, at no cost to each: entered for as long as it is sent to.

    Args:
        scope: the connection's ASGI scope.
        seconds: how long the peer may take nothing while something is being sent.
        give_up: called once, when it has.

    Attributes:
        begun, ended: how many sends were; whoever sends counts them.
    """

    def __init__(self, scope: Any, seconds: float, give_up: Callable[[], None]) -> None:
        self.begun = 0
        self.ended = 0
        self._buffered = _offer(scope, "buffered")
        self._seconds = seconds
        self._give_up = give_up
        self._loop = asyncio.get_running_loop()
        self._seen = (0, 0)
        self._since = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> Self:
        self._look()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        now = self._loop.time()
        waiting = self._buffered() if self._buffered is not None else 0
        ended, least = self._seen
        if self.begun == self.ended or self.ended != ended or waiting < least:
            self._seen = self.ended, waiting
            self._since = now
        elif now - self._since >= self._seconds:
            self._give_up()
            return
        self._timer = self._loop.call_later(self._seconds / _LOOKS, self._look)
