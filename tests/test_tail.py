"""How `runcast tail` renders messages, and what it shows to a server that asks who calls."""

import asyncio
import io
import json
from typing import Any

import pytest

from app.client.reading import read
from app.tail import Screen, show
from tests.callers import ADA, BOB, guarded, shows
from tests.gateway import Gateway, gateway, new_session, start
from tests.watching import PATIENCE

__all__ = ["gateway", "guarded"]


ASKED = {"run_id": "r", "session_id": "s", "at": "2026-01-02T03:04:05Z"}


def shown(*messages: dict[str, Any]) -> str:
    out = io.StringIO()
    screen = Screen(out)
    for message in messages:
        screen.show(read(json.dumps(message)))
    return out.getvalue()


def say(text: str, **rest: Any) -> dict[str, Any]:
    return {"type": "stream_delta", "id": "1-1", "delta": text, **rest}


def think(text: str, **rest: Any) -> dict[str, Any]:
    return {"type": "thinking_delta", "id": "1-1", "delta": text, **rest}


def end(**rest: Any) -> dict[str, Any]:
    return {"type": "stream_end", "id": "1-9", "content": "x", "context_tokens": 0, "max_context_tokens": 0, **rest}


def test_deltas_run_on_until_something_else_is_said():
    assert shown(say("Hel"), say("lo\nthere"), end()) == "Hello\nthere\n-- done at 1-9\n"


def test_thinking_and_text_have_lines_of_their_own():
    assert shown(think("hm "), think("hm"), say("so"), say("!"), think("hm")) == "hm hm\nso!\nhm"


def test_a_subagent_is_named_once_where_it_begins():
    assert shown(say("a"), say("b", agent="helper"), say("c", agent="helper"), say("d")) == "a\n[helper] bc\nd"


def test_a_run_is_told_by_its_question_its_tools_and_its_end():
    start = {"type": "stream_start", "id": "1-1", **ASKED, "input": {"content": "Why?", "images": 0, "files": []}}
    call = {"id": "1-2", "call_id": "c", "tool": "search", "args": {"q": "wärme"}, "is_subagent": False}
    assert shown(
        start,
        {"type": "tool_started", **call},
        {"type": "tool_call", "result": "two\n  lines", "success": True, **call},
        {"type": "tool_call", "result": "x" * 101, "success": False, "agent": "helper", **call},
        say("x"),
        end(),
    ).splitlines() == [
        "> Why?",
        '  search({"q": "wärme"})',
        "  search ok: two lines",
        f"  [helper] search failed: {'x' * 99}…",
        "x",
        "-- done at 1-9",
    ]


def test_every_other_ending_says_why():
    assert shown({"type": "stream_cancelled", "id": "1-2", "content": "x", "reason": "cancelled"}) == (
        "-- cancelled at 1-2: cancelled\n"
    )
    assert (
        shown({"type": "error", "id": "1-2", "code": "agent_error", "message": "no"}) == "-- agent_error at 1-2: no\n"
    )
    assert shown({"type": "error", "code": "rate_limited", "message": "slower"}) == "-- rate_limited: slower\n"


def test_a_question_says_how_to_answer_it_and_what_was_answered():
    begin = {"type": "stream_start", "id": "1-1", **ASKED, "input": {"content": "Why?", "images": 0, "files": []}}
    asked = {"id": "1-2", "call_id": "c/1", "tool": "delete", "args": {"days": 3}, "reason": "it is gone then"}
    answer = {"type": "approval_resolved", "call_id": "c/1", "approved": True}
    screen = Screen(io.StringIO(), "http://localhost:8000/sessions/s")
    for each in (
        begin,
        {"type": "approval_requested", **asked},
        {**answer, "id": "1-3"},
        {**answer, "id": "1-4", "approved": False, "comment": "keep it"},
    ):
        screen.show(read(json.dumps(each)))
    assert screen.out.getvalue().splitlines()[1:] == [
        '? delete({"days": 3}) asks to be allowed, as c/1: it is gone then',
        (
            """  answer: curl http://localhost:8000/sessions/s/runs/r/approvals/c%2F1"""
            """ -H 'content-type: application/json' -d '{"approved": true}'"""
        ),
        "  c/1 allowed",
        "  c/1 not allowed: keep it",
    ]


