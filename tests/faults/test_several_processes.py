"""Two gateways on one Valkey and one PostgreSQL are one: what one of them does, the other does as well, or finishes."""

import asyncio
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.gateway import Gateway, Launch, every_event, new_session, refusal, start
from tests.postgres import postgres_server
from tests.runlog.servers import VALKEY, KeyServer, free_port, start_server
from tests.watching import PATIENCE, Item, text_of, watch_sse, watch_ws

__all__ = ["start_server"]

pytestmark = pytest.mark.anyio

SHARED = {"secret": "one secret of all the processes of a gateway"}
ALMOST_A_SECOND = "0.00001"
AT_MOST = 15.0
"""Seconds from the death of a process to the terminals of its runs (P7.1)."""


@pytest.fixture
def shared(start_server: Callable[..., KeyServer], tmp_path: Path) -> dict[str, str]:
    """The settings of gateways that share everything."""
    keys = start_server(VALKEY, "--appendonly", "yes")
    return SHARED | {"database_url": postgres_server().migrated(), "redis_url": keys.url, "data_dir": str(tmp_path)}


@pytest.fixture
def pair(shared: dict[str, str], launch: Launch) -> tuple[Gateway, Gateway]:
    """Two of them."""
    return launch(**shared, asked_for=("hosts.gone",)), launch(**shared, asked_for=("hosts.gone",))


async def test_a_run_of_one_is_followed_answered_and_cancelled_at_the_other(pair: tuple[Gateway, Gateway]) -> None:
    one, other = pair
    async with one.client() as http, other.client() as elsewhere:
        session = await new_session(http)
        async with watch_ws(other, session) as viewer:
            await viewer.until_type("caught_up")
            await start(http, session, "/approve")
            call = (await viewer.until_type("approval_requested"))[-1].message["call_id"]
            runs = (await elsewhere.get(f"/sessions/{session}/runs")).json()["items"]
            answers = f"/sessions/{session}/runs/{runs[0]['id']}/approvals"
            assert (await elsewhere.post(f"{answers}/nothing", json={"approved": True})).status_code == 404
            assert (await elsewhere.post(f"{answers}/{call}", json={"approved": True})).status_code == 202
            await viewer.until_terminal()
            run = await start(http, session, "/quiet /length 5000 /rate 50")
            assert (await elsewhere.post(f"/sessions/{session}/runs", json={"content": "Hi"})).status_code == 409
            seen = await viewer.until_type("stream_delta")
            assert (await elsewhere.post(f"/sessions/{session}/runs/{run}/cancel")).status_code == 202
            seen += await viewer.until_terminal()
        assert seen[-1].type == "stream_cancelled"
        assert text_of(seen) == seen[-1].message["content"]
        assert await every_event(http, session, run) == await every_event(elsewhere, session, run)
        assert (await elsewhere.delete(f"/sessions/{session}")).status_code == 204
        assert (await http.get(f"/sessions/{session}")).status_code == 404
    for gateway in pair:
        assert SHARED["secret"] not in gateway.stderr


@pytest.mark.slow
async def test_when_one_is_killed_the_other_ends_its_runs_in_time_and_serves_on(pair: tuple[Gateway, Gateway]) -> None:
    one, other = pair
    async with one.client() as http, other.client() as elsewhere:
        session = await new_session(http)
        async with watch_ws(other, session) as viewer, watch_sse(other, f"/sessions/{session}/events") as listener:
            run = await start(http, session, "/quiet /length 5000 /rate 20")
            waiting = await start(elsewhere, session, "/quiet /length 5", on_conflict="queue")
            for each in (viewer, listener):
                await each.until_type("stream_delta")
            killed = time.monotonic()
            one.kill()
            ends = [(await each.until_terminal())[-1].message for each in (viewer, listener)]
            assert time.monotonic() - killed < AT_MOST
            assert ends[0] == ends[1]
            assert ends[0]["code"] == "run_interrupted"
            assert (await viewer.until_terminal())[-1].type == "stream_end"
        rows = (await elsewhere.get(f"/sessions/{session}/runs")).json()["items"]
        assert [(row["id"], row["status"]) for row in rows] == [(run, "interrupted"), (waiting, "completed")]
        one.start()
    async with one.client() as http:
        assert (await http.get("/health/ready")).status_code == 200
        again = await start(http, session, "/quiet /length 5")
        assert len(await every_event(http, session, again)) > 1


async def test_what_one_that_is_told_to_go_executes_comes_to_its_end_before_everybody(
    pair: tuple[Gateway, Gateway],
) -> None:
    one, other = pair
    async with one.client() as http:
        session = await new_session(http)
        async with watch_sse(other, f"/sessions/{session}/events") as viewer:
            await start(http, session, "/quiet /length 60 /rate 30")
            await viewer.until_type("stream_delta")
            one.signal(signal.SIGTERM)
            assert (await viewer.until_terminal())[-1].type == "stream_end"
    assert await asyncio.wait_for(asyncio.to_thread(one.wait), PATIENCE) == -signal.SIGTERM


async def test_a_log_that_one_trims_is_a_gap_at_all_others_at_once(
    pair: tuple[Gateway, Gateway], shared: dict[str, str], launch: Launch
) -> None:
    quick = "/quiet /length 5 /rate 0"
    async with pair[0].client() as http, pair[1].client() as elsewhere:
        session = await new_session(http)
        runs = []
        for _ in range(3):
            runs.append(await start(http, session, quick))
            whole = [await every_event(each, session, runs[-1]) for each in (http, elsewhere)]
            assert whole[0] == whole[1]
            assert Item.of(whole[0][0]).type == "stream_start"
        trimming = launch(**shared, retention_days=ALMOST_A_SECOND)
        async with trimming.client() as third, asyncio.timeout(PATIENCE):
            while Item.of((await every_event(third, session, runs[-1]))[0]).type != "gap":  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.1)

        last = Item.of(whole[0][-1])
        for gateway, client in zip(pair, (http, elsewhere), strict=True):
            for run in runs:
                assert [Item.of(raw).type for raw in await every_event(client, session, run)] == ["gap", "stream_end"]
            async with watch_ws(gateway, session, after="0") as viewer:
                gap, terminal, caught_up = [await viewer.next() for _ in range(3)]
            assert (gap.type, gap.message["earliest"]) == ("gap", last.id)
            assert (terminal.raw, caught_up.type) == (last.raw, "caught_up")


async def test_a_server_that_is_not_there_is_named_in_one_line() -> None:
    url = f"redis://ada:canary@127.0.0.1:{free_port()}/0"
    said = await refusal(database_url="postgresql://127.0.0.1/nothing", redis_url=url, **SHARED)
    assert "RUNCAST_REDIS_URL: " in said
    assert "can't be used" in said
    assert "canary" not in said


@pytest.mark.slow
async def test_a_process_stops_in_time_without_its_server(
    start_server: Callable[..., KeyServer], launch: Launch, tmp_path: Path
) -> None:
    keys = start_server(VALKEY, "--appendonly", "yes")
    settings = SHARED | {"database_url": postgres_server().migrated(), "redis_url": keys.url}
    gateway = launch(
        **settings, asked_for=("lease.not_renewed", "redis.disconnected", "sweep.failed", "stores.not_ready")
    )
    async with gateway.client() as http:
        assert (await http.get("/health/ready")).status_code == 200
        await asyncio.to_thread(keys.kill)
        assert (await http.get("/health/ready")).status_code == 503
    assert await asyncio.wait_for(asyncio.to_thread(gateway.stop), PATIENCE) == -signal.SIGTERM
