"""Agents that go wrong, each in its way: their run ends, once, and nobody else's does."""

import asyncio
import json
from collections.abc import Iterator

import pytest

from tests import faulty
from tests.gateway import Gateway, Launch, every_event, log_of, log_pages, new_session, start
from tests.watching import PATIENCE, Item, logged, position, rise, story, text_of, watch, watch_sse, watch_ws

pytestmark = pytest.mark.anyio

EVENT_LIMIT = 256 * 1024
"""Bytes that a message may have (P6.6)."""
STOP_GRACE = 5.0
"""Seconds that a cancelled agent has to stop (P4.6)."""


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    gateway = Gateway(tmp_path_factory.mktemp("faulty"), agent="faulty:agent", drain_timeout="0")
    try:
        yield gateway.start()
    finally:
        gateway.close()


async def told(gateway: Gateway, way: str) -> tuple[list[Item], str]:
    """A run in a session of its own: every message of its log, one per event, and the status of its row."""
    async with gateway.client() as http:
        session = await new_session(http)
        run = await start(http, session, way)
        items = [Item.of(raw) for raw in await every_event(http, session, run)]
        row = (await http.get(f"/sessions/{session}/runs/{run}")).json()
    assert row["position"] == items[-1].id
    assert rise(items)
    assert [item.is_terminal for item in items] == [False] * (len(items) - 1) + [True]
    return items, row["status"]


@pytest.mark.parametrize("after", range(8))
async def test_an_agent_that_crashes_at_any_event_leaves_what_it_said_and_one_failure(
    gateway: Gateway, after: int
) -> None:
    """Row 14: the agent raises at event k."""
    items, status = await told(gateway, f"crash {after}")

    said = [item for item in items if item.type in ("stream_delta", "tool_started")]
    terminal = items[-1].message
    assert len(said) == after
    assert (status, terminal["code"]) == ("failed", "internal_error")
    assert terminal["incident"] in gateway.stderr
    assert not any(faulty.SECRET in item.raw for item in items)
    started = [item.message["call_id"] for item in items if item.type == "tool_started"]
    assert [item.message["call_id"] for item in items if item.type == "tool_call"] == started


@pytest.mark.parametrize(
    ("way", "limit", "code"),
    [("hang 3", "idle_timeout", "agent_idle"), ("tick 100000", "run_deadline", "deadline_exceeded")],
)
async def test_an_agent_that_does_not_come_to_an_end_is_ended(launch: Launch, way: str, limit: str, code: str) -> None:
    """Row 15: the agent hangs."""
    gateway = launch(agent="faulty:agent", **{limit: "1"})
    items, status = await told(gateway, way)

    assert (status, items[-1].message["code"]) == ("failed", code)
    assert text_of(items).startswith("0 1 2 ")


@pytest.mark.slow
async def test_of_a_million_events_the_first_hundred_thousand_are_kept_and_nobody_else_notices(launch: Launch) -> None:
    """Row 16: a million events."""
    gateway = launch(agent="faulty:agent")
    async with gateway.client() as http:
        session, other = await new_session(http), await new_session(http)
        async with watch_ws(gateway, other) as viewer:
            run = await start(http, session, "count 1000000")
            await start(http, other, "tick 100")
            seen = await viewer.until_terminal()
            pages = [page async for page in log_pages(http, session, run, limit=1000)]
        row = (await http.get(f"/sessions/{session}/runs/{run}")).json()

    assert rise(seen)
    assert text_of(seen) == seen[-1].message["content"] == "".join(map(faulty.NUMBER.format, range(100)))
    events = [Item.of(bytes(event).decode()) for page in pages for event in page.events]
    assert rise(events)
    assert (row["status"], row["error"]["code"]) == ("failed", "log_full")
    assert 99_900 < position(row["position"])[1] <= 100_000
    kept = text_of(events).split()
    assert kept == [str(number) for number in range(len(kept))]
    assert len(kept) > 99_900


async def test_an_event_of_fifty_megabytes_is_cut_and_says_so(gateway: Gateway) -> None:
    """Row 17: a 50 MB event."""
    items, status = await told(gateway, "flood 50")

    by_type = {item.type: item.message for item in items}
    assert status == "completed"
    assert [kind for kind, message in by_type.items() if message.get("truncated")] == [
        "tool_started",
        "tool_call",
        "custom",
    ]
    assert all(len(item.raw.encode()) <= EVENT_LIMIT for item in items[:-1])
    assert text_of(items) == items[-1].message["content"] == "x" * (1 << 20)


