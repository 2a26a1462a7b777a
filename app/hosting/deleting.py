"""Sessions that are deleted: marked first, so that nobody finds them any more, then emptied, then removed.

Whatever becomes of whoever asked for it, a deletion that was marked is carried out whole; what a crash cuts short is
finished by the next start-up, or by another host.
"""

from __future__ import annotations

import asyncio
from typing import Final

from app.errors import SessionNotFound
from app.hosting.ending import Stores, insist
from app.hosting.host import Hosting
from app.uploads.desk import Uploads
from app.viewing.audience import Audience

REASON: Final = "the session was deleted"
"""Why its runs are cancelled."""


class Deletions:
    """Deletes sessions with all that is kept of them."""

    def __init__(self, stores: Stores, uploads: Uploads, hosting: Hosting, audience: Audience) -> None:
        self._stores = stores
        self._uploads = uploads
        self._hosting = hosting
        self._audience = audience

    async def delete(self, principal: str, session_id: str) -> None:
        """Delete a session: its runs are cancelled, its viewers have the terminal, and nothing is left of it.

        Raises:
            SessionNotFound: there is none, it is another principal's, or it is being deleted already.
        """

        async def mark_and_carry_out() -> None:
            if not await self._stores.sessions.delete_session(principal, session_id, self._stores.clock()):
                raise SessionNotFound("there is no such session")
            await self._carry_out(session_id)

        task = self._hosting.spawn(mark_and_carry_out())
        # Marks a refusal as seen, in case its caller has left.
        task.add_done_callback(lambda task: task.cancelled() or task.exception())
        await asyncio.shield(task)

    async def _carry_out(self, session_id: str) -> None:
        await self._hosting.settle()
        numbers = await insist(lambda: self._stores.sessions.run_numbers(session_id), session_id=session_id)
        run_ids = [run_id for _, run_id in numbers]
        await self._hosting.end(reversed(run_ids), REASON)
        await self._audience.dismiss(session_id, run_ids)
        await insist(lambda: self._uploads.clear(session_id), session_id=session_id)
        await insist(lambda: erase(self._stores, session_id), session_id=session_id)


async def erase(stores: Stores, session_id: str) -> None:
    """Remove the logs of a marked session, whose runs have ended, then its rows; harmless when it was done before."""
    for _, run_id in await stores.sessions.run_numbers(session_id):
        await stores.log.drop(run_id)
    await stores.sessions.remove_session(session_id)
