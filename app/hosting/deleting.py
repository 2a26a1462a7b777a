"""Sessions that are deleted: marked first, so that nobody finds them any more, then emptied, then removed.

Whatever becomes of whoever asked for it, a deletion that was marked is carried out whole; what a crash cuts short is
finished by the next start-up, or by another process.
"""

from __future__ import annotations

import asyncio
from typing import Final

import anyio
import structlog

from app.errors import Gap, SessionNotFound
from app.hosting.elsewhere import Elsewhere
from app.hosting.ending import Stores, insist
from app.hosting.host import Hosting
from app.hosting.telling import Teller
from app.runlog.single_flight import SingleFlight
from app.uploads.desk import Uploads
from app.viewing.audience import Audience

log = structlog.get_logger()

REASON: Final = "the session was deleted"
"""Why its runs are cancelled."""

_PATIENCE: Final = 30.0
"""Seconds that the runs of other processes have to end: as long as it takes to find out that one of these is gone."""


class Deletions:
    """Deletes sessions with all that is kept of them."""

    def __init__(
        self,
        stores: Stores,
        uploads: Uploads,
        hosting: Hosting,
        elsewhere: Elsewhere,
        tell: Teller,
        audience: Audience,
    ) -> None:
        self._stores = stores
        self._uploads = uploads
        self._hosting = hosting
        self._elsewhere = elsewhere
        self._tell = tell
        self._audience = audience
        self._share = SingleFlight()

    async def delete(self, principal: str, session_id: str) -> None:
        """Delete a session: its runs are cancelled, its viewers have the terminal, and nothing is left of it.

        Raises:
            SessionNotFound: there is none, it is another principal's, or it is being deleted already.
        """

        async def mark_and_carry_out() -> None:
            if not await self._stores.sessions.delete_session(principal, session_id, self._stores.clock()):
                raise SessionNotFound("there is no such session")
            await self.carry_out(session_id)

        task = self._hosting.spawn(mark_and_carry_out())
        # Marks a refusal as seen, in case its caller has left.
        task.add_done_callback(lambda task: task.cancelled() or task.exception())
        await asyncio.shield(task)

    async def carry_out(self, session_id: str) -> None:
        """Empty and remove a session that is marked; if that is going on here, wait for it."""
        await self._share(session_id, lambda: self._empty(session_id))

    async def _empty(self, session_id: str) -> None:
        await self._hosting.settle()
        numbers = await insist(lambda: self._stores.sessions.run_numbers(session_id), session_id=session_id)
        run_ids = [run_id for _, run_id in numbers]
        await self._hosting.end(reversed(run_ids), REASON)
        if self._elsewhere.shared:
            with anyio.move_on_after(_PATIENCE) as waiting:
                await self._end_elsewhere(session_id)
            if waiting.cancelled_caught:
                log.warning("session.deletion_waits", session_id=session_id)  # for a sweep, which tries again
                return
        self._tell.deleted(session_id, run_ids)
        await self._audience.dismiss(session_id, run_ids)
        await self._elsewhere.left(session_id, *run_ids)
        await insist(lambda: self._uploads.clear(session_id), session_id=session_id)
        await insist(lambda: erase(self._stores, session_id), session_id=session_id)

    async def _end_elsewhere(self, session_id: str) -> None:
        rows = self._stores.sessions
        # Also those that have ended in their rows, and by the death of their host not in their logs.
        run_ids = await insist(lambda: rows.unarchived_runs(session_id), session_id=session_id)
        for run_id in reversed(run_ids):
            await self._elsewhere.insist(session_id, run_id, REASON)
        for run_id in run_ids:
            await self._closed(run_id)

    async def _closed(self, run_id: str) -> None:
        """Wait until a log has its terminal."""
        try:
            while not (page := await self._stores.log.read(run_id, 0, 1)).closed:
                await self._stores.log.wait(run_id, page.tail)
        except Gap:
            return  # it was trimmed to it


async def erase(stores: Stores, session_id: str) -> None:
    """Remove the logs of a marked session, whose runs have ended, then its rows; harmless when it was done before."""
    for _, run_id in await stores.sessions.run_numbers(session_id):
        await stores.log.drop(run_id)
    await stores.sessions.remove_session(session_id)
