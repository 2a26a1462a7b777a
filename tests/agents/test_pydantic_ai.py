"""The model agent against recorded provider bytes, served over a real loopback connection."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from structlog.testing import capture_logs

pytest.importorskip("pydantic_ai", reason="the extra `agent` is not installed")

from app.agents.base import Image, Turn
from app.agents.profile_tables import ModelTable
from app.agents.pydantic_ai import ModelAgent
from app.errors import AgentError, ConfigurationError
from app.events import (
    StreamEnd,
    TextDelta,
    TextEnd,
    ThinkingDelta,
    ThinkingEnd,
    ToolEvent,
    ToolStarted,
    TurnThinking,
    Usage,
)

pytestmark = pytest.mark.anyio

PNG = bytes.fromhex("89504e470d0a1a0a")


async def get_weather(location: str) -> dict[str, Any]:
    """The weather somewhere.

    Args:
        location: a city.
    """
    return {"location": location, "degrees": 21}


async def broken(location: str) -> str:
    """Fails."""
    raise ValueError(f"secret detail about {location}")


broken.__name__ = "get_weather"


async def refused(location: str) -> str:
    """Ends the run."""
    raise AgentError(f"no weather for {location} today")


refused.__name__ = "get_weather"


def texts(events: list[Any], agent: str | None = None) -> list[str]:
    return [event.delta for event in events if isinstance(event, TextDelta) and event.agent == agent]


async def test_text_streams_delta_by_delta_and_ends_with_usage(provider, agent, collect, turn):
    provider.will_send("chat_text.txt")
    events = await collect(agent(), turn())
    assert events == [
        TextDelta("It is"),
        TextDelta(" 21 degrees"),
        TextDelta(" in Paris."),
        TextEnd(),
        StreamEnd("It is 21 degrees in Paris.", 27, 0, usage=Usage(20, 7)),
    ]
    assert provider.requests[0]["stream"] is True


async def test_the_responses_api_is_spoken_too(provider, agent, collect, turn):
    provider.will_send("responses_text.txt")
    events = await collect(agent("openai-responses:small-model"), turn("Hi"))
    assert events[-1] == StreamEnd("Hello there.", 13, 0, usage=Usage(9, 4))


async def test_a_stream_recorded_by_the_providers_own_package_is_understood(provider, agent, collect, turn):
    provider.will_send("basic_response.txt")
    events = await collect(agent("anthropic:claude-x", max_context_tokens=1000), turn("Hi"))
    assert texts(events) == ["Hello", " there", "!"]
    assert events[-1] == StreamEnd("Hello there!", 17, 1000, usage=Usage(11, 6))


@pytest.mark.parametrize(
    ("model", "recording", "thinking", "text"),
    [
        ("openai:small-model", "chat_thinking.txt", ["Paris is", " in France."], ["In", " France."]),
        ("anthropic:claude-x", "anthropic_thinking.txt", ["The user", " greets me."], ["Good", " morning!"]),
    ],
)
async def test_thinking_comes_apart_from_text(provider, agent, collect, turn, model, recording, thinking, text):
    provider.will_send(recording)
    events = await collect(agent(model), turn())
    assert events[:-1] == [
        *map(ThinkingDelta, thinking),
        ThinkingEnd(),
        TurnThinking("".join(thinking)),
        *map(TextDelta, text),
        TextEnd(),
    ]


async def test_a_tool_call_runs_the_function_and_goes_back_to_the_model(provider, agent, collect, turn):
    provider.will_send("chat_tool.txt", "chat_text.txt")
    events = await collect(agent(tools=[get_weather]), turn())
    given = {"location": "Paris"}
    assert events[0] == ToolStarted("get_weather", given, call_id="call_a")
    assert events[1] == ToolEvent(
        "get_weather", given, '{"location":"Paris","degrees":21}', success=True, call_id="call_a"
    )
    assert events[-1].usage == Usage(35, 18)
    sent_back = provider.requests[1]["messages"][-1]
    assert (sent_back["role"], sent_back["tool_call_id"]) == ("tool", "call_a")
    assert "21" in sent_back["content"]


async def test_the_providers_own_tool_recording_runs_the_tool(provider, agent, collect, turn):
    provider.will_send("tool_use_response.txt", "basic_response.txt")
    events = await collect(agent("anthropic:claude-x", tools=[get_weather]), turn())
    started = next(event for event in events if isinstance(event, ToolStarted))
    assert (started.arguments, started.call_id) == ({"location": "Paris"}, "toolu_01NRLabsLyVHZPKxbKvkfSMn")
    assert events[-1].full_content == "I'll check the current weather in Paris for you.Hello there!"


async def test_parallel_calls_overlap_and_their_results_find_their_calls(provider, agent, collect, turn):
    provider.will_send("chat_parallel_tools.txt", "chat_text.txt")
    both = asyncio.Barrier(2)

    async def get_weather(location: str) -> str:
        """The weather somewhere."""
        await both.wait()
        return f"weather of {location}"

    events = await collect(agent(tools=[get_weather]), turn())
    assert [event.call_id for event in events if isinstance(event, ToolStarted)] == ["call_a", "call_b"]
    results = {event.call_id: event.result for event in events if isinstance(event, ToolEvent)}
    assert results == {"call_a": "weather of Paris", "call_b": "weather of Oslo"}


async def test_a_tool_that_raises_fails_its_call_and_tells_nobody_why(provider, agent, collect, turn):
    provider.will_send("chat_tool.txt", "chat_text.txt")
    with capture_logs() as logged:
        events = await collect(agent(tools=[broken]), turn())
    assert [(line["event"], type(line["exc_info"])) for line in logged] == [("tool.failed", ValueError)]
    ended = next(event for event in events if isinstance(event, ToolEvent))
    assert not ended.success
    assert "secret" not in f"{events} {provider.requests}"
    assert events[-1].full_content == "It is 21 degrees in Paris."


async def test_an_agent_error_of_a_tool_ends_the_run(provider, agent, collect, turn):
    provider.will_send("chat_tool.txt")
    with pytest.raises(AgentError, match="no weather for Paris today"):
        await collect(agent(tools=[refused]), turn())


async def test_arguments_that_the_tool_cannot_take_are_a_failed_call(provider, agent, collect, turn):
    provider.will_send("chat_tool.txt", "chat_text.txt")

    async def get_weather(location: int) -> str:
        """The weather somewhere."""
        return str(location)

    events = await collect(agent(tools=[get_weather]), turn())
    assert [event.success for event in events if isinstance(event, ToolEvent)] == [False]


async def test_another_server_gets_its_own_key_and_never_the_usual_one(monkeypatch, provider, agent, collect, turn):
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY"):
        monkeypatch.setenv(name, "sk-usual")
    monkeypatch.setenv("RUNCAST_TEST_KEY", "sk-own")
    provider.will_send("chat_text.txt", "chat_text.txt", "basic_response.txt")
    await collect(agent(api_key_env="RUNCAST_TEST_KEY"), turn())
    await collect(agent(), turn())
    await collect(agent("anthropic:claude-x"), turn())
    assert "Bearer sk-own" in provider.headers[0]
    assert "sk-usual" not in "".join(provider.headers)


async def test_images_reach_the_model(provider, agent, collect, turn):
    provider.will_send("chat_text.txt")
    await collect(agent(), turn("What is this?", images=[Image("image/png", PNG)]))
    text, image = provider.requests[0]["messages"][0]["content"]
    assert text["text"] == "What is this?"
    assert image["image_url"]["url"] == "data:image/png;base64,iVBORw0KGgo="


@pytest.mark.parametrize(
    ("model", "said"),
    [("gpt-5", "provider:model"), ("openai:", "provider:model"), ("nobody:gpt-5", "no provider 'nobody'")],
)
def test_a_model_that_cannot_be_is_a_configuration_error(model, said):
    with pytest.raises(ConfigurationError, match=said):
        ModelAgent(ModelTable(model=model))


def test_a_tool_that_is_no_function_is_a_configuration_error():
    with pytest.raises(ConfigurationError, match="not a function"):
        ModelAgent(ModelTable(model="test"), tools=[3])


async def test_two_first_runs_at_once_share_one_model(provider, agent, collect, turn: Callable[..., Turn]):
    provider.will_send("chat_text.txt", "chat_text.txt")
    model = agent()
    both = await asyncio.gather(collect(model, turn()), collect(model, turn()))
    assert both[0] == both[1]
