"""The recorder: whatever an agent says, in whatever order, what is logged is complete and well nested."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from app.dialects.native import Native
from app.events import (
    ApprovalRequested,
    ApprovalResolved,
    ContextCompressed,
    Custom,
    Event,
    RunCancelled,
    RunFailed,
    RunInput,
    RunStarted,
    StreamEnd,
    Terminal,
    TextDelta,
    TextEnd,
    TextStarted,
    ThinkingDelta,
    ThinkingEnd,
    ThinkingStarted,
    ToolEvent,
    ToolStarted,
    TurnThinking,
    Usage,
)
from app.position import Position
from app.recorder import UNANSWERED, UNFINISHED, Recorder
from app.recorder_values import FIELD_LIMIT, NAME_LIMIT, PROSE_LIMIT
from app.runlog.codec import decode_event, encode_event

Raw = Event | str
STARTED = RunStarted("run_1", "ses_1", RunInput("Hello"), datetime(2026, 1, 2, tzinfo=UTC))


def record(*said: Raw, end: Terminal | None = None) -> list[Event]:
    """Everything that is logged of an agent that says this and then returns, or is ended."""
    recorder = Recorder(STARTED)
    events = recorder.begin()
    for raw in said:
        events += recorder.feed(raw)
    return events + (recorder.finish() if end is None else recorder.end(end))


def body(*said: Raw) -> list[Event]:
    """What is logged between the run's start and its terminal."""
    return record(*said)[1:-1]


def assert_complete(events: list[Event]) -> None:
    """What the recorder promises of a whole log."""
    assert [type(event) for event in events].count(RunStarted) == 1
    assert isinstance(events[0], RunStarted)
    assert [isinstance(event, Terminal) for event in events] == [False] * (len(events) - 1) + [True]
    assert_parts_nest(events)
    assert_calls_pair(events)
    assert_approvals_pair(events)
    for seq, event in enumerate(events, 1):
        assert decode_event(encode_event(event)) == event
        Native().frames(Position(1, seq), event)


def assert_parts_nest(events: Iterable[Event]) -> None:
    parts: dict[str | None, Event] = {}
    seen: set[str] = set()
    for event in events:
        match event:
            case TextStarted() | ThinkingStarted():
                assert event.agent not in parts
                assert event.part not in seen
                seen.add(event.part)
                parts[event.agent] = event
            case TextDelta() | ThinkingDelta():
                started = TextStarted if isinstance(event, TextDelta) else ThinkingStarted
                assert parts[event.agent] == started(event.part, agent=event.agent)
                assert event.delta
                assert len(event.delta.encode()) <= FIELD_LIMIT
            case TextEnd() | ThinkingEnd():
                started = TextStarted if isinstance(event, TextEnd) else ThinkingStarted
                assert parts.pop(event.agent) == started(event.part, agent=event.agent)
            case _:
                pass
    assert parts == {}


def assert_approvals_pair(events: Iterable[Event]) -> None:
    asked: set[str] = set()
    waiting: set[str] = set()
    for event in events:
        match event:
            case ApprovalRequested():
                assert event.call_id
                assert event.call_id not in asked
                asked.add(event.call_id)
                waiting.add(event.call_id)
            case ApprovalResolved():
                waiting.remove(event.call_id)
            case _:
                pass
    assert waiting == set()


def assert_calls_pair(events: Iterable[Event]) -> None:
    calls: dict[str, ToolStarted] = {}
    seen: set[str] = set()
    for event in events:
        match event:
            case ToolStarted():
                assert event.call_id
                assert event.call_id not in seen
                seen.add(event.call_id)
                calls[event.call_id] = event
            case ToolEvent():
                assert calls.pop(event.call_id).tool_name == event.tool_name
            case _:
                pass
    assert calls == {}


def test_a_run_begins_once_and_ends_once():
    recorder = Recorder(STARTED)
    assert recorder.begin() == [STARTED]
    assert recorder.begin() == []
    assert recorder.finish() == [StreamEnd("")]
    assert recorder.finish() == []
    assert recorder.end(RunCancelled("", "late")) == []
    assert recorder.feed("late") == []


def test_a_run_that_ends_before_it_began_begins_all_the_same():
    assert Recorder(STARTED).end(RunCancelled("", "early")) == [STARTED, RunCancelled("", "early")]


