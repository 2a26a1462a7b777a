"""The windows of many runs, bounded: the ones that were used last, and never more bytes than agreed."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

from app.events import Event
from app.runlog.window import Window

MAX_WINDOWS: Final = 1024
MAX_BYTES: Final = 64 * 1024 * 1024
_LOOKS: Final = 8


class Windows:
    """Windows by run id, least recently used first.

    Args:
        most: how many windows are kept, unless more are in use.
        most_bytes: how many encoded bytes of entries are kept in all of them.
    """

    def __init__(self, *, most: int = MAX_WINDOWS, most_bytes: int = MAX_BYTES) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._size = 0
        self._windows: OrderedDict[str, Window] = OrderedDict()

    def __len__(self) -> int:
        return len(self._windows)

    def get(self, run_id: str) -> Window | None:
        """The run's window, if there is one."""
        window = self._windows.get(run_id)
        if window is not None:
            self._windows.move_to_end(run_id)
        return window

    def open(self, run_id: str) -> Window:
        """The run's window; a new one, that knows nothing of its log yet, if there is none. Hold it across awaits."""
        window = self.get(run_id)
        if window is None:
            window = self._windows[run_id] = Window()
            self._evict()
        return window

    def publish(
        self, run_id: str, first_seq: int, events: Sequence[Event], *, size: int, closed: bool, mark: str = ""
    ) -> None:
        """Tell the run's readers of an append that is durable now."""
        window = self.open(run_id)
        before = window.size
        window.mark = mark
        window.extend(first_seq, events, size=size, closed=closed)
        self._size += window.size - before
        self._evict()

    def skip(self, run_id: str, tail: int, *, closed: bool, mark: str) -> None:
        """Tell the run's readers that its log has gone on to `tail`, without having the entries."""
        window = self.open(run_id)
        self._size -= window.size
        window.mark = mark
        window.skip(tail, closed=closed)

    def lose(self, run_id: str, earliest: int, latest: int) -> None:
        """Tell the run's readers that its log was lost, and what there is in its place."""
        if (window := self._take(run_id)) is not None:
            window.lose(earliest, latest)

    def drop(self, run_id: str) -> None:
        """Tell the run's readers that its log was forgotten."""
        if (window := self._take(run_id)) is not None:
            window.drop()

    def clear(self) -> None:
        """Forget all windows; whoever waits is woken."""
        for run_id in list(self._windows):
            self.drop(run_id)

    def idle(self) -> list[str]:
        """The runs whose windows nobody waits on or holds."""
        return [run_id for run_id, window in self._windows.items() if not window.in_use]

    def _take(self, run_id: str) -> Window | None:
        window = self._windows.pop(run_id, None)
        if window is not None:
            self._size -= window.size
        return window

    def _evict(self) -> None:
        # A few looks per append, so that it stays cheap however many windows are held; the next append goes on.
        for _ in range(min(_LOOKS, len(self._windows) - 1)):
            if len(self._windows) <= self._most and self._size <= self._most_bytes:
                return
            self._release(next(iter(self._windows)))

    def _release(self, run_id: str) -> None:
        window = self._windows[run_id]
        if not window.in_use:
            del self._windows[run_id]
            self._size -= window.size
        else:
            self._windows.move_to_end(run_id)
            if self._size > self._most_bytes:
                self._size -= window.size
                window.forget()
