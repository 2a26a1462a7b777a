"""Whether anybody follows the runs that end when nobody does (P3.11).

A run is followed by its own viewers and by those of its session, whichever run these are at just now.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable
from typing import Final

from attrs import define

from app.errors import StoreUnavailable

_LOOKS: Final = 10
"""How often in a grace period other processes are asked for viewers, who come and leave unseen from here."""


@define
class _Watched:
    session_id: str
    timer: asyncio.TimerHandle | asyncio.Task[None] | None = None

    def stop(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None


class Attendance:
    """The viewers of runs and sessions, counted, and a grace period for each run that asked for one.

    Args:
        grace: seconds without a viewer after which a run is left.
        leave: told the id of a run that is.
        elsewhere: whether other processes have viewers of one of these, by id; None where there are none.
    """

    def __init__(
        self,
        grace: float,
        leave: Callable[[str], None],
        elsewhere: Callable[[str, str], Awaitable[bool]] | None = None,
    ) -> None:
        self._elsewhere = elsewhere
        self._grace = grace
        self._leave = leave
        self._viewers: dict[str, int] = {}
        self._watched: dict[str, _Watched] = {}

    def watch(self, run_id: str, session_id: str) -> None:
        """Tell when nobody follows this run for the grace period, from now on."""
        self._watched[run_id] = _Watched(session_id)
        self._look(run_id)

    def forget(self, run_id: str) -> None:
        """It does not matter any more who follows this run."""
        if (watched := self._watched.pop(run_id, None)) is not None:
            watched.stop()

    def waits(self, run_id: str) -> bool:
        """Whether the grace period of this run is going on."""
        watched = self._watched.get(run_id)
        return watched is not None and watched.timer is not None

    def count(self, followed: str, viewers: int) -> None:
        """Take note of how many follow a run, or a session, by its id."""
        if viewers:
            self._viewers[followed] = viewers
        else:
            self._viewers.pop(followed, None)
        for run_id, watched in self._watched.items():
            if followed in (run_id, watched.session_id):
                self._look(run_id)

    def _look(self, run_id: str) -> None:
        watched = self._watched[run_id]
        if run_id in self._viewers or watched.session_id in self._viewers:
            watched.stop()
        elif watched.timer is None and self._elsewhere is not None:
            waiting = self._wait(self._elsewhere, run_id, watched.session_id)
            watched.timer = asyncio.get_running_loop().create_task(waiting, context=contextvars.Context())
        elif watched.timer is None:
            watched.timer = asyncio.get_running_loop().call_later(self._grace, self._leave, run_id)

    async def _wait(self, elsewhere: Callable[[str, str], Awaitable[bool]], run_id: str, session_id: str) -> None:
        alone = 0
        while alone < _LOOKS:
            await asyncio.sleep(self._grace / _LOOKS)
            try:
                alone = 0 if await elsewhere(session_id, run_id) else alone + 1
            except StoreUnavailable:  # nobody can be asked, nor be seen to have left
                alone = 0
        self._leave(run_id)