def test_a_bare_string_is_text_in_a_part_of_its_own():
    assert body("Hello", " there") == [
        TextStarted("part-1"),
        TextDelta("Hello", part="part-1"),
        TextDelta(" there", part="part-1"),
        TextEnd(part="part-1"),
    ]


def test_empty_deltas_leave_no_trace():
    assert body("", TextDelta(""), ThinkingDelta("", agent="helper")) == []


def test_thinking_that_turns_into_text_ends_first():
    assert body(ThinkingDelta("hm"), "so") == [
        ThinkingStarted("part-1"),
        ThinkingDelta("hm", part="part-1"),
        ThinkingEnd(part="part-1"),
        TextStarted("part-2"),
        TextDelta("so", part="part-2"),
        TextEnd(part="part-2"),
    ]


def test_an_end_that_the_agent_says_is_taken_over_with_the_parts_id():
    events = body(ThinkingDelta("hm"), ThinkingEnd(part="whatever"), ThinkingDelta("hm"), TextEnd(), ThinkingEnd())
    assert [type(event) for event in events] == [ThinkingStarted, ThinkingDelta, ThinkingEnd] * 2
    assert [getattr(event, "part", None) for event in events] == ["part-1"] * 3 + ["part-2"] * 3


@pytest.mark.parametrize("raw", [TextEnd(), ThinkingEnd(agent="helper"), TextStarted("p"), ThinkingStarted("p")])
def test_boundaries_without_deltas_are_dropped(raw):
    assert body(raw) == []


def test_a_subagents_parts_are_independent_of_the_main_agents():
    events = body("one ", TextDelta("inner", agent="helper"), "two", ThinkingDelta("hm", agent="helper"))
    main = [event for event in events if event.agent is None]
    assert main == [
        TextStarted("part-1"),
        TextDelta("one ", part="part-1"),
        TextDelta("two", part="part-1"),
        TextEnd(part="part-1"),
    ]
    inner = [type(event) for event in events if event.agent == "helper"]
    assert inner == [TextStarted, TextDelta, TextEnd, ThinkingStarted, ThinkingDelta, ThinkingEnd]


def test_content_is_the_main_agents_text_alone():
    recorder = Recorder(STARTED)
    for raw in ["a", TextDelta("x", agent="helper"), ThinkingDelta("y"), TextDelta("b"), TurnThinking("z")]:
        recorder.feed(raw)
    assert recorder.content == "ab"
    recorder.feed("c")
    assert recorder.content == "abc"


@pytest.mark.parametrize("terminal", [StreamEnd(""), RunCancelled("", "why")])
def test_an_empty_terminal_gets_the_text_so_far(terminal):
    field = "full_content" if isinstance(terminal, StreamEnd) else "content"
    assert record("so ", "far", end=terminal)[-1] == evolve(terminal, **{field: "so far"})


def test_a_terminals_own_content_is_kept():
    assert record("so far", StreamEnd("the whole", 1, 2, usage=Usage(3, 4)))[-1] == StreamEnd(
        "the whole", 1, 2, usage=Usage(3, 4)
    )


@pytest.mark.parametrize("end", [StreamEnd("x"), RunCancelled("x", "why"), RunFailed("agent_error", "why")])
def test_what_is_open_is_closed_before_the_terminal(end):
    events = record(
        ToolStarted("search", {"q": 1}, call_id="a"), ThinkingDelta("hm"), TextDelta("x", agent="helper"), end=end
    )
    assert events[-4:] == [
        ThinkingEnd(part="part-1"),
        TextEnd(part="part-2", agent="helper"),
        ToolEvent("search", {"q": 1}, UNFINISHED, success=False, call_id="a"),
        end,
    ]


def test_a_tool_call_ends_the_text_of_who_makes_it_and_nobody_elses():
    events = body("a", TextDelta("x", agent="helper"), ToolStarted("t", {}), ToolEvent("t", {}, "r", success=True))
    assert events[4:6] == [TextEnd(part="part-1"), ToolStarted("t", {}, call_id="call-3")]
    assert events[-1] == TextEnd(part="part-2", agent="helper")


def test_a_tool_event_without_a_start_gets_one():
    raw = ToolEvent("search", {"q": 1}, "found", success=True, is_subagent=True, agent="helper", call_id="a")
    assert body(raw) == [ToolStarted("search", {"q": 1}, is_subagent=True, agent="helper", call_id="a"), raw]


