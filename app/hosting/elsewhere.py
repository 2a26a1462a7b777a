"""Runs that other processes execute: what is wanted of one of them is asked of its host."""

from __future__ import annotations

from contextlib import suppress
from typing import Final

import anyio
import structlog

from app.agents.base import Approval
from app.errors import NoAnswer, StoreUnavailable
from app.hosting.ending import insist
from app.hosts.base import Approve, Begin, Cancel, Fleet
from app.sessions.base import Run, SessionStore

log = structlog.get_logger()

_PAUSE: Final = 1.0
_LOOK: Final = 0.1
_FAREWELL: Final = 2.0
"""Seconds that viewers of a deleted session have to take its last words."""

_TRIES: Final = 20
"""How often a host is asked to stop a run, a second apart: longer than it takes to find out that it is gone."""


class Elsewhere:
    """The runs of other hosts.

    Args:
        fleet: where these are.
        rows: says which host a run has.

    Attributes:
        here: the name of this process.
        shared: whether there may be others.
    """

    def __init__(self, fleet: Fleet, rows: SessionStore) -> None:
        self.here = fleet.name
        self.shared = fleet.shared
        self._fleet = fleet
        self._rows = rows

    def executes(self, run: Run) -> bool:
        """Whether another process is to execute the run, unless it has ended."""
        return run.ended_at is None and run.host != self.here

    async def cancel(self, run: Run, reason: str) -> None:
        """Cancel a run; nothing that its agent says once this has returned is shown (P4.6).

        Raises:
            NoAnswer: its host does not answer.
        """
        await self._fleet.ask(run.host, Cancel(run.id, reason))

    async def insist(self, session_id: str, run_id: str, reason: str) -> None:
        """Cancel a run, again and again until its host has heard of it, or it has ended."""
        for _ in range(_TRIES):
            run = await insist(lambda: self._rows.get_run(session_id, run_id), run_id=run_id)
            if run is None or not self.executes(run):
                break
            try:
                await self.cancel(run, reason)
                break
            except NoAnswer as error:
                log.warning("run.not_stopped", run_id=run_id, retry_in=_PAUSE, reason=str(error))
            await anyio.sleep(_PAUSE)

    async def approve(self, run: Run, call_id: str, approval: Approval) -> None:
        """Answer what a run's agent asked.

        Raises:
            NoSuchApproval: it waits for no such answer. NoAnswer: its host does not answer.
        """
        await self._fleet.ask(run.host, Approve(run.id, call_id, approval.approved, approval.comment))

    def begin(self, run: Run) -> None:
        """Tell a run's host that its turn has come. If that is lost, its host finds it in its row."""
        self._fleet.send(run.host, Begin(run.session_id, run.id))

    async def left(self, *viewed: str) -> None:
        """Wait a moment until the viewers of these sessions and runs have left, in other processes."""
        with anyio.move_on_after(_FAREWELL), suppress(StoreUnavailable):
            while await self._fleet.viewed_elsewhere(*viewed):  # noqa: ASYNC110 - it is asked, and tells nobody
                await anyio.sleep(_LOOK)
