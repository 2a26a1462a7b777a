"""What a run's agent has asked people, and what they answered (P4.1, `approve`).

A question and its answer are events like any other, so every viewer sees them, also after a reload. The agent goes on
only once the answer is in the log, and whoever gave it is told only then that it counts: a process that dies in between
has taken no answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

from attrs import frozen

from app.agents.base import Approval
from app.errors import Gap, NoAnswer, NoSuchApproval
from app.events import ApprovalRequested, ApprovalResolved, Event
from app.runlog.base import RunLog

_ENDED: Final = Approval(approved=False, comment="the run has ended")
_PAUSE: Final = 0.1
_GIVEN_UP: Final = "the agent waits no longer"
_PAGE: Final = 512
_PATIENCE: Final = 5.0
"""Seconds for which an answer may be on its way into the log; then whoever gave it has to ask again."""


@frozen(eq=False)
class _Given:
    """An answer, and whether it got into the log, once that is known."""

    approval: Approval
    kept: asyncio.Future[bool]


class Approvals:
    """The approvals of one run.

    Args:
        say: records an event as the agent's; answers what came of it, nothing once the run has its terminal.
    """

    def __init__(self, say: Callable[[Event], Sequence[Event]]) -> None:
        self._say = say
        self._open: dict[str, asyncio.Future[Approval]] = {}
        self._given: dict[str, _Given] = {}
        self._due: dict[str, _Given] = {}

    @property
    def waiting(self) -> bool:
        """Whether the agent waits for somebody's answer."""
        return bool(self._open)

    async def ask(self, question: ApprovalRequested) -> Approval:
        """Put a question to whoever follows the run, and wait for the answer.

        Raises:
            TypeError: a field of the question has another type than it is declared with.
        """
        asked = next((each for each in self._say(question) if isinstance(each, ApprovalRequested)), None)
        if asked is None:
            await asyncio.sleep(_PAUSE)  # an agent that asks again and again must not keep everybody else waiting
            return _ENDED
        answer: asyncio.Future[Approval] = asyncio.get_running_loop().create_future()
        self._open[asked.call_id] = answer
        try:
            return await answer
        finally:
            del self._open[asked.call_id]
            if asked.call_id not in self._given:  # an open question would stay on everybody's screen
                self._say(ApprovalResolved(asked.call_id, approved=False, comment=_GIVEN_UP))

    async def answer(self, call_id: str, approval: Approval) -> None:
        """Take somebody's answer; it is in the log when this returns. Saying the same again is fine.

        Raises:
            NoSuchApproval: nobody asked that, it was answered otherwise, or the run has ended without it.
            NoAnswer: it is not in the log yet, and may still get there.
        """
        given = self._given.get(call_id) or self._take(call_id, approval)
        if given.approval != approval:
            raise NoSuchApproval("it was answered already, and otherwise")
        try:
            async with asyncio.timeout(_PATIENCE):
                kept = await asyncio.shield(given.kept)
        except TimeoutError:
            raise NoAnswer("the answer is not stored yet; say it again in a moment") from None
        if not kept:
            raise NoSuchApproval("the run has ended")

    def written(self, events: Sequence[Event]) -> None:
        """Let the agent go on with the answers among these events, which are in the log now."""
        if not self._due:
            return
        for event in events:
            if not isinstance(event, ApprovalResolved) or (given := self._due.pop(event.call_id, None)) is None:
                continue
            given.kept.set_result(True)
            waiting = self._open.get(event.call_id)
            if waiting is not None and not waiting.done():
                waiting.set_result(given.approval)

    def close(self) -> None:
        """The run has ended: what is not in the log will not be, unless it came there with the terminal."""
        for given in self._due.values():
            given.kept.set_result(False)

    def _take(self, call_id: str, approval: Approval) -> _Given:
        if call_id not in self._open:
            raise NoSuchApproval("the run waits for no such approval")
        if not self._say(ApprovalResolved(call_id, approval.approved, comment=approval.comment)):
            raise NoSuchApproval("the run is ending")
        given = self._given[call_id] = self._due[call_id] = _Given(approval, asyncio.get_running_loop().create_future())
        return given


async def is_settled(log: RunLog, run_id: str, call_id: str, approval: Approval) -> bool:
    """Whether the log of a run that has ended says that this question was answered so (P4.7)."""
    after = 0
    with suppress(Gap):  # what was trimmed says nothing
        while (page := await log.read(run_id, after, _PAGE)).entries:
            for entry in page.entries:
                if isinstance(entry.event, ApprovalResolved) and entry.event.call_id == call_id:
                    return Approval(entry.event.approved, entry.event.comment) == approval
            after = page.entries[-1].seq
            await asyncio.sleep(0)  # reading may suspend nowhere
    return False