def test_calls_without_ids_get_one_and_the_first_of_a_tool_ends_first():
    events = body(
        ToolStarted("search", {"q": 1}),
        ToolStarted("read", {}),
        ToolStarted("search", {"q": 2}),
        ToolEvent("search", {}, "one", success=True),
        ToolEvent("search", {}, "two", success=True),
        ToolEvent("read", {}, "three", success=False),
    )
    first, read, second = (event.call_id for event in events[:3])
    assert len({first, read, second}) == 3
    assert [(e.call_id, e.arguments, e.result) for e in events[3:]] == [
        (first, {"q": 1}, "one"),
        (second, {"q": 2}, "two"),
        (read, {}, "three"),
    ]


def test_parallel_calls_of_two_agents_are_told_apart():
    events = body(
        ToolStarted("search", {}, agent="helper"),
        ToolStarted("search", {}),
        ToolEvent("search", {}, "main", success=True),
        ToolEvent("search", {}, "helper", success=True, agent="helper"),
    )
    assert [event.call_id for event in events[2:]] == [events[1].call_id, events[0].call_id]


def test_an_id_that_comes_again_in_a_later_turn_is_made_unique_and_still_pairs():
    call = [ToolStarted("t", {}, call_id="0"), ToolEvent("t", {}, "r", success=True, call_id="0")]
    ids = [event.call_id for event in body(*call, *call, *call)]
    assert ids[0::2] == ids[1::2]
    assert ids[0] == "0"
    assert len(set(ids)) == 3


def test_two_open_calls_with_one_id_are_both_ended():
    events = body(
        ToolStarted("search", {"q": 1}, call_id="0"),
        ToolStarted("read", {"q": 2}, call_id="0"),
        ToolEvent("read", {}, "two", success=True, call_id="0"),
        ToolEvent("search", {}, "one", success=True, call_id="0"),
    )
    search, read = (event.call_id for event in events[:2])
    assert [(event.call_id, event.result) for event in events[2:]] == [(read, "two"), (search, "one")]


def test_an_approval_keeps_the_id_of_the_call_that_it_is_for():
    events = body(
        ApprovalRequested("rm", {}, call_id="x"),
        ApprovalResolved("x", approved=True),
        ToolStarted("rm", {}, call_id="x"),
        ToolEvent("rm", {}, "gone", success=True, call_id="x"),
        ToolStarted("rm", {}, call_id="y"),
        ApprovalRequested("rm", {}, call_id="y"),
        ApprovalResolved("y", approved=True),
    )
    assert [event.call_id for event in events] == [*"xxxxyyy", "y"]


def test_a_question_is_never_mistaken_for_one_that_was_asked_before():
    asked = [ApprovalRequested("rm", {}, call_id="x"), ApprovalResolved("x", approved=True)]
    ids = [event.call_id for event in body(*asked, *asked, *asked) if isinstance(event, ApprovalRequested)]
    assert ids[0] == "x"
    assert len(set(ids)) == 3


def test_an_approval_is_about_the_open_call_of_a_provider_that_counts_anew():
    call = [ToolStarted("rm", {}, call_id="1"), ToolEvent("rm", {}, "gone", success=True, call_id="1")]
    *_, started, asked, _, _ = body(*call, call[0], ApprovalRequested("rm", {}, call_id="1"))
    assert started.call_id == asked.call_id != "1"


def test_an_approval_without_an_id_gets_one():
    asked, _ = body(ApprovalRequested("rm", {"path": "/"}, reason="why not"))
    assert asked.call_id
    assert asked == ApprovalRequested("rm", {"path": "/"}, reason="why not", call_id=asked.call_id)


def test_what_nobody_answered_is_refused_by_the_runs_end():
    log = body(ApprovalRequested("rm", {}, call_id="x"))
    assert log[-1] == ApprovalResolved("x", approved=False, comment=UNANSWERED)


def test_an_answer_to_nothing_is_dropped():
    assert body(ApprovalResolved("x", approved=True)) == []
    twice = body(ApprovalRequested("rm", {}, call_id="x"), *[ApprovalResolved("x", approved=True)] * 2)
    assert [type(event) for event in twice] == [ApprovalRequested, ApprovalResolved]


