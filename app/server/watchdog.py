"""A watch over the event loop: when it does not turn, the log says what holds it up.

Everything here shares one loop, so one agent that computes, or waits without `await`, silences every stream. The loop
can't tell of that itself; a thread that looks at it now and then can.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time
import traceback
from types import TracebackType
from typing import Final, Self

import structlog

log = structlog.get_logger()

LIMIT: Final = 1.0
"""Seconds that the loop may be late before it counts as blocked."""

_BEAT: Final = 0.25
_LOOK: Final = 0.4
_SUSPICIOUS: Final = 0.5
"""Seconds after which the stack is remembered, so that there is one when the limit is passed between two looks."""

_QUIET: Final = 10.0
"""Seconds between two warnings; blocks in between are counted all the same."""

_FRAMES: Final = 16


class Watchdog:
    """Watches the loop in which it is entered, until it is left.

    Attributes:
        lag: how late the loop's last turn was, seconds.
        stalls: how often it was late by more than a second.
        stalled: for how many seconds in all.
    """

    def __init__(self) -> None:
        self.lag = 0.0
        self.stalls = 0
        self.stalled = 0.0
        self._turned = time.monotonic()
        self._seen = (0.0, "")
        self._told = 0.0
        self._may_warn = 0.0
        self._left = threading.Event()
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._turn()
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._left.set()
        if self._timer is not None:
            self._timer.cancel()

    def _turn(self) -> None:
        """In the loop, a few times a second: it turns."""
        before, self._turned = self._turned, time.monotonic()
        self.lag = max(0.0, self._turned - before - _BEAT)
        if self.lag >= LIMIT:
            self.stalls += 1
            self.stalled += self.lag
            if self._told == before:
                log.info("loop.turns_again", seconds=round(self.lag, 2))
            else:
                self._warn(before, self.lag)
        self._timer = self._loop.call_later(_BEAT, self._turn)

    def _watch(self) -> None:
        """In a thread of its own: is it late, and where does it stand?"""
        while not self._left.wait(_LOOK):
            turned = self._turned
            late = time.monotonic() - turned - _BEAT
            if late >= _SUSPICIOUS and self._seen[0] != turned:
                stack = traceback.format_stack(sys._current_frames().get(self._thread), limit=_FRAMES)  # noqa: SLF001
                if self._turned == turned:  # or it is the stack of what came after
                    self._seen = turned, "".join(stack)
            if late >= LIMIT and self._told != turned:
                self._warn(turned, late)

    def _warn(self, turned: float, seconds: float) -> None:
        now = time.monotonic()
        if now < self._may_warn:
            return
        self._may_warn, self._told = now + _QUIET, turned
        # Without a stack the thread did not get to run either: the process was paused, or something kept the GIL.
        stack = self._seen[1] if self._seen[0] == turned else None
        log.warning("loop.blocked", seconds=round(seconds, 2), stack=stack)
