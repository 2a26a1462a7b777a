"""The agent that a model drives: one pydantic-ai run per turn, said in our events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager, suppress
from typing import Any

from attrs import frozen
from pydantic_ai import Agent, RunContext, UsageLimits
from pydantic_ai.agent import AgentRunEvents
from pydantic_ai.capabilities import Hooks, ProcessHistory
from pydantic_ai.exceptions import AgentRunError, UsageLimitExceeded, UserError
from pydantic_ai.messages import ModelMessage, ModelResponse
from pydantic_ai.models import Model

from app.agents.base import Profile, Turn
from app.agents.profile_tables import ModelTable
from app.agents.pydantic_ai import history
from app.agents.pydantic_ai.approvals import asking_people
from app.agents.pydantic_ai.errors import CUT, provider_error, run_error
from app.agents.pydantic_ai.model import check, connect
from app.agents.pydantic_ai.speech import Speech
from app.agents.pydantic_ai.tools import RunDeps, function_tools, guarded, on_tool_error, subagent_tool
from app.errors import AgentError
from app.events import ContextCompressed, Event, StreamEnd, Usage


@frozen
class _Ready:
    """What the first run prepares for all that follow."""

    model: Model
    agent: Agent[RunDeps, str]


class ModelAgent:
    """An agent whose words come from a model.

    The model is created by the first run. What the model remembers of a session is in `Turn.state["messages"]`.

    Args:
        table: the profile: model, instructions, limits, settings.
        name: the profile's name.
        tools: functions that the model may call.
        subagents: profiles that the model may ask.
        api_key: a key that comes from elsewhere than the environment.

    Raises:
        ConfigurationError: the model's name or a tool can't be used.
    """

    def __init__(
        self,
        table: ModelTable,
        *,
        name: str = "agent",
        tools: Sequence[Any] = (),
        subagents: Sequence[Profile] = (),
        api_key: str | None = None,
    ) -> None:
        check(table)
        self._table = table
        self._name = name
        self._api_key = api_key
        self._tools = guarded([*function_tools(tools), *map(subagent_tool, subagents)], table.needs_approval)
        self._ready: _Ready | None = None
        self._preparing = asyncio.Lock()

    async def run_stream(self, turn: Turn) -> AsyncGenerator[Event | str]:
        """Perform one run.

        Raises:
            AgentError: the provider failed; the message says how, without the provider's own words.
            MaxIterationsReached: the model asked for more than `max_iterations` requests.
        """
        ready = await self._prepare()
        try:
            async with aclosing(self._run(ready, turn)) as events:
                async for event in events:
                    yield event
        except (AgentRunError, UserError) as error:
            raise await run_error(error, self._table.model, self._table.max_iterations) from error

    async def aclose(self) -> None:
        """Close the connections to the provider."""
        ready, self._ready = self._ready, None
        if ready is not None:
            await ready.model.__aexit__(None, None, None)

    async def _run(self, ready: _Ready, turn: Turn) -> AsyncGenerator[Event | str]:
        deps, speech = RunDeps(turn), Speech()
        run = ready.agent.run_stream_events(
            history.prompt(turn),
            message_history=history.load(turn),
            deps=deps,
            usage_limits=UsageLimits(request_limit=self._table.max_iterations),
        )
        async with self._remembered(run, turn) as heard:
            async for each in heard:
                while deps.pending:
                    yield deps.pending.pop(0)
                for event in speech.hear(each):
                    yield event
        yield self._end(heard, speech, ready.model)

    @asynccontextmanager
    async def _remembered(
        self, run: AbstractAsyncContextManager[AgentRunEvents[str]], turn: Turn
    ) -> AsyncGenerator[AgentRunEvents[str]]:
        """Leave in the turn's state what was said, also when the run was cancelled or used up its iterations.

        A run that failed leaves nothing: what it sent may be why it failed, and would fail every later turn too.
        """
        heard: AgentRunEvents[str] | None = None
        try:
            async with run as heard:
                yield heard
        except (asyncio.CancelledError, UsageLimitExceeded):
            self._save(heard, turn)
            raise
        self._save(heard, turn)

    @staticmethod
    def _save(heard: AgentRunEvents[str] | None, turn: Turn) -> None:
        with suppress(UserError):  # raised if the run had not begun
            if heard is not None:
                history.save(turn, heard.all_messages())

    def _end(self, heard: AgentRunEvents[str], speech: Speech, model: Model) -> StreamEnd:
        return StreamEnd(
            "".join(speech.text),
            history.context_tokens(heard.all_messages()),
            self._table.max_context_tokens or model.context_window or 0,
            usage=Usage(heard.usage.input_tokens, heard.usage.output_tokens),
        )

    async def _prepare(self) -> _Ready:
        async with self._preparing:
            if self._ready is None:
                ready = await asyncio.to_thread(self._build)
                await ready.model.__aenter__()
                self._ready = ready
            return self._ready

    def _build(self) -> _Ready:
        connection = connect(self._table, self._api_key)
        hooks = Hooks[RunDeps](tool_execute_error=on_tool_error, model_request_error=self._on_model_error)
        if connection.says_why_it_ended:
            hooks.on.after_model_request(self._check_complete)
        agent = Agent(
            connection.model,
            name=self._name,
            deps_type=RunDeps,
            instructions=self._table.instructions,
            model_settings=connection.settings,
            tools=self._tools,
            capabilities=[hooks, ProcessHistory(self._compress), asking_people()],
        )
        return _Ready(connection.model, agent)

    async def _compress(self, ctx: RunContext[RunDeps], messages: list[ModelMessage]) -> list[ModelMessage]:
        limit = self._table.max_context_tokens
        kept = messages if limit is None else history.compress(messages, limit)
        if len(kept) < len(messages):
            ctx.deps.pending.append(ContextCompressed(len(messages), len(kept)))
        return kept

    async def _on_model_error(self, _: RunContext[RunDeps], *, error: Exception, **_rest: Any) -> ModelResponse:
        raise await provider_error(error, self._table.model) from error

    async def _check_complete(self, _: RunContext[RunDeps], *, response: ModelResponse, **_rest: Any) -> ModelResponse:
        details = response.provider_details or {}
        if response.state == "incomplete" or not {"finish_reason", "refusal"} & details.keys():
            raise AgentError(f"{self._table.model}: {CUT}")
        return response
