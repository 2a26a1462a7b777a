"""What a model may call: functions, and other profiles as subagents."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from copy import copy
from dataclasses import dataclass
from typing import Any

import structlog
from attrs import Factory, define, evolve
from pydantic_ai import CustomEvent, RunContext, Tool, ToolFailed
from pydantic_ai.exceptions import ToolRetryError

from app.agents.base import Profile, Turn
from app.errors import AgentError, ConfigurationError
from app.events import (
    ContextCompressed,
    Event,
    RunCancelled,
    RunFailed,
    RunStarted,
    StreamEnd,
    TextDelta,
    TextEnd,
    TextStarted,
    ThinkingDelta,
    ThinkingEnd,
    ThinkingStarted,
    ToolEvent,
    ToolStarted,
    TurnThinking,
)

_log = structlog.get_logger(__name__)

FAILED = "The tool failed unexpectedly. It won't help to call it again in the same way."
"""What the model is told about a tool that raised; the exception itself is only logged."""


@define
class RunDeps:
    """What tools find in `ctx.deps`: the turn that is being performed.

    Attributes:
        pending: events that are to be said before the next one.
    """

    turn: Turn
    pending: list[Event] = Factory(list)


@dataclass(kw_only=True)
class Forwarded(CustomEvent, name="runcast.forwarded"):
    """A subagent's event, on its way through the run that called it."""

    event: Event


def function_tools(functions: Sequence[Any]) -> list[Tool[RunDeps]]:
    """Functions as tools; their signatures and docstrings are what the model reads. A pydantic-ai `Tool` stays one.

    Raises:
        ConfigurationError: a function can't be described to a model.
    """
    tools: list[Tool[RunDeps]] = []
    for function in functions:
        if isinstance(function, Tool):
            tools.append(function)
            continue
        name = getattr(function, "__name__", repr(function))
        if not callable(function):
            raise ConfigurationError(f"tools: {name} is not a function")
        try:
            tools.append(Tool(function))
        except Exception as error:
            raise ConfigurationError(f"tools: {name} can't be a tool: {type(error).__name__}: {error}") from error
    return tools


def guarded(tools: Sequence[Tool[RunDeps]], names: Sequence[str]) -> list[Tool[RunDeps]]:
    """The tools, of which those with these names wait for somebody's approval before each call.

    Raises:
        ConfigurationError: there is no tool of such a name.
    """
    known = {tool.name for tool in tools}
    for position, name in enumerate(names):
        if name not in known:
            raise ConfigurationError(
                f"needs_approval[{position}]: there is no tool {name!r}: {', '.join(sorted(known))}"
            )
    return [_guarded(tool) if tool.name in names else tool for tool in tools]


def _guarded(tool: Tool[RunDeps]) -> Tool[RunDeps]:
    tool = copy(tool)  # whoever made it may use it elsewhere
    tool.requires_approval = True
    return tool


def subagent_tool(profile: Profile) -> Tool[RunDeps]:
    """A tool that lets the model ask another profile, whose events are forwarded while it works."""

    async def ask(ctx: RunContext[RunDeps], request: str) -> str:
        said: list[str] = []
        asked = ctx.deps.turn
        turn = Turn(session_id=asked.session_id, run_id=asked.run_id, content=request, ask=asked.ask)
        try:
            async with aclosing(_generator(profile.agent.run_stream(turn))) as stream:
                async for event in stream:
                    await _forward(ctx, event, profile.name, said)
        except AgentError as error:
            raise ToolFailed(error.message) from error
        return "".join(said)

    about = f" {profile.description}" if profile.description else ""
    return Tool(
        ask,
        name=f"ask_{profile.name}",
        description=f"Ask the agent {profile.name!r} and get its answer. It sees nothing but the request.{about}",
    )


async def on_tool_error(_: RunContext[RunDeps], *, error: Exception, call: Any, **_rest: Any) -> Any:
    """Let an unexpected exception of a tool fail that call, not the run; AgentError ends the run, as anywhere.

    Raises:
        AgentError: the tool did.
        ToolFailed: the tool raised anything else.
    """
    if isinstance(error, AgentError | ToolRetryError):
        raise error
    await _log.aerror("tool.failed", tool=call.tool_name, exc_info=error)
    raise ToolFailed(FAILED) from error


async def _forward(ctx: RunContext[RunDeps], event: Event | str, name: str, said: list[str]) -> None:
    if isinstance(event, str):
        event = TextDelta(event)
    if isinstance(event, TextDelta) and event.agent is None:
        said.append(event.delta)
    if isinstance(event, StreamEnd) and not said:
        said.append(event.full_content)
    forwarded = _attributed(event, name)
    if forwarded is not None:
        await ctx.emit(Forwarded(event=forwarded))


def _attributed(event: Event, name: str) -> Event | None:
    """The event as the subagent's own; None for what only a whole run can say."""
    match event:
        case RunStarted() | ContextCompressed() | StreamEnd() | RunCancelled() | RunFailed():
            return None
        case ToolStarted() | ToolEvent() | TurnThinking():
            return evolve(event, is_subagent=True, agent=event.agent or name)
        case TextDelta() | ThinkingDelta() | TextEnd() | ThinkingEnd() | TextStarted() | ThinkingStarted():
            return evolve(event, agent=event.agent or name)
        case _:
            return event


async def _generator(stream: AsyncIterator[Event | str]) -> AsyncGenerator[Event | str]:
    """Give any stream the `aclose` of a generator, so that leaving early ends it at once."""
    close: Callable[[], Any] | None = getattr(stream, "aclose", None)
    try:
        async for event in stream:
            yield event
    finally:
        if close is not None:
            await close()
