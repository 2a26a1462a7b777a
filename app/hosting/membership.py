"""What this process does for the others: orders for its runs, and news for its viewers."""

from __future__ import annotations

from app.agents.base import Approval
from app.hosting.commanding import Commands
from app.hosting.ending import insist
from app.hosting.host import Hosting
from app.hosts.base import Approve, Began, Begin, Cancel, Deleted, Ended, Missed, News, Order, Waits
from app.sessions.base import RunStatus, SessionStore
from app.viewing.audience import Audience


class Membership:
    """One process among others."""

    def __init__(self, hosting: Hosting, commands: Commands, audience: Audience, rows: SessionStore) -> None:
        self._hosting = hosting
        self._commands = commands
        self._audience = audience
        self._rows = rows

    async def obey(self, order: Order) -> None:
        """As `Member.obey`."""
        match order:
            case Cancel():
                await self._commands.halt(order.run_id, order.reason)
            case Begin():
                run = await self._rows.get_run(order.session_id, order.run_id)
                if run is not None and run.status is RunStatus.RUNNING:
                    self._hosting.call(run)
            case Approve():
                approval = Approval(approved=order.approved, comment=order.comment)
                await self._commands.answer(order.run_id, order.call_id, approval)

    def hear(self, session_id: str, news: News) -> None:
        """As `Member.hear`."""
        sessions = self._audience.sessions
        match news:
            case Began() if sessions.began(session_id, news.number, news.run_id):
                pass
            case Waits():
                sessions.wait(session_id, news.waiting)
            case Began() | Ended() if sessions.viewers(session_id):
                self._hosting.spawn(insist(lambda: sessions.refresh(session_id), session_id=session_id))
            case Missed() if sessions.viewers(session_id):
                self._hosting.spawn(insist(lambda: self._audience.catch_up(session_id), session_id=session_id))
            case Deleted():
                self._hosting.spawn(self._audience.dismiss(session_id, news.run_ids))
            case _:
                pass
