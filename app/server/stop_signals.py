"""The signals that ask a process to stop, as something that can be waited for among other things."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

_STOPS: Final = (signal.SIGTERM, signal.SIGINT)


class StopSignals:
    """The signals that ask to stop, as something that can be waited for."""

    def __init__(self, woken: socket.socket) -> None:
        self.woken = woken
        self._first: int | None = None

    def taken(self) -> bytes:
        """Those that came since the last time."""
        try:
            came = bytes(number for number in self.woken.recv(4096) if number in _STOPS)
        except BlockingIOError:
            return b""
        if came and self._first is None:
            self._first = came[0]
        return came

    def die(self) -> None:
        """End as whoever sent the first one expects."""
        if self._first is not None:
            signal.signal(self._first, signal.SIG_DFL)
            signal.raise_signal(self._first)


@contextmanager
def stop_signals() -> Iterator[StopSignals]:
    woken, wakes = socket.socketpair()
    with woken, wakes:
        woken.setblocking(False)
        wakes.setblocking(False)
        earlier = {number: signal.signal(number, _nothing) for number in _STOPS}
        before = signal.set_wakeup_fd(wakes.fileno())
        try:
            yield StopSignals(woken)
        finally:
            signal.set_wakeup_fd(before)
            for number, handler in earlier.items():
                signal.signal(number, handler)


def _nothing(number: int, frame: FrameType | None) -> None:
    """A signal that has a handler is written to the wake-up socket."""
