"""The same question, asked by many at once, is answered once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, TypeVar

R = TypeVar("R")


class SingleFlight:
    """Calls in progress by key. A caller that is cancelled leaves the call to the others."""

    def __init__(self) -> None:
        self._calls: dict[Hashable, asyncio.Future[Any]] = {}

    async def __call__(self, key: Hashable, ask: Callable[[], Awaitable[R]]) -> R:
        """The answer of `ask`, or of the call with the same key that is in progress."""
        call = self._calls.get(key)
        if call is None:
            call = self._calls[key] = asyncio.ensure_future(ask())
            call.add_done_callback(lambda done: self._end(key, done))
        answer: R = await asyncio.shield(call)
        return answer

    def _end(self, key: Hashable, call: asyncio.Future[Any]) -> None:
        del self._calls[key]
        if not call.cancelled():
            # Marks a failure as seen, in case all who asked were cancelled meanwhile.
            call.exception()
