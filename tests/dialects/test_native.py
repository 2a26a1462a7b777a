"""The native dialect, byte for byte: what is written here is what clients of version 1 rely on."""

import json
from datetime import UTC, datetime
from typing import Any, get_args

import pytest
from attrs import evolve, fields
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from app import events
from app.dialects import messages, native
from app.dialects.messages import LogMessage, ReplyMessage, StreamMessage
from app.dialects.native import Native
from app.events import Event
from app.position import START, Position
from tests import frames

AT = Position(3, 17)
RUN_INPUT = events.RunInput("Hi", 1, (events.FileRef("f1", "a.txt"),))
GOLDEN: list[tuple[Event, str]] = [
    (
        events.RunStarted("run_1", "ses_1", RUN_INPUT, datetime(2026, 1, 2, 3, 4, 5, 678000, UTC)),
        (
            '{"type":"stream_start","id":"3-17","run_id":"run_1","session_id":"ses_1","input":{"content":"Hi","images":1,'
            '"files":[{"id":"f1","name":"a.txt"}]},"at":"2026-01-02T03:04:05.678000Z"}'
        ),
    ),
    (
        events.RunStarted("run_1", "ses_1", events.RunInput("Hi"), datetime(2026, 1, 2, tzinfo=UTC)),
        (
            '{"type":"stream_start","id":"3-17","run_id":"run_1","session_id":"ses_1",'
            '"input":{"content":"Hi","images":0,"files":[]},"at":"2026-01-02T00:00:00Z"}'
        ),
    ),
    (events.ThinkingDelta("hm", part="part-1"), '{"type":"thinking_delta","id":"3-17","delta":"hm"}'),
    (
        events.ThinkingDelta("hm", part="part-1", agent="helper"),
        '{"type":"thinking_delta","id":"3-17","delta":"hm","agent":"helper"}',
    ),
    (events.ThinkingEnd(part="part-1"), '{"type":"thinking_end","id":"3-17"}'),
    (events.ThinkingEnd(part="part-1", agent="helper"), '{"type":"thinking_end","id":"3-17","agent":"helper"}'),
    (events.TextDelta("é\n😀", part="part-1"), '{"type":"stream_delta","id":"3-17","delta":"é\\n😀"}'),
    (
        events.TextDelta("x", part="part-1", agent="helper"),
        '{"type":"stream_delta","id":"3-17","delta":"x","agent":"helper"}',
    ),
    (
        events.ToolStarted("search", {"q": None}, call_id="c1"),
        '{"type":"tool_started","id":"3-17","call_id":"c1","tool":"search","args":{"q":null},"is_subagent":false}',
    ),
    (
        events.ToolStarted("search", {}, is_subagent=True, call_id="c1", agent="helper", truncated=True),
        (
            '{"type":"tool_started","id":"3-17","call_id":"c1","tool":"search","args":{},"is_subagent":true,'
            '"agent":"helper","truncated":true}'
        ),
    ),
    (
        events.ToolEvent("search", {"q": [1, 2.5]}, "found", success=True, call_id="c1"),
        (
            '{"type":"tool_call","id":"3-17","call_id":"c1","tool":"search","args":{"q":[1,2.5]},"result":"found",'
            '"success":true,"is_subagent":false}'
        ),
    ),
    (
        events.ToolEvent("t", {}, "", success=False, is_subagent=True, call_id="c", agent="helper", truncated=True),
        (
            '{"type":"tool_call","id":"3-17","call_id":"c","tool":"t","args":{},"result":"","success":false,'
            '"is_subagent":true,"agent":"helper","truncated":true}'
        ),
    ),
    (events.TurnThinking("hm"), '{"type":"turn_thinking","id":"3-17","thinking":"hm","is_subagent":false}'),
    (
        events.TurnThinking("hm", is_subagent=True, agent="helper"),
        '{"type":"turn_thinking","id":"3-17","thinking":"hm","is_subagent":true,"agent":"helper"}',
    ),
    (
        events.ContextCompressed(40, 8),
        '{"type":"context_compressed","id":"3-17","messages_before":40,"messages_after":8}',
    ),
    (
        events.ApprovalRequested("rm", {"path": "/"}, call_id="c1"),
        '{"type":"approval_requested","id":"3-17","call_id":"c1","tool":"rm","args":{"path":"/"}}',
    ),
    (
        events.ApprovalRequested("rm", {}, reason="risky", call_id="c1", truncated=True),
        '{"type":"approval_requested","id":"3-17","call_id":"c1","tool":"rm","args":{},"reason":"risky","truncated":true}',
    ),
    (
        events.ApprovalResolved("c1", approved=True),
        '{"type":"approval_resolved","id":"3-17","call_id":"c1","approved":true}',
    ),
    (
        events.ApprovalResolved("c1", approved=False, comment="no"),
        '{"type":"approval_resolved","id":"3-17","call_id":"c1","approved":false,"comment":"no"}',
    ),
    (events.Custom("chart"), '{"type":"custom","id":"3-17","name":"chart","data":null}'),
    (
        events.Custom("chart", [{"x": 1}], truncated=True),
        '{"type":"custom","id":"3-17","name":"chart","data":[{"x":1}],"truncated":true}',
    ),
    (
        events.StreamEnd("Bye", 12, 4096),
        '{"type":"stream_end","id":"3-17","content":"Bye","context_tokens":12,"max_context_tokens":4096}',
    ),
    (
        events.StreamEnd("", usage=events.Usage(0, 0)),
        (
            '{"type":"stream_end","id":"3-17","content":"","context_tokens":0,"max_context_tokens":0,'
            '"usage":{"input_tokens":0,"output_tokens":0}}'
        ),
    ),
    (
        events.RunCancelled("so far", "cancelled"),
        '{"type":"stream_cancelled","id":"3-17","content":"so far","reason":"cancelled"}',
    ),
    (
        events.RunFailed("agent_error", "no"),
        '{"type":"error","id":"3-17","code":"agent_error","message":"no"}',
    ),
    (
        events.RunFailed("internal_error", "no", "1f"),
        '{"type":"error","id":"3-17","code":"internal_error","message":"no","incident":"1f"}',
    ),
]
SILENT: list[Event] = [
    events.ThinkingStarted("part-1"),
    events.TextStarted("part-1"),
    events.TextEnd(part="part-1"),
]
REPLIES: list[tuple[Any, str]] = [
    (messages.CaughtUp(position="3-17"), '{"type":"caught_up","position":"3-17"}'),
    (
        messages.Gap(requested="9-9", earliest="1-1", latest="3-17"),
        '{"type":"gap","requested":"9-9","earliest":"1-1","latest":"3-17"}',
    ),
    (messages.Ack(request_id="r"), '{"type":"ack","request_id":"r"}'),
    (messages.Ack(request_id="r", run_id="run_1"), '{"type":"ack","request_id":"r","run_id":"run_1"}'),
    (messages.Pong(), '{"type":"pong"}'),
    (messages.Error(code="run_active", message="no"), '{"type":"error","code":"run_active","message":"no"}'),
    (
        messages.RunQueued(run_id="run_1", number=4, ahead=2),
        '{"type":"run_queued","run_id":"run_1","number":4,"ahead":2}',
    ),
    (
        messages.Error(code="run_active", message="no", request_id="r"),
        '{"type":"error","code":"run_active","message":"no","request_id":"r"}',
    ),
]


