"""The demo agent: deterministic, steered by words in the message."""

import asyncio

import pytest

from app.agents.base import UPLOADED, Approval, File, Image, Message
from app.agents.demo import DemoAgent
from app.errors import AgentError
from app.events import (
    ApprovalRequested,
    ContextCompressed,
    StreamEnd,
    TextDelta,
    ThinkingDelta,
    ThinkingEnd,
    ToolEvent,
    ToolStarted,
    TurnThinking,
    Usage,
)

pytestmark = pytest.mark.anyio


@pytest.fixture
def fast() -> DemoAgent:
    return DemoAgent(tokens_per_second=0)


def text(events) -> str:
    return "".join(event.delta for event in events if isinstance(event, TextDelta) and event.agent is None)


async def test_the_same_message_is_always_answered_by_the_same_events(fast, collect, turn):
    assert await collect(fast, turn("tell me")) == await collect(fast, turn("tell me"))


async def test_the_answer_is_markdown_that_echoes_the_words(fast, collect, turn):
    events = await collect(fast, turn("tell me about rivers"))
    said = text(events)
    for piece in ("# You said", "> tell me about rivers", "1. ", "```python", "|---|---|", "turn 1"):
        assert piece in said
    assert events[-1].full_content == said
    assert 100 <= sum(isinstance(event, TextDelta) and event.agent is None for event in events) <= 200


async def test_it_thinks_calls_two_tools_and_asks_a_researcher_before_it_answers(fast, collect, turn):
    events = await collect(fast, turn("tell me about rivers"))
    calls = [(event.tool_name, event.agent, event.is_subagent) for event in events if isinstance(event, ToolStarted)]
    assert calls == [
        ("count_words", None, False),
        ("search_notes", None, False),
        ("longest_word", "researcher", True),
    ]
    ends = {event.call_id: event for event in events if isinstance(event, ToolEvent)}
    assert ends["demo-count"].result == {"words": 4, "characters": 20}
    assert all(end.success for end in ends.values())
    for agent in (None, "researcher"):
        thought = "".join(e.delta for e in events if isinstance(e, ThinkingDelta) and e.agent == agent)
        assert TurnThinking(thought, is_subagent=agent is not None, agent=agent) in events
        assert ThinkingEnd(agent=agent) in events
    assert "rivers" in "".join(e.delta for e in events if isinstance(e, TextDelta) and e.agent == "researcher")


async def test_usage_counts_what_was_read_and_said(fast, collect, turn):
    end = (await collect(fast, turn("one two /quiet /length 7")))[-1]
    assert end == StreamEnd(end.full_content, 12, 8192, usage=Usage(5, 7))


@pytest.mark.parametrize("length", [0, 1, 500, 3000])
async def test_length_is_the_number_of_text_deltas(fast, collect, turn, length):
    events = await collect(fast, turn(f"hello /quiet /length {length}"))
    assert sum(isinstance(event, TextDelta) for event in events) == length


async def test_the_default_length_is_the_constructors(collect, turn):
    events = await collect(DemoAgent(tokens_per_second=0, length=9), turn("/quiet"))
    assert len(events) == 10


async def test_quiet_is_text_only(fast, collect, turn):
    assert {type(event) for event in await collect(fast, turn("hello /quiet"))} == {TextDelta, StreamEnd}


async def test_on_request_the_second_tool_fails(fast, collect, turn):
    ends = [event for event in await collect(fast, turn("hello /fail")) if isinstance(event, ToolEvent)]
    assert [end.success for end in ends] == [True, False, True]


@pytest.mark.parametrize(
    ("answer", "success", "result"),
    [(Approval(True), True, "deleted"), (Approval(False, "mine"), False, "not allowed: mine")],
)
async def test_on_request_it_asks_before_it_goes_on(fast, collect, turn, answer, success, result):
    asked = []

    async def ask(question):
        asked.append(question)
        return answer

    told = turn("hello /quiet /approve")
    told.ask = ask
    events = await collect(fast, told)
    assert events[0] == ToolStarted("delete_notes", {"older_than_days": 30}, call_id="demo-delete")
    assert asked == [
        ApprovalRequested(
            "delete_notes", {"older_than_days": 30}, reason="what is deleted is gone", call_id="demo-delete"
        )
    ]
    assert (events[1].result, events[1].success) == (result, success)
    assert isinstance(events[2], TextDelta)


@pytest.mark.parametrize(("option", "error"), [("/error", AgentError), ("/crash", RuntimeError)])
async def test_on_request_it_fails_in_the_middle_of_its_text(fast, turn, option, error):
    events = fast.run_stream(turn(f"hello /quiet /length 10 {option}"))
    assert [type(await anext(events)) for _ in range(5)] == [TextDelta] * 5
    with pytest.raises(error):
        await anext(events)


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("/length", "/length needs a whole number from 0 to 50000, not nothing"),
        ("/length many", "not 'many'"),
        ("/length 1.5", "not '1.5'"),
        ("/length -1", "not '-1'"),
        ("/length 50001", "not '50001'"),
        ("/length " + "9" * 400, "not '999"),
        ("/rate nan", "/rate needs a number from 0 to 100000, not 'nan'"),
        ("/rate inf", "not 'inf'"),
    ],
)
async def test_a_bad_number_is_an_error_with_the_bounds(fast, collect, turn, message, said):
    with pytest.raises(AgentError) as caught:
        await collect(fast, turn(message))
    assert said in caught.value.message


async def test_only_whole_words_are_options(fast, collect, turn):
    said = text(await collect(fast, turn("look in /crash/here or and/or /errors /quiet")))
    assert "> look in /crash/here or and/or /errors\n" in said


async def test_history_and_images_are_mentioned(fast, collect, turn):
    history = [Message("user", "a"), Message("assistant", "b")]
    said = text(await collect(fast, turn("hi", history=history, images=[Image("image/png", b"")] * 2)))
    assert "This is turn 2" in said
    assert "2 images" in said


async def test_files_are_mentioned_by_their_names_and_never_by_where_they_are(fast, collect, turn):
    file = File("file_1", "notes.txt", "/srv/data/file_1", "text/plain", 3)
    events = await collect(fast, turn(f"Look{UPLOADED}- notes.txt → {file.path}]", files=[file]))
    assert "> Look\n" in text(events)
    assert "the file notes.txt" in text(events)
    assert "/srv" not in repr(events)
    assert "The user wrote 1 word." in repr(events)


async def test_a_long_history_is_shortened_and_that_is_said(fast, collect, turn):
    events = await collect(fast, turn("hi /quiet", history=[Message("user", "a")] * 30))
    assert events[0] == ContextCompressed(30, 20)
    assert events[-1].usage.input_tokens == 22


async def test_a_rate_is_kept_without_drift(turn):
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with asyncio.timeout(10):
        events = [event async for event in DemoAgent().run_stream(turn("/quiet /length 100 /rate 400"))]
    assert len(events) == 101
    assert loop.time() - began >= 100 / 400 - 0.002


async def test_at_full_speed_others_still_get_their_turn(fast, turn):
    others = 0

    async def other() -> None:
        nonlocal others
        while True:
            others += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    async for _ in fast.run_stream(turn("/quiet /length 3200")):
        pass
    task.cancel()
    assert others >= 90