def test_how_much_an_end_would_bring_is_known():
    recorder = Recorder(STARTED)
    recorder.begin()
    for raw in ("text", ThinkingDelta("hm", agent="sub"), ToolStarted("t", {}), ApprovalRequested("t", {})):
        recorder.feed(raw)
    unclosed = recorder.unclosed
    assert len(recorder.finish()) == unclosed + 1 == 4
    assert recorder.unclosed == 0


def test_other_events_pass_through_without_ending_a_part():
    others = [
        TurnThinking("t"),
        ContextCompressed(9, 3),
        Custom("x", {"a": [1]}),
        ApprovalRequested("rm", {}, call_id="c"),
        ApprovalResolved("c", approved=False),
    ]
    assert body("a", *others, "b") == [
        TextStarted("part-1"),
        TextDelta("a", part="part-1"),
        *others,
        TextDelta("b", part="part-1"),
        TextEnd(part="part-1"),
    ]


def test_an_agent_can_not_start_the_run_anew():
    assert body(RunStarted("other", "other", RunInput("x"), STARTED.at)) == []


def test_nothing_is_recorded_after_the_terminal():
    recorder = Recorder(STARTED)
    ended = recorder.feed(StreamEnd("x"))
    assert ended[-1] == recorder.terminal == StreamEnd("x")
    late: list[Raw] = ["late", ToolStarted("t", {}), RunFailed("agent_error", "late"), StreamEnd("y")]
    assert [recorder.feed(raw) for raw in late] == [[]] * 4
    assert recorder.terminal == StreamEnd("x")
    assert recorder.content == ""


# sizes


def test_a_long_delta_is_split_and_never_cut():
    text = "ab€😀" * 40_000
    deltas = [event for event in body(text) if isinstance(event, TextDelta)]
    assert "".join(delta.delta for delta in deltas) == text
    assert all(FIELD_LIMIT - 4 < len(delta.delta.encode()) <= FIELD_LIMIT for delta in deltas[:-1])
    assert len({delta.part for delta in deltas}) == 1


def test_long_arguments_results_and_data_are_cut_and_say_so():
    long = "€" * FIELD_LIMIT
    started, ended, custom, asked = body(
        ToolStarted("t", {"a": long}),
        ToolEvent("t", {}, long, success=True),
        Custom("c", [long]),
        ApprovalRequested("t", {"a": long}),
    )[:4]
    assert asked.truncated
    assert started.truncated
    assert ended.truncated
    assert custom.truncated
    assert len(ended.result.encode()) == FIELD_LIMIT - FIELD_LIMIT % 3
    assert set(ended.result) == {"€"}
    assert isinstance(started.arguments, dict)
    assert isinstance(custom.data, str)


def test_what_is_nested_too_deep_is_cut_and_says_so():
    deep: list[Any] = []
    for _ in range(40):
        deep = [deep]
    events = body(
        ToolStarted("t", {"a": deep}),
        ToolEvent("t", {}, deep, success=True),
        ToolEvent("u", {}, {"a": deep}, success=True),
        Custom("c", deep),
        ApprovalRequested("t", {"a": deep}),
    )
    assert [event.truncated for event in events if hasattr(event, "truncated")] == [True, True, False, True, True, True]
    (_, ended) = body(ToolEvent("t", {}, float("nan"), success=True))
    assert (ended.result, ended.truncated) == ("nan", False)


def test_a_value_of_exactly_the_limit_is_whole():
    fitting = "x" * FIELD_LIMIT
    (_, ended) = body(ToolEvent("t", {}, fitting, success=True))
    assert (ended.result, ended.truncated) == (fitting, False)
    (_, ended) = body(ToolEvent("t", {}, fitting + "x", success=True))
    assert (ended.result, ended.truncated) == (fitting, True)


def test_a_terminals_content_is_whole_and_its_message_is_not():
    long = "x" * (FIELD_LIMIT * 3)
    assert record(long)[-1] == StreamEnd(long)
    assert record(end=RunFailed("agent_error", long))[-1] == RunFailed("agent_error", long[:FIELD_LIMIT])


HOSTILE = ["x" * 300_000, "\0" * 300_000, '"' * 300_000, "€" * 100_000, "😀" * 100_000, "\n\x7f\u2028" * 80_000]


