"""Section 3 of the protocol, one behaviour for both transports, against a server process."""

import asyncio
import signal
from urllib.parse import quote

import pytest
from websockets.exceptions import ConnectionClosed

from tests.gateway import Gateway, Launch, every_event, log_of, new_session, start
from tests.watching import (
    Item,
    logged,
    position,
    rise,
    say,
    story,
    text_of,
    watch,
    watch_sse,
    watch_ws,
)

pytestmark = pytest.mark.anyio

SMALL = "/length 12 /rate 0 a few words to echo"
QUIET = "/quiet /length 12 /rate 0 a few words to echo"
"""Fewer events than it takes to be compacted."""
SLOW = "/length 40 /rate 120 a few words to echo"
MALFORMED = (
    *("x", "1", "1-", "-1", "-1-1", "01-1", "1-01", "1--1", "1-2-3", "1-1e3", "+1-1", "1_0-1", "1-1.0", "0-5", "null"),
    *("1-1\n", "\n1-1", " 1-1", "1-1 ", "1 - 1", "1,1", "\u0663-1", "1-\u0663", "1-1\0", "", "9" * 30 + "-1"),
    "1-" + "9" * 5000,
)


@pytest.fixture(params=["ws", "sse"])
def transport(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def finished(gateway: Gateway, content: str) -> tuple[str, str, list[Item]]:
    """A session with one run that has ended: its id, the run's, and the log."""
    async with gateway.client() as http:
        session = await new_session(http)
        run = await start(http, session, content)
        return session, run, [Item.of(raw) for raw in await log_of(http, session, run)]


async def single_messages(gateway: Gateway, session: str, run: str) -> list[Item]:
    async with gateway.client() as http:
        return [Item.of(raw) for raw in await every_event(http, session, run)]


async def resumes_exactly(gateway: Gateway, transport: str, session: str, log: list[Item], at: int) -> None:
    async with watch(gateway, transport, session, log[at].id) as viewer:
        stored = await viewer.until_type("caught_up")
    assert story(log[: at + 1] + logged(stored)) == story(log)
    assert rise(log[: at + 1] + stored)
    assert stored[-1].message["position"] == log[-1].id


@pytest.mark.parametrize("content", [QUIET, SMALL])
async def test_a_viewer_that_drops_at_any_event_of_a_run_resumes_exactly(
    gateway: Gateway, transport: str, content: str
) -> None:
    session, run, _ = await finished(gateway, content)
    log = await single_messages(gateway, session, run)

    for at in range(len(log)):
        await resumes_exactly(gateway, transport, session, log, at)


async def test_a_viewer_that_drops_after_every_message_of_a_live_run_loses_nothing(
    gateway: Gateway, transport: str
) -> None:
    async with gateway.client() as http:
        session = await new_session(http)
        run = await start(http, session, "/length 30 /rate 150 a few words to echo")
        seen: list[Item] = []
        while not (seen and seen[-1].is_terminal):
            async with watch(gateway, transport, session, seen[-1].id if seen else None) as viewer:
                seen += logged(await viewer.until(lambda item: item.id is not None))
        log = [Item.of(raw) for raw in await log_of(http, session, run)]

    assert story(seen) == story(log)
    assert rise(seen)
    assert text_of(seen) == log[-1].message["content"]
    assert [item.message["call_id"] for item in seen if item.type == "tool_call"] == [
        "demo-count",
        "demo-search",
        "demo-longest",
    ]


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
async def test_a_finished_run_is_resumed_exactly_after_a_restart(launch: Launch, end: signal.Signals) -> None:
    gateway = launch()
    session, run, whole = await finished(gateway, SMALL)
    log = await single_messages(gateway, session, run)
    gateway.signal(end)
    gateway.wait()
    gateway.start()

    assert await single_messages(gateway, session, run) == log
    for transport in ("ws", "sse"):
        for at in range(0, len(log), 3):
            await resumes_exactly(gateway, transport, session, log, at)
        async with watch(gateway, transport, session, "0") as viewer:
            assert story(await viewer.until_terminal()) == story(whole)


@pytest.mark.faults
async def test_who_attaches_in_mid_run_begins_at_the_runs_first_event(gateway: Gateway, transport: str) -> None:
    session, _, _ = await finished(gateway, QUIET)
    async with watch(gateway, transport, session) as first:
        await say(gateway, transport, session, SLOW)
        early = await first.until_type("tool_call")
        async with watch(gateway, transport, session) as second:
            late = await second.until_terminal()
        early += await first.until_terminal()

    assert logged(late)[0].id == "2-1"
    assert late[0].type == "stream_start"
    assert story(late) == story(early)
    caught_up = next(item for item in late if item.type == "caught_up")
    before = late[: late.index(caught_up)]
    assert position(caught_up.message["position"]) >= position(str(before[-1].id)) > (2, 1)


@pytest.mark.parametrize("starter", ["ws", "sse"])
async def test_a_viewer_of_an_idle_session_learns_of_a_run_started_elsewhere(
    gateway: Gateway, transport: str, starter: str
) -> None:
    session, _, _ = await finished(gateway, QUIET)
    async with watch(gateway, transport, session) as viewer:
        idle = await viewer.next()
        await say(gateway, starter, session, SMALL)
        received = await viewer.until_terminal()

    assert idle.type == "caught_up"
    assert received[0].message["input"]["content"] == SMALL
    assert received[0].id == "2-1"
    assert text_of(received) == received[-1].message["content"]


async def test_after_zero_replays_every_run_of_a_session(gateway: Gateway, transport: str) -> None:
    async with gateway.client() as http:
        session = await new_session(http)
        logs: list[Item] = []
        for number in range(3):
            run = await start(http, session, f"{SMALL} number {number}")
            logs += [Item.of(raw) for raw in await log_of(http, session, run)]

    for after in ("0", "0-0"):
        async with watch(gateway, transport, session, after) as viewer:
            replayed = await viewer.until_type("caught_up")
        assert story(replayed) == story(logs)
        assert rise(replayed)
        assert sum(item.is_terminal for item in replayed) == 3


async def test_before_a_runs_first_event_is_a_position_like_any_other(gateway: Gateway, transport: str) -> None:
    async with gateway.client() as http:
        session = await new_session(http)
        for _ in range(3):
            run = await start(http, session, SMALL)
            log = [Item.of(raw) for raw in await log_of(http, session, run)]
    async with watch(gateway, transport, session, "3-0") as viewer:
        received = await viewer.until_type("caught_up")
    assert story(received) == story(log)


async def test_a_viewer_stays_for_every_later_run_and_is_caught_up_once(gateway: Gateway, transport: str) -> None:
    async with gateway.client() as http:
        session = await new_session(http)
        async with watch(gateway, transport, session) as viewer:
            received = await viewer.until_type("caught_up")
            logs: list[Item] = []
            for _ in range(3):
                run = await start(http, session, SMALL)
                received += await viewer.until_terminal()
                logs += [Item.of(raw) for raw in await log_of(http, session, run)]

    assert story(received) == story(logs)
    assert rise(received)
    assert [item.message for item in received if item.type == "caught_up"] == [{"type": "caught_up", "position": "0-0"}]


@pytest.mark.parametrize("after", ["1-9999", "9-1", "2-0", "999999999999999999-999999999999999999"])
@pytest.mark.faults
async def test_a_position_that_is_not_there_gets_a_gap_first_and_then_everything(
    gateway: Gateway, transport: str, after: str
) -> None:
    session, _, log = await finished(gateway, QUIET)
    async with watch(gateway, transport, session, after) as viewer:
        received = await viewer.until_type("caught_up")

    assert received[0].message == {"type": "gap", "requested": after, "earliest": "1-1", "latest": log[-1].id}
    assert story(received) == story(log)


async def test_a_gap_in_a_session_without_runs_is_followed_by_the_first_run(gateway: Gateway, transport: str) -> None:
    async with gateway.client() as http:
        session = await new_session(http)
        async with watch(gateway, transport, session, "1-5") as viewer:
            gap = await viewer.next()
            run = await start(http, session, QUIET)
            received = await viewer.until_terminal()
        log = [Item.of(raw) for raw in await log_of(http, session, run)]

    assert gap.message == {"type": "gap", "requested": "1-5", "earliest": "0-0", "latest": "0-0"}
    assert story(received) == story(log)


async def test_a_run_stream_answers_a_position_beyond_its_end_with_a_gap_and_everything(gateway: Gateway) -> None:
    session, run, log = await finished(gateway, QUIET)
    async with watch_sse(gateway, f"/sessions/{session}/runs/{run}/events", "1-999") as viewer:
        received = await viewer.rest()

    assert received[0].message == {"type": "gap", "requested": "1-999", "earliest": "1-1", "latest": log[-1].id}
    assert story(received) == story(log)


@pytest.mark.parametrize("door", ["events", "runs/{run}/events", "runs/{run}/log"])
@pytest.mark.faults
async def test_a_malformed_position_is_refused_over_http(gateway: Gateway, door: str) -> None:
    session, run, _ = await finished(gateway, QUIET)
    async with gateway.client() as http:
        for text in MALFORMED:
            answer = await http.get(f"/sessions/{session}/{door.format(run=run)}", params={"after": text})
            assert (text, answer.status_code, answer.json()["code"]) == (text, 400, "bad_position")


@pytest.mark.faults
async def test_a_malformed_position_on_a_websocket_gets_an_error_and_close_4400(gateway: Gateway) -> None:
    session, _, _ = await finished(gateway, QUIET)
    for text in MALFORMED:
        async with watch_ws(gateway, session, quote(text)) as viewer:
            assert viewer.socket is not None
            assert (await viewer.next()).message["code"] == "bad_position"
            with pytest.raises(ConnectionClosed):
                await viewer.next()
            assert (text, viewer.socket.close_code) == (text, 4400)


async def test_a_run_stream_ends_after_the_terminal_and_answers_204_from_there(gateway: Gateway) -> None:
    session, run, log = await finished(gateway, SMALL)
    path = f"/sessions/{session}/runs/{run}/events"
    async with watch_sse(gateway, path) as viewer:
        whole = await viewer.rest()
    async with watch_sse(gateway, path, log[3].id) as viewer:
        rest = await viewer.rest()
    async with gateway.client() as http:
        by_query = await http.get(path, params={"after": log[-1].id})
        by_header = await http.get(path, headers={"last-event-id": str(log[-1].id)})

    assert story(whole) == story(log)
    assert story(log[:4] + logged(rest)) == story(log)
    assert sum(item.type == "caught_up" for item in whole) == 1
    assert (by_query.status_code, by_query.content) == (204, b"")
    assert (by_header.status_code, by_header.content) == (204, b"")


async def test_a_run_stream_follows_a_run_in_progress_to_its_end(gateway: Gateway) -> None:
    async with gateway.client() as http:
        session = await new_session(http)
        run = await start(http, session, SLOW)
        async with watch_sse(gateway, f"/sessions/{session}/runs/{run}/events") as viewer:
            received = await viewer.rest()
        log = [Item.of(raw) for raw in await log_of(http, session, run)]

    assert story(received) == story(log)
    assert received[-1].is_terminal
    assert sum(item.type == "caught_up" for item in received) == 1


async def test_the_json_text_is_the_same_byte_for_byte_on_both_transports_and_in_the_log(gateway: Gateway) -> None:
    async with gateway.client() as http:
        session = await new_session(http)
        async with watch_ws(gateway, session) as socket, watch_sse(gateway, f"/sessions/{session}/events") as events:
            run = await start(http, session, f"{QUIET} “ünïcödé” \u2028 \U0001f600")
            by_socket, by_events = await asyncio.gather(socket.until_terminal(), events.until_terminal())
    by_log = await single_messages(gateway, session, run)

    assert [item.raw for item in logged(by_socket)] == [item.raw for item in logged(by_events)]
    assert [item.raw for item in logged(by_socket)] == [item.raw for item in by_log]


@pytest.mark.parametrize(
    ("option", "code", "shown"),
    [("/error", "agent_error", "the demo agent was asked to end with an error"), ("/crash", "internal_error", None)],
)
async def test_a_run_that_fails_ends_with_one_terminal_error_for_every_viewer(
    gateway: Gateway, transport: str, option: str, code: str, shown: str | None
) -> None:
    async with gateway.client() as http:
        session = await new_session(http)
        async with watch(gateway, transport, session) as viewer:
            run = await start(http, session, f"{QUIET} {option}")
            received = await viewer.until_terminal()
        row = (await http.get(f"/sessions/{session}/runs/{run}")).json()

    terminal = received[-1].message
    assert (terminal["type"], terminal["code"]) == ("error", code)
    assert terminal["message"] == shown or "incident" in terminal
    assert "asked to crash" not in received[-1].raw
    assert (row["status"], row["error"]["code"], row["position"]) == ("failed", code, received[-1].id)
