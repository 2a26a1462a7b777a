"""What becomes of runs, told to whoever views their session: here at once, in other processes by the fleet."""

from __future__ import annotations

from collections.abc import Sequence

from app.hosts.base import Began, Deleted, Ended, Fleet, Waits
from app.sessions.base import Run, Waiting
from app.viewing.session_feed import SessionFeeds


class Teller:
    """Tells of the runs of this process, before any log shows it."""

    def __init__(self, feeds: SessionFeeds, fleet: Fleet) -> None:
        self._feeds = feeds
        self._fleet = fleet

    def began(self, run: Run) -> bool:
        """A run began to run; False if `refresh` has to find out here what came before it, in another process."""
        self._fleet.tell(run.session_id, Began(run.number, run.id))
        return self._feeds.began(run.session_id, run.number, run.id)

    async def refresh(self, session_id: str) -> None:
        """Find out which runs have begun."""
        await self._feeds.refresh(session_id)

    def waits(self, session_id: str, waiting: Sequence[Waiting]) -> None:
        """Runs have to wait, or got another place in the queue."""
        if waiting:
            self._feeds.wait(session_id, waiting)
            self._fleet.tell(session_id, Waits(tuple(waiting)))

    async def ended(self, session_id: str) -> None:
        """A run ended: others may have their turn now."""
        self._fleet.tell(session_id, Ended())
        await self._feeds.refresh(session_id)

    def deleted(self, session_id: str, run_ids: Sequence[str]) -> None:
        """The session is deleted; who views it here is dismissed otherwise."""
        self._fleet.tell(session_id, Deleted(tuple(run_ids)))
        for run_id in run_ids:
            self._fleet.tell(run_id, Deleted((run_id,)))
