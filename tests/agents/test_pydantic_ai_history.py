"""What the model agent remembers of a session."""

import asyncio
import json
from typing import Any

import pytest

pytest.importorskip("pydantic_ai", reason="the extra `agent` is not installed")

from app.agents.base import Image, Message
from app.errors import AgentError, MaxIterationsReached
from app.events import ContextCompressed

pytestmark = pytest.mark.anyio

PNG = bytes.fromhex("89504e470d0a1a0a")


async def get_weather(location: str) -> dict[str, Any]:
    """The weather somewhere.

    Args:
        location: a city.
    """
    return {"location": location, "degrees": 21}


async def test_what_was_said_before_a_cancel_is_remembered(provider, agent, collect, turn):
    provider.will_send("chat_text.txt")
    whole = provider.replies.pop().body
    provider.will_reply(b"\n\n".join(whole.split(b"\n\n")[:3]) + b"\n\n", ending="hold")
    model, state, heard = agent(), {}, asyncio.Event()

    async def run() -> None:
        async for _ in model.run_stream(turn("first", state=state)):
            heard.set()

    task = asyncio.create_task(run())
    async with asyncio.timeout(10):
        await heard.wait()
        task.cancel()
        await asyncio.wait([task])
    provider.will_send("chat_text.txt")
    await collect(model, turn("second", state=state))
    sent = [(message["role"], message["content"]) for message in provider.requests[-1]["messages"]]
    assert sent == [("user", "first"), ("assistant", "It is"), ("user", "second")]


async def test_the_second_run_knows_the_first_with_its_tool_calls(provider, agent, collect, turn):
    provider.will_send("chat_tool.txt", "chat_text.txt", "chat_text.txt")
    model, state = agent(tools=[get_weather], instructions="Be brief."), {}
    await collect(model, turn("first", state=state))
    await collect(model, turn("second", state=state))
    roles = [message["role"] for message in provider.requests[-1]["messages"]]
    assert roles == ["system", "user", "assistant", "tool", "assistant", "user"]
    assert provider.requests[-1]["messages"][0]["content"] == "Be brief."


async def test_a_run_that_failed_leaves_no_trace_that_could_fail_the_next(provider, agent, collect, turn):
    model, state = agent(), {}
    provider.will_reply(b"{}", status=400)
    with pytest.raises(AgentError):
        await collect(model, turn("poison", state=state))
    assert state == {}


async def test_a_run_that_used_up_its_iterations_can_be_continued(provider, agent, collect, turn):
    model, state = agent(tools=[get_weather], max_iterations=1), {}
    provider.will_send("chat_tool.txt", "chat_text.txt")
    with pytest.raises(MaxIterationsReached):
        await collect(model, turn("first", state=state))
    await collect(model, turn("go on", state=state))
    roles = [message["role"] for message in provider.requests[-1]["messages"]]
    assert roles == ["user", "assistant", "tool", "user"]


async def test_the_state_is_json(provider, agent, collect, turn):
    provider.will_send("chat_text.txt")
    state: dict[str, Any] = {}
    await collect(agent(), turn(state=state, images=[Image("image/png", PNG)]))
    assert json.loads(json.dumps(state)) == state


@pytest.mark.parametrize("state", [{}, {"messages": [{"kind": "of another version"}]}])
async def test_without_usable_state_the_transcript_is_the_history(provider, agent, collect, turn, state):
    provider.will_send("chat_text.txt")
    history = [Message("user", "My name is Ada."), Message("assistant", "Hello Ada.")]
    await collect(agent(), turn("Who am I?", history=history, state=state))
    sent = [(message["role"], message["content"]) for message in provider.requests[0]["messages"]]
    assert sent == [("user", "My name is Ada."), ("assistant", "Hello Ada."), ("user", "Who am I?")]


async def test_a_long_history_loses_its_oldest_turns_and_says_so(provider, agent, collect, turn):
    provider.will_send("chat_text.txt")
    history = [Message(role, f"{role} {n} " + "x" * 400) for n in range(4) for role in ("user", "assistant")]
    events = await collect(agent(max_context_tokens=450, instructions="Be brief."), turn("Last?", history=history))
    assert events[0] == ContextCompressed(9, 3)
    sent = [message["content"][:8] for message in provider.requests[0]["messages"]]
    assert sent == ["Be brief", "user 3 x", "assistan", "Last?"]


async def test_tool_results_are_never_parted_from_their_calls(provider, agent, collect, turn):
    model, state = agent(tools=[get_weather], max_context_tokens=40), {}
    for _ in range(3):
        provider.will_send("chat_tool.txt", "chat_text.txt")
        await collect(model, turn("x" * 40, state=state))
    for request in provider.requests:
        called = [call["id"] for message in request["messages"] for call in message.get("tool_calls", [])]
        answered = [message["tool_call_id"] for message in request["messages"] if message["role"] == "tool"]
        assert called == answered
        assert request["messages"][0]["role"] == "user"