@pytest.mark.parametrize("huge", HOSTILE, ids=lambda huge: ascii(huge[0]))
def test_no_event_but_the_first_and_the_last_is_over_256_kibibytes_on_the_wire(huge):
    events = record(
        huge,
        ThinkingDelta(huge, agent=huge),
        ThinkingEnd(agent=huge),
        ToolStarted(huge, {huge: huge}, call_id=huge, agent=huge),
        ToolEvent(huge, {huge: huge}, huge, success=True, call_id=huge, agent=huge),
        TurnThinking(huge, agent=huge),
        ApprovalRequested(huge, {huge: huge}, reason=huge, call_id=huge),
        ApprovalResolved(huge, approved=True, comment=huge),
        Custom(huge, {huge: huge}),
        end=RunCancelled("", huge),
    )
    sizes = [len(f.json) for seq, event in enumerate(events[1:-1], 2) for f in Native().frames(Position(1, seq), event)]
    assert max(sizes) <= 256 * 1024
    assert "".join(event.delta for event in events if isinstance(event, TextDelta)) == huge
    assert "".join(event.delta for event in events if isinstance(event, ThinkingDelta)) == huge
    (last,) = Native().frames(Position(1, len(events)), events[-1])
    assert json.loads(last.json)["content"] == huge
    assert len(events[-1].reason) == PROSE_LIMIT
    assert_complete(events)


def test_long_names_stay_apart_and_calls_still_find_their_ends():
    one, two = "x" * 500 + "1", "x" * 500 + "2"
    first, second, end_two, end_one = body(
        ToolStarted(one, {}, call_id=one, agent=one),
        ToolStarted(two, {}, call_id=two, agent=two),
        ToolEvent(two, {}, "2", success=True, call_id=two, agent=two),
        ToolEvent(one, {}, "1", success=True, call_id=one, agent=one),
    )
    assert (first.call_id, first.tool_name, first.agent) == (end_one.call_id, end_one.tool_name, end_one.agent)
    assert (second.call_id, second.tool_name, second.agent) == (end_two.call_id, end_two.tool_name, end_two.agent)
    assert len({first.call_id, second.call_id, first.tool_name, second.tool_name}) == 2
    assert {len(first.call_id), len(second.agent or "")} == {NAME_LIMIT}


@pytest.mark.parametrize("code", ["out_of_fuel", "max_iterations", "agent_error", "e404"])
def test_an_agent_may_fail_with_a_code_of_its_own(code):
    assert record(RunFailed(code, "no"))[-1] == RunFailed(code, "no")


@pytest.mark.parametrize(
    "code",
    [
        *("", "Out of fuel", "out-of-fuel", "x" * 65, "1", "über", "a\n"),
        *("internal_error", "run_interrupted", "deadline_exceeded", "agent_idle", "log_full"),
    ],
)
def test_a_code_that_is_none_or_that_only_the_server_can_know_is_not_taken_from_an_agent(code):
    assert record(RunFailed(code, "no"))[-1] == RunFailed("agent_error", "no")


# what no event should hold


class Shout(str):
    __slots__ = ()

    def __str__(self) -> str:
        return "shouted"


def test_texts_of_every_kind_are_made_plain():
    for event in record(
        TextDelta(Shout("plain"), agent="\ud800"),
        ToolStarted("\udc00", {"\ud800": "\ud83d\ude00"}, call_id="\udfff", agent="\ud800"),
        ToolEvent("\udc00", {}, "\ud800", success=True, call_id="\udfff", agent="\ud800"),
        TurnThinking("\ud800", agent="\ud800"),
        ApprovalRequested("\ud800", {}, reason="\ud800", call_id="\ud800"),
        ApprovalResolved("\ud800", approved=True, comment="\ud800"),
        Custom("\ud800", "\ud800"),
        RunFailed("\ud800", "\ud800", "\ud800"),
    ):
        encode_event(event)
        Native().frames(Position(1, 1), event)
    assert body(Shout("plain"))[1] == TextDelta("plain", part="part-1")
    assert type(body(Shout("plain"))[1].delta) is str
    assert body(ToolStarted("t", {"a": "\ud83d\ude00"}))[0].arguments == {"a": "😀"}
    assert record(end=RunCancelled("", "\ud83d"))[-1] == RunCancelled("", "\ufffd")


