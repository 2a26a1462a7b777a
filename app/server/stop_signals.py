"""The signals that ask a process to stop, as something that can be waited for among other things."""

from __future__ import annotations

import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

_STOPS: Final = (signal.SIGTERM, signal.SIGINT)


class StopSignals:
    """The signals that ask to stop, as something that can be waited for.

    Attributes:
        woken: can be read when there are some.
        first: the number of the first that was taken; 0 before it.
    """

    def __init__(self, woken: socket.socket) -> None:
        self.woken = woken
        self.first = 0

    def taken(self) -> bytes:
        """Those that came since the last time."""
        try:
            came = bytes(number for number in self.woken.recv(4096) if number in _STOPS)
        except BlockingIOError:
            return b""
        if came and not self.first:
            self.first = came[0]
        return came


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


def die_of(number: int) -> None:
    """End as whoever sent the signal expects, without winding up anything."""
    sys.stdout.flush()
    signal.signal(number, signal.SIG_DFL)
    signal.raise_signal(number)


def _nothing(number: int, frame: FrameType | None) -> None:
    """A signal that has a handler is written to the wake-up socket."""
