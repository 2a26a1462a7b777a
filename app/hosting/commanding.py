"""Commands to runs, wherever they are executed: here at once, elsewhere by an order to the host."""

from __future__ import annotations

from app.agents.base import Approval
from app.errors import NoSuchApproval
from app.hosting.elsewhere import Elsewhere
from app.hosting.host import Hosting
from app.sessions.base import Run


class Commands:
    """Cancels runs, and answers their agents."""

    def __init__(self, hosting: Hosting, elsewhere: Elsewhere) -> None:
        self._hosting = hosting
        self._elsewhere = elsewhere

    async def cancel(self, run: Run, reason: str) -> None:
        """Cancel a run, unless it has ended; what its agent says once this has returned is in no log (P4.6).

        Raises:
            NoAnswer: the process that executes it does not answer.
        """
        if self._elsewhere.executes(run):
            await self._elsewhere.cancel(run, reason)
        else:
            await self.halt(run.id, reason)

    async def approve(self, run: Run, call_id: str, approval: Approval) -> None:
        """Answer what a run's agent asked, and have that in its log (P4.7); the same answer twice is one.

        Raises:
            NoSuchApproval: it waits for no such answer.
            NoAnswer: the process that executes it does not answer, or its storage does not.
        """
        if self._elsewhere.executes(run):
            await self._elsewhere.approve(run, call_id, approval)
        else:
            await self.answer(run.id, call_id, approval)

    async def halt(self, run_id: str, reason: str) -> None:
        """Cancel a run that is executed here, or waits to be, or is being started."""
        if not self._hosting.has(run_id):
            await self._hosting.settle()  # its row is there before whoever starts it hears of that
        self._hosting.stop(run_id, reason)

    async def answer(self, run_id: str, call_id: str, approval: Approval) -> None:
        """Answer what the agent of a run asked that is executed here, and have that in its log.

        Raises:
            NoSuchApproval: it waits for no such answer.
            NoAnswer: the storage does not take it now.
        """
        hosted = self._hosting.get(run_id)
        if hosted is None:
            raise NoSuchApproval("the run waits for no approval")
        await hosted.answer(call_id, approval)
