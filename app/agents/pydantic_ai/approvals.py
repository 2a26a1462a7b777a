"""Tools that a person has to allow: pydantic-ai's deferred calls, asked about while the run goes on."""

from __future__ import annotations

import asyncio
from typing import Any

from pydantic_ai import DeferredToolRequests, DeferredToolResults, RunContext, ToolApproved, ToolDenied
from pydantic_ai.capabilities import HandleDeferredToolCalls
from pydantic_ai.messages import ToolCallPart

from app.agents.base import Turn
from app.agents.pydantic_ai.tools import RunDeps

REFUSED = "A person was asked and refused this call. Don't try it again unless they say otherwise."
"""What the model is told; a comment of theirs follows."""


def asking_people() -> HandleDeferredToolCalls[RunDeps]:
    """What makes pydantic-ai wait for people's answers, wherever a call waits for approval.

    That is a tool that the profile names, one that was made with `requires_approval`, or one that raises
    `ApprovalRequired`; a `reason` in its metadata is shown to whoever is asked.
    """
    return HandleDeferredToolCalls(_ask_people)


async def _ask_people(ctx: RunContext[RunDeps], requests: DeferredToolRequests) -> DeferredToolResults | None:
    if not requests.approvals:
        return None
    asked = [_ask(ctx.deps.turn, call, requests.metadata.get(call.tool_call_id, {})) for call in requests.approvals]
    answers = await asyncio.gather(*asked)
    ids = [call.tool_call_id for call in requests.approvals]
    return requests.build_results(approvals=dict(zip(ids, answers, strict=True)))


async def _ask(turn: Turn, call: ToolCallPart, metadata: dict[str, Any]) -> ToolApproved | ToolDenied:
    reason = metadata.get("reason")
    approval = await turn.approve(
        call.tool_name,
        call.args_as_dict(),
        reason=reason if isinstance(reason, str) else None,
        call_id=call.tool_call_id,
    )
    if approval:
        return ToolApproved()
    return ToolDenied(f"{REFUSED} They said: {approval.comment}" if approval.comment else REFUSED)
