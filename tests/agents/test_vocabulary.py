"""Between them, the agents that come with Runcast say everything that an agent of the original endpoint could."""

import pytest

from app import events
from app.agents.base import Message
from app.agents.demo import DemoAgent

pytestmark = pytest.mark.anyio

SEED = {
    events.ThinkingDelta,
    events.ThinkingEnd,
    events.TextDelta,
    events.ToolStarted,
    events.ToolEvent,
    events.StreamEnd,
    events.ContextCompressed,
    events.TurnThinking,
}


async def test_the_demo_says_every_seed_event(collect, turn):
    long_ago = [Message("user", "a")] * 30
    said = await collect(DemoAgent(tokens_per_second=0), turn("hello", history=long_ago))
    assert {type(event) for event in said} >= SEED


async def test_the_model_agent_says_every_seed_event(provider, collect, turn):
    pytest.importorskip("pydantic_ai")
    from app.agents.profile_tables import ModelTable  # noqa: PLC0415
    from app.agents.pydantic_ai import ModelAgent  # noqa: PLC0415

    async def get_weather(location: str) -> str:
        """The weather somewhere."""
        return f"sunny in {location}"

    provider.will_send("chat_tool.txt", "chat_thinking.txt")
    agent = ModelAgent(
        ModelTable(model="openai:small-model", base_url=provider.url, max_context_tokens=50), tools=[get_weather]
    )
    long_ago = [Message("user", "x" * 300), Message("assistant", "y" * 300)]
    said = await collect(agent, turn("hello", history=long_ago))
    await agent.aclose()
    assert {type(event) for event in said} >= SEED
