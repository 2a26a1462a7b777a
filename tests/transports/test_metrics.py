"""`/metrics` of a server process, as Prometheus reads it, against what its clients did and saw."""

import asyncio
import json
import re
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from prometheus_client.openmetrics import parser as openmetrics
from websockets.exceptions import ConnectionClosed

from tests.callers import ADA, BOB, keyed, shows
from tests.gateway import Gateway, Launch, every_event, log_of, new_session, start
from tests.raw_http import dial, exchange, request, upgrade
from tests.scraping import Scrape, scrape
from tests.watching import PATIENCE, watch, watch_sse, watch_ws

pytestmark = pytest.mark.anyio

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "monitoring.md"
SHORT = "/quiet /length 30 /rate 0"
TOKEN = "a-token-for-metrics-as-long-as-it-has-to-be"
TRANSPORTS = {"ws": "websocket", "sse": "sse"}


@pytest.fixture(params=["ws", "sse"])
def transport(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def before(gateway: Gateway, anyio_backend: str) -> Scrape:
    """What the server counted before the test, of which nothing goes on."""
    async with gateway.client() as http:
        return await until(http, nobody_is_there)


def nobody_is_there(found: Scrape) -> bool:
    return found("runcast_viewers") == 0


async def until(http: httpx.AsyncClient, reached: Callable[[Scrape], bool], since: Scrape | None = None) -> Scrape:
    """Scrape until it shows what it must: the server learns of a client's leaving a moment later."""
    async with asyncio.timeout(PATIENCE):
        while not reached(found := await scrape(http, since)):
            pass
    return found


async def test_viewers_are_counted_while_they_are_there(gateway: Gateway, before: Scrape, transport: str) -> None:
    kind = {"transport": TRANSPORTS[transport], "dialect": "native"}
    async with gateway.client() as http:
        session = await new_session(http)
        async with watch(gateway, transport, session) as one, watch(gateway, transport, session) as other:
            await one.until_type("caught_up")
            await other.until_type("caught_up")
            during = await scrape(http, before)
        after = await until(http, nobody_is_there, before)

    assert during("runcast_viewers", **kind) == during("runcast_viewers") == 2
    assert after("runcast_viewers_attached_total", **kind) == after("runcast_viewers_attached_total") == 2
    assert after("runcast_cuts_total") == 0


async def test_messages_are_counted_as_viewers_got_them(gateway: Gateway, before: Scrape, transport: str) -> None:
    async with gateway.client() as http:
        session = await new_session(http)
        await start(http, session, SHORT)
        async with watch(gateway, transport, session, "0") as viewer:
            got = await viewer.until_type("stream_end")
            if not any(item.type == "caught_up" for item in got):
                got.append(await viewer.next())
            during = await until(http, lambda found: found("runcast_messages_sent_total") >= len(got), before)
        after = await until(http, nobody_is_there, before)

    assert during("runcast_messages_sent_total", transport=TRANSPORTS[transport]) == len(got)
    assert after("runcast_messages_sent_total") == len(got)


async def test_a_viewer_that_brings_a_position_resumes(gateway: Gateway, before: Scrape, transport: str) -> None:
    async with gateway.client() as http:
        session = await new_session(http)
        await log_of(http, session, await start(http, session, SHORT))
        for after in (None, "0", "1-3", "1-4"):
            async with watch(gateway, transport, session, after) as viewer:
                await viewer.until_type("caught_up")
        found = await scrape(http, before)

    assert found("runcast_resumes_total", transport=TRANSPORTS[transport]) == found("runcast_resumes_total") == 2
    assert found("runcast_viewers_attached_total") == 4


async def test_events_are_counted_by_type(gateway: Gateway, before: Scrape) -> None:
    async with gateway.client() as http:
        session = await new_session(http)
        log = await every_event(http, session, await start(http, session, SHORT))
        await log_of(http, session, await start(http, session, f"{SHORT} /error"))
        found = await scrape(http, before)

    assert found("runcast_events_total", type="run_started") == 2
    assert found("runcast_events_total", type="stream_end") == 1
    assert found("runcast_events_total", type="run_failed") == 1
    deltas = [message for message in map(json.loads, log) if message["type"] == "stream_delta"]
    assert found("runcast_events_total", type="text_delta") >= len(deltas) > 10


async def test_runs_are_counted_by_state_and_by_how_they_ended(gateway: Gateway, before: Scrape) -> None:
    slow = "/quiet /rate 0.01"
    async with gateway.client() as http:
        session = await new_session(http)
        running = await start(http, session, slow)
        queued = await start(http, session, SHORT, on_conflict="queue")
        also_queued = await start(http, session, slow, on_conflict="queue")
        during = await scrape(http, before)
        await http.post(f"/sessions/{session}/runs/{also_queued}/cancel")
        await http.post(f"/sessions/{session}/runs/{running}/cancel")
        await log_of(http, session, queued)
        for content in ("/error", "/crash"):
            await log_of(http, session, await start(http, session, f"{SHORT} {content}"))
        after = await scrape(http, before)

    assert (during("runcast_runs", state="running"), during("runcast_runs", state="queued")) == (1, 2)
    assert during("runcast_runs_ended_total") == 0
    assert after("runcast_runs") == 0
    endings = (("cancelled", ""), ("completed", ""), ("failed", "agent_error"), ("failed", "internal_error"))
    assert [after("runcast_runs_ended_total", status=status, code=code) for status, code in endings] == [2, 1, 1, 1]
    assert after("runcast_runs_ended_total") == 5


async def test_runs_are_timed_from_their_turn(gateway: Gateway, before: Scrape) -> None:
    async with gateway.client() as http:
        session = await new_session(http)
        began = time.monotonic()
        await log_of(http, session, await start(http, session, "/quiet /length 4 /rate 8"))
        took = time.monotonic() - began
        found = await scrape(http, before)

    for name in ("run_duration_seconds", "time_to_first_event_seconds", "time_to_first_agent_event_seconds"):
        assert found(f"runcast_{name}_count") == found(f"runcast_{name}_bucket", le="+Inf") == 1
    first, said, whole = (
        found(f"runcast_{name}_sum")
        for name in ("time_to_first_event_seconds", "time_to_first_agent_event_seconds", "run_duration_seconds")
    )
    assert 0 < first <= said < whole < took
    assert whole > 0.3


async def test_a_position_that_is_not_there_is_counted_as_a_gap(gateway: Gateway, before: Scrape) -> None:
    async with gateway.client() as http:
        session = await new_session(http)
        run = await start(http, session, SHORT)
        await log_of(http, session, run)
        for transport in ("ws", "sse"):
            async with watch(gateway, transport, session, "7-7") as viewer:
                assert (await viewer.next()).type == "gap"
        await http.get(f"/sessions/{session}/runs/{run}/log", params={"after": "1-9999"})
        found = await scrape(http, before)

    assert found("runcast_gaps_total") == 3


async def test_the_lag_of_viewers_is_what_they_have_still_to_be_given(launch: Launch) -> None:
    gateway = launch(agent="loud:agent", send_timeout="60")
    async with gateway.client() as http:
        session = await new_session(http)
        nobody = await scrape(http)
        with await asyncio.to_thread(dial, gateway, receive_buffer=4096) as stalled:
            stalled.sendall(upgrade(gateway, f"/ws/sessions/{session}?after=0"))
            assert await asyncio.to_thread(stalled.recv, 12) == b"HTTP/1.1 101"
            async with watch_ws(gateway, session, "0") as viewer:
                run = await start(http, session, "be loud")
                log = await every_event(http, session, run)
                await viewer.until_terminal()
                found = await scrape(http)

    assert nobody("runcast_viewer_lag_events") == 0
    assert 0 < found("runcast_viewer_lag_events", quantile="1") <= len(log) + 2
    assert found("runcast_viewer_lag_events", quantile="0.5") == 0


async def test_commits_are_timed(gateway: Gateway, before: Scrape) -> None:
    async with gateway.client() as http:
        session = await new_session(http)
        await log_of(http, session, await start(http, session, SHORT))
        found = await scrape(http, before)

    name = "runcast_commit_seconds"
    assert found(f"{name}_count") == found(f"{name}_bucket", le="+Inf") >= 2
    assert 0 < found(f"{name}_sum") < 10 * found(f"{name}_count")


@pytest.mark.slow
async def test_a_viewer_that_takes_nothing_is_counted_as_cut(launch: Launch, transport: str) -> None:
    gateway = launch(agent="loud:agent", send_timeout="1")
    async with gateway.client() as http:
        session = await new_session(http)
        await every_event(http, session, await start(http, session, "be loud"))
        opening = (
            upgrade(gateway, f"/ws/sessions/{session}?after=0")
            if transport == "ws"
            else request(gateway, f"/sessions/{session}/events?after=0")
        )
        with await asyncio.to_thread(dial, gateway, receive_buffer=4096) as stalled:
            stalled.sendall(opening)
            found = await until(http, lambda found: found("runcast_cuts_total") == 1)

    assert found("runcast_cuts_total", transport=TRANSPORTS[transport], reason="too_slow") == 1
    assert found("runcast_viewers") == 0


async def test_viewers_of_a_deleted_session_are_cut(gateway: Gateway, before: Scrape, transport: str) -> None:
    async with gateway.client() as http:
        session = await new_session(http)
        async with watch(gateway, transport, session) as viewer:
            await viewer.until_type("caught_up")
            await http.delete(f"/sessions/{session}")
            found = await until(http, nobody_is_there, before)

    assert found("runcast_cuts_total", transport=TRANSPORTS[transport], reason="session_deleted") == 1


@pytest.mark.parametrize(
    ("frames", "reason"), [(["x" * 3000], "too_large"), (["{"] * 21, "rate_limited")], ids=["too large", "malformed"]
)
async def test_a_socket_that_sends_what_it_must_not_is_cut(launch: Launch, frames: list[str], reason: str) -> None:
    gateway = launch(max_message_bytes="2048")
    async with gateway.client() as http:
        session = await new_session(http)
        async with watch_ws(gateway, session) as viewer:
            assert viewer.socket is not None
            await viewer.until_type("caught_up")
            for frame in frames:
                await viewer.socket.send(frame)
            with pytest.raises(ConnectionClosed):
                await viewer.until_terminal()
        found = await until(http, nobody_is_there)

    assert found("runcast_cuts_total", reason=reason) == found("runcast_cuts_total") == 1


async def test_what_the_server_refuses_before_the_application_is_counted_too(gateway: Gateway, before: Scrape) -> None:
    head = request(gateway, "/sessions", f"x-long: {'x' * 40_000}")
    async with exchange(gateway, head) as (status, _, _):
        assert status.split()[1] == "431"
    async with gateway.client() as http:
        found = await scrape(http, before)

    assert found("runcast_rejected_total", door="http", code="too_large") == 1


async def test_a_stream_that_comes_to_its_natural_end_is_no_cut(gateway: Gateway, before: Scrape) -> None:
    async with gateway.client() as http:
        session = await new_session(http)
        run = await start(http, session, SHORT)
        async with watch_sse(gateway, f"/sessions/{session}/runs/{run}/events") as viewer:
            await viewer.rest()
        found = await until(http, nobody_is_there, before)

    assert found("runcast_cuts_total") == 0


async def test_what_is_refused_is_counted_by_door_and_code(gateway: Gateway, before: Scrape) -> None:
    async with gateway.client() as http:
        session = await new_session(http)
        await http.get("/sessions/nobody")
        await http.post(f"/sessions/{session}/runs", content=b"{")
        await http.get(f"/sessions/{session}/events", params={"after": "x"})
        await http.get("/nowhere")
        async with watch_ws(gateway, session) as viewer:
            assert viewer.socket is not None
            for frame in ("{", '{"type": "dance"}', '{"type": "message"}'):
                await viewer.socket.send(frame)
                await viewer.until_type("error")
        async with watch_ws(gateway, "nobody") as turned_away:
            with pytest.raises(ConnectionClosed):
                await turned_away.next()
        found = await scrape(http, before)

    codes = [
        *(("http", code) for code in ("session_not_found", "invalid_json", "bad_position", "not_found")),
        *(("websocket", code) for code in ("invalid_json", "unknown_type", "invalid_message", "session_not_found")),
    ]
    assert {(door, code): found("runcast_rejected_total", door=door, code=code) for door, code in codes} == (
        dict.fromkeys(codes, 1)
    )
    assert found("runcast_rejected_total") == len(codes)


@pytest.mark.slow
async def test_a_loop_that_was_held_up_is_counted(launch: Launch) -> None:
    gateway = launch(agent="faulty:agent")
    async with gateway.client() as http:
        session = await new_session(http)
        await log_of(http, session, await start(http, session, "block 1500"))
        found = await until(http, lambda found: found("runcast_loop_stalls_total") > 0)

    assert found("runcast_loop_stalls_total") == 1
    assert 1 < found("runcast_loop_stalled_seconds_total") < PATIENCE


async def test_no_label_holds_an_id(gateway: Gateway, before: Scrape) -> None:
    async with gateway.client() as http:
        session = await new_session(http)
        run = await start(http, session, SHORT)
        await log_of(http, session, run)
        async with watch_ws(gateway, session, "1-1") as viewer:
            await viewer.until_type("caught_up")
            found = await scrape(http, before)

    shown = " ".join(found.label_values())
    assert not [secret for secret in (session, run, "local") if secret in shown]
    assert not re.search(r"[0-9a-f]{16}", shown)


async def answers(gateway: Gateway, path: str, *tokens: str | None) -> list[int]:
    """The statuses that each token gets, None for no token."""
    async with gateway.client() as http:
        return [(await http.get(path, headers=shows(token) if token else {})).status_code for token in tokens]


async def test_where_callers_authenticate_none_of_them_reads_the_numbers(launch: Launch) -> None:
    gateway = keyed(launch)

    assert await answers(gateway, "/metrics", None, ADA.key, BOB.key, TOKEN) == [401] * 4
    assert await answers(gateway, "/sessions", ADA.key) == [200]


async def test_the_numbers_have_a_token_of_their_own_that_opens_nothing_else(launch: Launch) -> None:
    gateway = keyed(launch, metrics_token=TOKEN)

    assert await answers(gateway, "/metrics", TOKEN, None, ADA.key, TOKEN[:-1], TOKEN + "x") == [200, *[401] * 4]
    assert await answers(gateway, "/sessions", TOKEN, ADA.key) == [401, 200]
    assert await answers(gateway, f"/metrics?ticket={TOKEN}", None) == [401]


async def test_the_token_counts_where_nobody_else_needs_one(launch: Launch) -> None:
    gateway = launch(metrics_token=TOKEN)
    async with gateway.client() as http:
        refused = await http.get("/metrics")

    assert await answers(gateway, "/metrics", TOKEN, "another-token") == [200, 401]
    assert (refused.status_code, refused.json()["code"]) == (401, "unauthenticated")
    assert refused.headers["www-authenticate"].startswith("Bearer")
    assert "runcast_" not in refused.text


async def test_openmetrics_is_given_to_who_asks_for_it(gateway: Gateway) -> None:
    asked = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2"
    async with gateway.client() as http:
        answer = await http.get("/metrics", headers={"accept": asked})
        plain = await http.get("/metrics")

    families = {family.name for family in openmetrics.text_string_to_metric_families(answer.text)}
    assert answer.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert {"runcast_build", "runcast_events", "runcast_commit_seconds", "process_cpu_seconds"} <= families
    assert plain.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"


async def test_the_table_of_metrics_holds_exactly_what_is_exposed(gateway: Gateway, before: Scrape) -> None:
    table = re.findall(r"^\| `(runcast_\w+)` \| (\w+) \|(.*?)\|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    documented = {name: (kind, set(re.findall(r"`(\w+)`", labels))) for name, kind, labels in table}
    async with gateway.client() as http:
        session = await new_session(http)
        await log_of(http, session, await start(http, session, SHORT))
        await http.get("/sessions/nobody")
        found = await scrape(http, before)

    exposed: dict[str, tuple[str, set[str]]] = {}
    for family in found.families:
        if family.name.startswith("runcast_"):
            name = f"{family.name}_total" if family.type == "counter" else family.name
            labels = {label for sample in family.samples for label in sample.labels} - {"le"}
            exposed[name] = (family.type, labels)
    assert documented == exposed
    used = {re.sub(r"_(bucket|sum|count)$", "", name) for name in re.findall(r"runcast_\w+", PAGE.read_text())}
    assert used == set(exposed)
