"""Subagents: other profiles that a model may ask."""

import asyncio
from typing import Any

import pytest
from structlog.testing import capture_logs

pytest.importorskip("pydantic_ai", reason="the extra `agent` is not installed")

from app.agents.base import Profile, Turn
from app.agents.demo import DemoAgent
from app.events import (
    StreamEnd,
    TextDelta,
    ToolEvent,
    ToolStarted,
    TurnThinking,
)

pytestmark = pytest.mark.anyio


def texts(events: list[Any], agent: str | None = None) -> list[str]:
    return [event.delta for event in events if isinstance(event, TextDelta) and event.agent == agent]


async def test_a_subagents_events_are_forwarded_and_its_text_goes_back_to_the_model(provider, agent, collect, turn):
    provider.will_send("chat_ask_subagent.txt", "chat_text.txt")
    helper = Profile("helper", DemoAgent(tokens_per_second=0, length=5), "Counts.")
    events = await collect(agent(subagents=[helper]), turn())
    assert len(texts(events, "helper")) == 5
    assert [event.agent for event in events if isinstance(event, TurnThinking)] == ["helper", "researcher"]
    inner = [event for event in events if isinstance(event, ToolStarted) and event.is_subagent]
    assert [(event.tool_name, event.agent) for event in inner] == [
        ("count_words", "helper"),
        ("search_notes", "helper"),
        ("longest_word", "researcher"),
    ]
    answered = next(event for event in events if isinstance(event, ToolEvent) and event.tool_name == "ask_helper")
    assert answered.result == "".join(texts(events, "helper"))
    assert provider.requests[1]["messages"][-1]["content"] == answered.result
    assert [event for event in events if isinstance(event, StreamEnd)] == [events[-1]]
    assert "Counts." in provider.requests[0]["tools"][0]["function"]["description"]


async def test_a_subagent_streams_while_it_works(provider, agent, turn):
    provider.will_send("chat_ask_subagent.txt", "chat_text.txt")
    heard = asyncio.Event()

    class Patient:
        async def run_stream(self, turn: Turn):
            yield "one"
            await heard.wait()
            yield "two"

    said = []
    async with asyncio.timeout(10):
        async for event in agent(subagents=[Profile("helper", Patient())]).run_stream(turn()):
            if event == TextDelta("one", agent="helper"):
                heard.set()
            said.append(event)
    assert texts(said, "helper") == ["one", "two"]


@pytest.mark.parametrize("said", ["/error", "/crash"])
async def test_a_subagent_that_fails_is_a_failed_tool_call(provider, agent, collect, turn, said):
    provider.will_send("chat_ask_subagent.txt")
    body = provider.replies.pop().body.replace(b"count to three", said.encode())
    provider.will_reply(body)
    provider.will_send("chat_text.txt")
    helper = Profile("helper", DemoAgent(tokens_per_second=0))
    with capture_logs():
        events = await collect(agent(subagents=[helper]), turn())
    answered = next(event for event in events if isinstance(event, ToolEvent) and event.tool_name == "ask_helper")
    assert not answered.success
    assert events[-1].full_content == "It is 21 degrees in Paris."


async def test_cancelling_reaches_the_subagent(provider, agent, turn):
    provider.will_send("chat_ask_subagent.txt")
    heard, ended = asyncio.Event(), asyncio.Event()

    class Endless:
        async def run_stream(self, turn: Turn):
            try:
                yield "on"
                await asyncio.Event().wait()
            finally:
                ended.set()

    async def run() -> None:
        async for event in agent(subagents=[Profile("helper", Endless())]).run_stream(turn()):
            if isinstance(event, TextDelta):
                heard.set()

    task = asyncio.create_task(run())
    async with asyncio.timeout(10):
        await heard.wait()
        task.cancel()
        await asyncio.wait([task])
        await ended.wait()