class OwnDelta(TextDelta):
    pass


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (None, "an agent yields events or strings, not NoneType"),
        (b"bytes", "not bytes"),
        (OwnDelta("x"), "not OwnDelta"),
        (RunInput("x"), "not RunInput"),
        (TextDelta(b"x"), "TextDelta.delta must be str"),
        (TextDelta("x", agent=7), "TextDelta.agent must be str or NoneType"),
        (ContextCompressed(None, 1), "ContextCompressed.messages_before must be int"),
        (ContextCompressed(1, 2**63), "ContextCompressed.messages_after must be int"),
        (ToolEvent("t", {}, "r", success=None), "ToolEvent.success must be bool"),
        (StreamEnd("x", 1.5), "StreamEnd.context_tokens must be int"),
        (StreamEnd(None), "StreamEnd.full_content must be str"),
        (StreamEnd("x", usage=Usage(1, "2")), "Usage.output_tokens must be int"),
        (StreamEnd("x", usage={"input_tokens": 1}), "StreamEnd.usage must be Usage or NoneType"),
    ],
)
def test_what_is_no_event_or_has_a_field_of_another_type_is_refused_and_leaves_no_trace(wrong, said):
    recorder = Recorder(STARTED)
    events = [*recorder.begin(), *recorder.feed("before")]
    with pytest.raises(TypeError, match=said):
        recorder.feed(wrong)
    assert_complete([*events, *recorder.feed("after"), *recorder.finish()])
    assert recorder.content == "beforeafter"


# any script at all


agents = st.sampled_from([None, "helper", "\ud800"])
ids = st.sampled_from(["", "a", "b", "call-1", "part-1"])
tools = st.sampled_from(["search", "read"])
anything: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.builds(object),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text() | st.integers(), inner, max_size=3),
    max_leaves=6,
)
arguments = st.dictionaries(st.text(max_size=3), anything, max_size=2)
texts = st.text(st.characters(), max_size=4) | st.sampled_from(["\ud800", "\ud83d\ude00", ""])
terminals = st.one_of(
    st.builds(StreamEnd, texts, st.integers(0, 9), st.integers(0, 9), usage=st.none() | st.just(Usage(1, 2))),
    st.builds(RunCancelled, texts, texts),
    st.builds(RunFailed, texts, texts, st.none() | texts),
)
chatter = st.one_of(
    texts,
    st.builds(TextDelta, texts, part=ids, agent=agents),
    st.builds(ThinkingDelta, texts, part=ids, agent=agents),
    st.builds(TextEnd, part=ids, agent=agents),
    st.builds(ThinkingEnd, part=ids, agent=agents),
    st.builds(TextStarted, ids, agent=agents),
    st.builds(ThinkingStarted, ids, agent=agents),
    st.builds(ToolStarted, tools, arguments, st.booleans(), call_id=ids, agent=agents),
    st.builds(ToolEvent, tools, arguments, anything, st.booleans(), st.booleans(), call_id=ids, agent=agents),
    st.builds(TurnThinking, texts, st.booleans(), agent=agents),
    st.builds(ContextCompressed, st.integers(0, 9), st.integers(0, 9)),
    st.builds(ApprovalRequested, tools, arguments, reason=st.none() | texts, call_id=ids),
    st.builds(ApprovalResolved, ids, st.booleans(), comment=st.none() | texts),
    st.builds(Custom, texts, anything),
    st.just(STARTED),
)
scripts = st.lists(st.one_of(chatter, chatter, chatter, chatter, terminals), max_size=20)


@given(scripts, terminals)
def test_whatever_an_agent_says_the_log_is_complete(script, end):
    assert_complete(record(*script, end=end))


@given(st.lists(chatter, max_size=12), terminals, st.data())
def test_a_log_cut_at_any_event_is_closed_as_its_own_recorder_would_have_closed_it(script, end, data):
    log = record(*script, end=end)[:-1]
    cut = data.draw(st.integers(0, len(log)), label="cut")
    heir = Recorder(STARTED)
    heir.replay(log[:cut])
    assert_complete([*log[:cut], *heir.end(end)])


@given(st.lists(chatter, max_size=12), terminals)
def test_a_replayed_log_is_closed_by_the_very_events_that_the_live_recorder_closes_it_with(script, end):
    live = Recorder(STARTED)
    log = live.begin()
    for raw in script:
        log += live.feed(raw)
    heir = Recorder(STARTED)
    heir.replay(log)
    assert heir.content == live.content
    assert heir.end(end) == live.end(end)
    assert heir.terminal == live.terminal


def test_a_replayed_terminal_leaves_nothing_to_end():
    heir = Recorder(STARTED)
    heir.replay(record("x"))
    assert heir.terminal == StreamEnd("x")
    assert heir.finish() == []
