"""docs/how-to/agents.md: each agent of it, served and talked to."""

import subprocess
import sys
from typing import Any

import pytest

from app.client import Message, connect, create_session, is_terminal, messages
from tests.documents.pages import ROOT, Block
from tests.documents.pages import blocks as blocks_of
from tests.documents.reader import Reader
from tests.gateway import environment
from tests.watching import PATIENCE

PAGE = "docs/how-to/agents.md"
LINES = {"in-three-lines": 3, "in-ten": 10, "in-thirty": 30}

pytestmark = pytest.mark.anyio


def found(section: str, language: str) -> list[Block]:
    return [block for block in blocks_of(PAGE) if (block.section, block.language) == (section, language)]


class Talk:
    """A conversation with the agent of a section, which is served as the page says."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader

    async def begin(self, section: str = "your-own-agent") -> None:
        """Serve the agents that are there, as the section says."""
        self.reader.follow(found(section, "console"))
        self.session = await create_session(self.reader.url)

    async def say(self, text: str, approve: bool = True) -> list[Message]:
        """Everything that comes until the run has ended; a question is answered."""
        seen: list[Message] = []
        async with connect(self.reader.url, self.session) as session:
            await session.send(text)
            async for message in session:
                seen.append(message)
                if isinstance(message, messages.ApprovalRequested):
                    await session.approve(message.call_id, approve)
                if is_terminal(message):
                    break
        return seen


@pytest.fixture
def talk(reader: Reader) -> Talk:
    return Talk(reader)


def only(seen: list[Message], kind: type) -> list[Any]:
    return [message for message in seen if isinstance(message, kind)]


def answer(seen: list[Message]) -> str:
    assert isinstance(seen[-1], messages.StreamEnd), seen[-1]
    return seen[-1].content


@pytest.mark.parametrize("section", LINES)
def test_an_agent_has_no_more_lines_than_its_heading_says(section: str) -> None:
    (block,) = found(section, "python")

    assert len([line for line in block.text.splitlines() if line]) <= LINES[section]


@pytest.mark.executes(PAGE, "python", section="in-three-lines")
async def test_three_lines_answer(talk: Talk, blocks: list[Block]) -> None:
    (talk.reader.folder / "my_agent.py").write_text(blocks[0].text, encoding="utf-8")
    await talk.begin()

    assert answer(await talk.say("Hello there")) == "olleH ereht "


@pytest.mark.executes(PAGE, "python", section="in-ten")
async def test_ten_lines_think_and_call_a_tool(talk: Talk, blocks: list[Block]) -> None:
    (talk.reader.folder / "my_agent.py").write_text(blocks[0].text, encoding="utf-8")
    await talk.begin()
    seen = await talk.say("one two three")

    (call,) = only(seen, messages.ToolCall)
    assert (call.tool, call.result, call.success) == ("count_words", "3", True)
    assert only(seen, messages.ThinkingDelta)[0].delta == "I had better count them."
    assert answer(seen) == "Those were 3 words."


@pytest.mark.executes(PAGE, "python", section="in-thirty")
async def test_thirty_lines_ask_remember_delegate_and_fail(talk: Talk, blocks: list[Block]) -> None:
    (talk.reader.folder / "my_agent.py").write_text(blocks[0].text, encoding="utf-8")
    await talk.begin()
    remembered = await talk.say("remember tides")
    again = await talk.say("remember ships")
    kept = await talk.say("forget tides", approve=False)
    forgotten = await talk.say("forget tides")
    researched = await talk.say("research wrecks")
    failed = await talk.say("dance")

    assert answer(remembered) == "I know of tides since message 1."
    assert answer(again) == "I know of ships since message 3."
    assert only(again, messages.Custom)[0].data == {"known": ["ships", "tides"]}
    assert only(kept, messages.ApprovalRequested)[0].reason == "It can't be undone"
    assert answer(kept) == "As you wish, I keep it."
    assert answer(forgotten) == "tides is forgotten."
    assert {delta.agent for delta in only(researched, messages.StreamDelta)} == {"researcher"}
    assert answer(researched) == "Nobody knows."
    assert only(researched, messages.StreamEnd)[0].usage == messages.TokenUsage(input_tokens=100, output_tokens=20)
    assert (only(failed, messages.Error)[0].code, failed[-1]) == ("unknown_command", only(failed, messages.Error)[0])


@pytest.mark.executes(PAGE, "console", section="your-own-agent")
@pytest.mark.executes(PAGE, "python", "toml", "console", section="a-model")
async def test_a_model_calls_its_tool_and_its_subagent_once_it_may(reader: Reader, talk: Talk) -> None:
    for language, name in (("python", "my_tools.py"), ("toml", "profiles.toml")):
        (block,) = found("a-model", language)
        (reader.folder / name).write_text(block.text, encoding="utf-8")
    await talk.begin("a-model")
    seen = await talk.say("When may I leave?")

    calls = {call.tool: call.result for call in only(seen, messages.ToolCall) if not call.agent}
    assert [asked.tool for asked in only(seen, messages.ApprovalRequested)] == ["tide"]
    assert calls["tide"].startswith("High water at ")
    assert "ask_archivist" in calls
    assert answer(seen)


@pytest.mark.executes(PAGE, "python", "text", section="try-it-without-a-server")
def test_an_agent_is_tried_without_a_server(reader: Reader, blocks: list[Block]) -> None:
    program, output = blocks
    (agent,) = found("in-thirty", "python")
    (reader.folder / "my_agent.py").write_text(agent.text, encoding="utf-8")
    (reader.folder / "try_it.py").write_text(program.text, encoding="utf-8")
    said = subprocess.run(
        [sys.executable, "try_it.py"],
        cwd=reader.folder,
        env=environment() | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE,
    ).stdout

    assert said == output.text
