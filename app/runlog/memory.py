"""MemoryLog: logs that last as long as the process. For tests and for trying things out."""

from __future__ import annotations

from collections.abc import Sequence

from app.errors import Fenced, Gap
from app.events import Event
from app.runlog.base import Bell, Page, RunLog
from app.runlog.codec import encode_segment
from app.runlog.window import Window


class MemoryLog:
    """Every log whole, as a window without bounds."""

    def __init__(self) -> None:
        self._windows: dict[str, Window] = {}

    async def append(self, run_id: str, first_seq: int, events: Sequence[Event], *, closed: bool = False) -> None:
        """As `RunLog.append`; an event that no store could keep is refused here as well.

        Raises:
            ValueError: `events` is empty.
        """
        size = len(encode_segment(events))
        window = self._windows.get(run_id) or Window.unbounded()
        if window.closed or window.tail != first_seq - 1:
            raise Fenced(f"run {run_id}: an append at {first_seq}, but the log is at {window.tail}")
        if window.tail == 0:
            # A window that was made for a waiter takes its place among the logs only now.
            self._windows.pop(run_id, None)
            self._windows[run_id] = window
        window.extend(first_seq, events, size=size, closed=closed)

    async def read(self, run_id: str, after: int, limit: int) -> Page:
        """As `RunLog.read`."""
        window = self._windows.get(run_id) or Window.unbounded()
        if not window.covers(after):
            raise Gap(1, window.tail)
        return window.page(after, limit)

    async def wait(self, run_id: str, after: int, bell: Bell | None = None) -> bool:
        """As `RunLog.wait`."""
        window = self._windows.get(run_id)
        if window is None:
            window = self._windows[run_id] = Window.unbounded()
        try:
            return await window.wait(after, bell)
        finally:
            if not (window.tail or window.in_use or window.dropped):
                del self._windows[run_id]

    async def drop(self, run_id: str) -> None:
        """As `RunLog.drop`."""
        window = self._windows.pop(run_id, None)
        if window is not None:
            window.drop()

    def release(self, run_id: str) -> None:
        """As `RunLog.release`; there is no other process."""

    async def runs(self) -> list[str]:
        """As `RunLog.runs`."""
        return [run_id for run_id, window in self._windows.items() if window.tail]

    async def check(self) -> None:
        """As `RunLog.check`; memory is always there."""

    def suits(self, run_id: str) -> bool:  # noqa: ARG002
        """As `RunLog.suits`; all logs are in one place."""
        return True

    async def close(self) -> None:
        """As `RunLog.close`; the logs are gone."""
        for run_id in list(self._windows):
            await self.drop(run_id)


_: type[RunLog] = MemoryLog
