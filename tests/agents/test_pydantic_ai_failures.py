"""What the model agent does when the provider, the connection or the key fails, and when it is cancelled."""

import asyncio
from typing import Any

import pytest
from structlog.testing import capture_logs

pytest.importorskip("pydantic_ai", reason="the extra `agent` is not installed")

from app.agents.profile_tables import ModelTable
from app.agents.pydantic_ai import ModelAgent
from app.errors import AgentError, MaxIterationsReached
from app.events import TextDelta

pytestmark = pytest.mark.anyio

RECORDED = [
    ("openai:small-model", "chat_text.txt"),
    ("openai-responses:small-model", "responses_text.txt"),
    ("anthropic:claude-x", "basic_response.txt"),
]


async def get_weather(location: str) -> dict[str, Any]:
    """The weather somewhere.

    Args:
        location: a city.
    """
    return {"location": location, "degrees": 21}


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (429, "limits the rate"),
        (401, "refused the server's key"),
        (400, "rejected the request"),
        (404, "no such model"),
        (500, "failed"),
        (503, "unavailable"),
    ],
)
async def test_a_refusal_is_a_short_message_without_the_providers_words(provider, agent, collect, turn, status, said):
    provider.will_reply(b'{"error": {"message": "key sk-secret at https://x/?q=1", "type": "t"}}', status=status)
    with pytest.raises(AgentError, match=said) as caught:
        await collect(agent(), turn())
    assert str(status) in caught.value.message
    assert "sk-secret" not in caught.value.message
    assert "http" not in caught.value.message


async def test_a_429_is_retried_once_and_no_more(provider, collect, turn):
    agent = ModelAgent(ModelTable(model="openai:small-model", base_url=provider.url))
    for _ in range(3):
        provider.will_reply(b"{}", status=429, headers={"retry-after-ms": "1"})
    with pytest.raises(AgentError, match="limits the rate"):
        await collect(agent, turn())
    assert len(provider.requests) == 2
    await agent.aclose()


@pytest.mark.parametrize("how", [{"ending": "cut"}, {"ending": "eof"}])
@pytest.mark.parametrize(("model", "recording"), RECORDED)
async def test_a_connection_cut_in_mid_stream_is_an_error(provider, agent, collect, turn, recording, model, how):
    provider.will_send(recording)
    whole = provider.replies.pop().body
    provider.will_reply(whole[: len(whole) // 2], **how)
    with pytest.raises(AgentError, match="connection"):
        await collect(agent(model), turn())


@pytest.mark.parametrize(("model", "recording"), RECORDED)
async def test_an_answer_that_just_stops_is_an_error_even_when_http_sees_a_clean_end(
    provider, agent, collect, turn, model, recording
):
    provider.will_send(recording)
    events = provider.replies.pop().body.split(b"\n\n")
    provider.will_reply(b"\n\n".join(events[:4]) + b"\n\n", chunked=False, ending="eof")
    with pytest.raises(AgentError, match="cut before the answer was complete"):
        await collect(agent(model), turn())


async def test_a_cut_tool_call_is_never_carried_out(provider, agent, collect, turn):
    provider.will_send("chat_tool.txt")
    events = provider.replies.pop().body.split(b"\n\n")
    provider.will_reply(b"\n\n".join(events[:4]) + b"\n\n")
    calls = []

    async def get_weather(location: str) -> str:
        """The weather somewhere."""
        calls.append(location)
        return ""

    with pytest.raises(AgentError, match="cut before"):
        await collect(agent(tools=[get_weather]), turn())
    assert calls == []


async def test_bytes_that_are_no_json_are_an_error(provider, agent, collect, turn):
    provider.will_reply(b"data: {nonsense\n\n")
    with capture_logs() as logged, pytest.raises(AgentError, match="could not be read"):
        await collect(agent(), turn())
    assert [line["event"] for line in logged] == ["model.failed"]


async def test_nobody_listening_is_an_error(collect, turn):
    agent = ModelAgent(ModelTable(model="openai:m", base_url="http://127.0.0.1:9/v1", settings={"max_retries": 0}))
    with pytest.raises(AgentError, match="connection to the provider failed") as caught:
        await collect(agent, turn())
    assert "127.0.0.1" not in caught.value.message
    await agent.aclose()


@pytest.mark.parametrize("model", ["openai:gpt-5-mini", "openai-chat:gpt-5-mini", "anthropic:claude-sonnet-4-5"])
async def test_a_missing_key_is_an_error_that_says_so(monkeypatch, collect, turn, model):
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(AgentError, match="key is missing"):
        await collect(ModelAgent(ModelTable(model=model)), turn())


async def test_a_key_variable_that_is_not_set_is_named(monkeypatch, agent, collect, turn):
    monkeypatch.delenv("RUNCAST_TEST_KEY", raising=False)
    with pytest.raises(AgentError, match="RUNCAST_TEST_KEY"):
        await collect(agent(api_key_env="RUNCAST_TEST_KEY"), turn())


async def test_cancelling_the_task_closes_the_connection_to_the_model(provider, agent, turn):
    provider.will_send("chat_text.txt")
    whole = provider.replies.pop().body
    provider.will_reply(b"\n\n".join(whole.split(b"\n\n")[:3]) + b"\n\n", ending="hold")
    heard = asyncio.Event()

    async def run() -> None:
        async for _ in agent().run_stream(turn()):
            heard.set()

    task = asyncio.create_task(run())
    async with asyncio.timeout(10):
        await heard.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await provider.left.wait()


async def test_whoever_stops_listening_closes_the_connection_to_the_model(provider, agent, turn):
    provider.will_send("chat_text.txt")
    whole = provider.replies.pop().body
    provider.will_reply(b"\n\n".join(whole.split(b"\n\n")[:3]) + b"\n\n", ending="hold")
    events = agent().run_stream(turn())
    async with asyncio.timeout(10):
        assert await anext(events) == TextDelta("It is")
        await events.aclose()
        await provider.left.wait()


async def test_a_cancel_at_any_moment_is_a_cancel(provider, agent, collect, turn):
    model = agent(tools=[get_weather])
    provider.will_send("chat_text.txt")
    await collect(model, turn())
    for moments in range(0, 60, 3):
        provider.replies.clear()
        provider.will_send("chat_tool.txt", "chat_text.txt")
        task = asyncio.create_task(collect(model, turn()))
        for _ in range(moments):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_a_model_that_only_calls_tools_reaches_its_limit(provider, agent, collect, turn):
    provider.will_send("chat_tool.txt", "chat_tool.txt", "chat_tool.txt")
    with pytest.raises(MaxIterationsReached, match="2 iterations"):
        await collect(agent(tools=[get_weather], max_iterations=2), turn())
    assert len(provider.requests) == 2