def test_what_an_agent_has_words_of_its_own_for_and_runs_that_wait_have_lines():
    assert (
        shown(
            {"type": "custom", "id": "1-2", "name": "progress", "data": {"done": 3}},
            {"type": "run_queued", "run_id": "r2", "number": 2, "ahead": 1},
        )
        == '  progress: {"done": 3}\n-- run 2 waits, 1 ahead\n'
    )


def test_an_answer_that_came_at_the_end_alone_is_shown_and_one_that_was_streamed_not_twice():
    alone = end(content="All at\nonce")
    assert shown(alone) == "All at\nonce\n-- done at 1-9\n"
    assert shown(say("x"), end(content="x"), alone) == "x\n-- done at 1-9\nAll at\nonce\n-- done at 1-9\n"
    assert shown(say("found", agent="helper"), alone) == "[helper] found\nAll at\nonce\n-- done at 1-9\n"


def test_a_gap_is_shown_and_ends_the_line():
    gap = {"type": "gap", "requested": "1-5", "earliest": "1-9", "latest": "2-1"}
    assert shown(say("a"), gap) == "a\n-- events before 1-9 are no longer kept\n"


def test_what_has_nothing_to_show_does_not_break_a_line():
    silent = [
        {"type": "caught_up", "position": "1-1"},
        {"type": "thinking_end", "id": "1-2"},
        {"type": "some_type_of_tomorrow", "id": "1-3"},
    ]
    assert shown(say("a"), *silent, say("b")) == "ab"


def test_what_an_agent_says_cannot_steer_the_terminal() -> None:
    text = "a\x1b[2Jb\x9bc\td\ne é 😀"

    assert shown(say(text)) == "a\ufffd[2Jb\ufffdc\td\ne é 😀"


class Terminal(io.StringIO):
    """Says when a run's last line was written."""

    def __init__(self) -> None:
        super().__init__()
        self.done = asyncio.Event()

    def flush(self) -> None:
        if "-- done" in self.getvalue():
            self.done.set()


@pytest.mark.anyio
async def test_with_a_token_it_shows_its_principals_session_to_the_end_of_it(
    guarded: Gateway, capsys: pytest.CaptureFixture[str]
) -> None:
    async with guarded.client(headers=shows(ADA.key)) as ada:
        session = await new_session(ada)
        await start(ada, session, "/quiet /length 3 /rate 0")
        terminal = Terminal()
        showing = asyncio.create_task(show(guarded.url, session, "0", terminal, ADA.key))
        async with asyncio.timeout(PATIENCE):
            await terminal.done.wait()
            await ada.delete(f"/sessions/{session}")
            assert await showing == 1

    assert terminal.getvalue().startswith("> /quiet /length 3 /rate 0\n")
    assert "the session was deleted" in capsys.readouterr().err


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("token", "said"),
    [(None, "this needs a token"), (BOB.key, "there is no such session"), ("not a token", "the token is malformed")],
    ids=["none", "another's", "malformed"],
)
async def test_a_refused_token_ends_it_with_the_reason(
    guarded: Gateway, capsys: pytest.CaptureFixture[str], token: str | None, said: str
) -> None:
    async with guarded.client(headers=shows(ADA.key)) as ada:
        session = await new_session(ada)

    assert await show(guarded.url, session, None, io.StringIO(), token) == 1
    assert said in capsys.readouterr().err


@pytest.mark.anyio
async def test_an_address_where_no_gateway_is_is_named(gateway: Gateway, capsys: pytest.CaptureFixture[str]) -> None:
    assert await show(f"{gateway.url}/elsewhere", "s", None, io.StringIO()) == 1
    assert f"{gateway.url}/elsewhere answered 404" in (said := capsys.readouterr().err)
    assert "no Runcast server" in said


@pytest.mark.anyio
async def test_what_is_no_address_is_said_in_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert await show("localhost:8000", "s", None, io.StringIO()) == 1
    assert capsys.readouterr().err == "runcast: localhost:8000 is no address: it begins with http:// or https://\n"