def of(pairs: list[tuple[Any, str]]) -> list[str]:
    return [f"{type(value).__name__}-{index}" for index, (value, _) in enumerate(pairs)]


@pytest.mark.parametrize("text", [text for _, text in GOLDEN + REPLIES])
def test_these_bytes_are_in_the_schemas(text):
    assert frames.is_valid("ServerMessage", json.loads(text))


@pytest.mark.parametrize(("event", "text"), GOLDEN, ids=of(GOLDEN))
def test_an_event_is_these_bytes(event, text):
    (frame,) = Native().frames(AT, event)
    assert frame.json == text.encode()
    assert frame.text == text
    assert frame.sse == f"id: 3-17\ndata: {text}\n\n".encode()
    assert frame.id == AT


@pytest.mark.parametrize("event", SILENT)
def test_part_boundaries_have_no_message(event):
    assert Native().frames(AT, event) == ()


def test_every_event_is_either_written_here_or_silent():
    written, silent = {type(event) for event, _ in GOLDEN}, {type(event) for event in SILENT}
    assert written | silent == set(get_args(Event))
    assert written & silent == set()


def test_every_message_class_is_written_here():
    spoken = [*REPLIES, *GOLDEN]
    kinds = {json.loads(text)["type"] for _, text in spoken}
    assert kinds == {fields(cls).type.default for cls in get_args(LogMessage | StreamMessage | ReplyMessage)}


@pytest.mark.parametrize(("message", "text"), REPLIES, ids=of(REPLIES))
def test_a_message_about_the_connection_is_these_bytes(message, text):
    assert native.encode(message) == text.encode()


@pytest.mark.parametrize("cls", get_args(StreamMessage | ReplyMessage), ids=lambda cls: cls.__name__)
def test_an_optional_field_is_absent_never_null(cls):
    optional = {field.name for field in fields(cls) if field.default is UNSET}
    golden = [json.loads(text) for _, text in [*GOLDEN, *REPLIES]]
    ours = [message for message in golden if message["type"] == fields(cls).type.default]
    assert ours
    assert all(message[name] is not None for message in ours for name in optional if name in message)
    assert optional <= {name for message in ours for name in message}
    assert all(next(iter(message)) == "type" for message in ours)


def test_caught_up_and_gap_carry_no_id():
    (caught_up,) = Native().caught_up(AT)
    (gap,) = Native().gap(Position(9, 9), START, AT)
    assert caught_up.sse == b'data: {"type":"caught_up","position":"3-17"}\n\n'
    assert gap.sse == b'data: {"type":"gap","requested":"9-9","earliest":"0-0","latest":"3-17"}\n\n'
    assert caught_up.id is gap.id is None


@given(st.text())
def test_whatever_the_text_the_json_is_one_line_and_says_it_again(text):
    for event in (events.TextDelta(text), events.Custom(text, {text: [text]}), events.RunCancelled(text, text)):
        (frame,) = Native().frames(AT, event)
        assert b"\n" not in frame.json
        assert b"\r" not in frame.json
        assert frame.sse.count(b"\n") == 3
        assert text in json.loads(frame.text).values()


@given(st.integers(1, 10**18 - 1), st.integers(1, 10**18 - 1))
def test_a_frame_depends_on_event_and_position_alone(run, seq):
    event = events.TextDelta("x", part="p")
    one, other = Native().frames(Position(run, seq), event), Native().frames(Position(run, seq), evolve(event))
    assert [frame.json for frame in one] == [frame.json for frame in other]
    assert json.loads(one[0].json)["id"] == f"{run}-{seq}"