async def test_values_that_json_cannot_say_break_nothing(gateway: Gateway) -> None:
    """Row 18: unserialisable, cyclic, NaN, lone surrogates."""
    async with gateway.client() as http:
        session = await new_session(http)
        async with watch_ws(gateway, session) as socket, watch_sse(gateway, f"/sessions/{session}/events") as events:
            await start(http, session, "odd")
            by_socket, by_events = await asyncio.gather(socket.until_terminal(), events.until_terminal())

    assert [item.raw for item in logged(by_socket)] == [item.raw for item in logged(by_events)]
    customs = {item.message["name"]: item.message["data"] for item in by_socket if item.type == "custom"}
    assert customs.keys() == faulty.odd_values().keys()
    assert customs["surrogate"] == "a\ufffdb"
    assert customs["object"] == "<unwritable>"
    assert text_of(by_socket) == by_socket[-1].message["content"] == "a\ufffdb \U0001f600"


async def test_what_blocks_the_loop_is_in_the_log_and_every_stream_goes_on(launch: Launch) -> None:
    """Row 25: the loop is blocked by synchronous code."""
    gateway = launch(agent="faulty:agent", drain_timeout="0")
    async with gateway.client() as http:
        other, session = await new_session(http), await new_session(http)
        async with watch_ws(gateway, other) as socket, watch_sse(gateway, f"/sessions/{other}/events") as events:
            await start(http, other, "tick 100")
            await socket.until_type("stream_delta")
            await start(http, session, "block 2500")
            by_socket, by_events = await asyncio.gather(socket.until_terminal(), events.until_terminal())
    blocked = [json.loads(line) for line in gateway.stderr.splitlines() if '"loop.blocked"' in line]

    assert text_of(by_events) == by_events[-1].message["content"] == "".join(map(faulty.NUMBER.format, range(100)))
    assert by_socket[-1].raw == by_events[-1].raw
    assert any("faulty.py" in line["stack"] and "time.sleep" in line["stack"] for line in blocked)


async def test_of_a_cancel_and_the_end_that_it_meets_one_wins(gateway: Gateway) -> None:
    """Row 26: cancelling races completion."""

    async def race(words: int) -> str:
        async with gateway.client() as http:
            session = await new_session(http)
            run = await start(http, session, f"count {words}")
            answer = await http.post(f"/sessions/{session}/runs/{run}/cancel")
            items = [Item.of(raw) for raw in await log_of(http, session, run)]
            row = (await http.get(f"/sessions/{session}/runs/{run}")).json()
        assert answer.status_code == 202
        assert sum(item.is_terminal for item in items) == 1
        assert row["status"] == {"stream_end": "completed", "stream_cancelled": "cancelled"}[items[-1].type]
        assert answer.json()["status"] in ("running", row["status"])
        assert text_of(items) == items[-1].message["content"]
        return str(row["status"])

    ends = await asyncio.gather(*(race(words) for words in range(0, 3000, 100)))

    assert set(ends) <= {"completed", "cancelled"}


@pytest.mark.slow
async def test_an_agent_that_swallows_its_cancellation_is_ended_without_its_help(gateway: Gateway) -> None:
    """Row 27: the agent swallows CancelledError."""
    async with gateway.client() as http:
        session = await new_session(http)
        async with watch(gateway, "ws", session) as viewer, asyncio.timeout(PATIENCE):
            run = await start(http, session, "swallow")
            await viewer.until_type("stream_delta")
            loop = asyncio.get_running_loop()
            began = loop.time()
            await http.post(f"/sessions/{session}/runs/{run}/cancel")
            items = await viewer.until_terminal()
            took = loop.time() - began
            again = await start(http, session, "count 3")
            after = await viewer.until_terminal()
        log = [Item.of(raw) for raw in await log_of(http, session, run)]

    assert STOP_GRACE - 1 < took < STOP_GRACE + 2
    assert items[-1].type == log[-1].type == "stream_cancelled"
    assert [item.message["run_id"] for item in after if item.type == "stream_start"] == [again]
    assert story(after)[-1]["content"] == "0 1 2 "
