"""Two gateways on one Valkey and one PostgreSQL, and what happens to these servers, as clients see it."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager

import httpx
import pytest
from attrs import define
from websockets.exceptions import ConnectionClosed

from tests.gateway import Gateway, every_event, new_session, start
from tests.postgres import PostgresServer, postgres_server
from tests.runlog.servers import DURABLE, VALKEY, KeyServer
from tests.watching import PATIENCE, Item, Watch, position, rise, story, text_of, watch_sse, watch_ws

pytestmark = pytest.mark.anyio

SETTINGS = {"agent": "faulty:agent", "secret": "one secret of all the processes of a gateway", "drain_timeout": "0"}
DEADLINE = 48 * 3600
"""Seconds that a run may take here."""
SOON = 5.0
"""Seconds within which a viewer knows that something was lost."""
NOTICED = (
    *("lease.not_renewed", "redis.disconnected", "sweep.failed", "storage.failed", "stores.not_ready"),
    *("runlog.lost", "server.unheard", "agent.failed_late", "database.claim_lost"),
)
"""What the log says of servers that are away, full or empty."""


@define
class Town:
    """What the tests here share: each leaves the servers as it found them."""

    keys: KeyServer
    rows: PostgresServer
    one: Gateway
    other: Gateway

    @asynccontextmanager
    async def followed(self, content: str) -> AsyncIterator[tuple[str, str, list[Watch]]]:
        """A run of the first gateway that has said something: by a session's viewers at both, and the run's own."""
        async with self.one.client() as http, AsyncExitStack() as stack:
            session = await new_session(http)
            viewers = [
                await stack.enter_async_context(watch_ws(self.other, session)),
                await stack.enter_async_context(watch_sse(self.one, f"/sessions/{session}/events")),
            ]
            for viewer in viewers:
                await viewer.until_type("caught_up")
            run = await start(http, session, content)
            path = f"/sessions/{session}/runs/{run}/events"
            viewers.append(await stack.enter_async_context(watch_sse(self.other, path)))
            yield session, run, viewers

    async def log(self, session: str, run: str) -> list[Item]:
        """The run's log, as the other gateway has it, once it has ended."""
        async with self.other.client() as http:
            return [Item.of(raw) for raw in await every_event(http, session, run)]

    async def goes_on(self, session: str, viewer: Watch) -> None:
        """The session takes the next message, and its viewer sees what comes of it."""
        async with self.one.client() as http, asyncio.timeout(PATIENCE):
            again = await start(http, session, "count 3", on_conflict="queue")
            begun = await viewer.until(lambda item: item.message.get("run_id") == again)
            assert begun[-1].type in ("stream_start", "run_queued")
            while (await viewer.until_terminal())[-1].message.get("content") != "0 1 2 ":
                pass


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    rows, keys = postgres_server(), KeyServer(VALKEY, *DURABLE)
    gateways: list[Gateway] = []
    try:
        shared = SETTINGS | {"database_url": rows.migrated(), "redis_url": keys.url, "run_deadline": str(DEADLINE)}
        for name in ("one", "other"):
            gateways.append(Gateway(tmp_path_factory.mktemp(name), asked_for=NOTICED, **shared))
            gateways[-1].start()
        yield Town(keys, rows, *gateways)
    finally:
        keys.remain()
        rows.start_again()
        for gateway in gateways:
            gateway.close()
        keys.remove()


async def seen(viewers: list[Watch]) -> list[list[Item]]:
    """What each has got once it has got some of the text."""
    return [await viewer.until_type("stream_delta") for viewer in viewers]


async def to_the_end(viewers: list[Watch], before: list[list[Item]]) -> list[list[Item]]:
    rest = await asyncio.gather(*(viewer.until_terminal() for viewer in viewers))
    return [[*first, *then] for first, then in zip(before, rest, strict=True)]


def assert_exact(told: list[list[Item]], log: list[Item]) -> None:
    for items in told:
        assert rise(items)
        assert story(items) == story(log)
        assert not [item for item in items if item.type == "gap"]


async def killed(town: Town) -> None:
    """Row 3: Valkey is killed, and started again with what is in its append-only file."""
    await asyncio.to_thread(town.keys.kill)
    await asyncio.to_thread(town.keys.start)


async def paused(town: Town) -> None:
    """Row 4: Valkey stands still."""
    town.keys.pause()
    await asyncio.sleep(SOON)  # the time itself is what is tried
    town.keys.resume()


async def rows_restarted(town: Town) -> None:
    """PostgreSQL is killed and started again; who comes meanwhile is told to come again, and that is no fault."""
    await asyncio.to_thread(town.rows.stop)
    async with watch_ws(town.other, "ses_any") as viewer:
        with pytest.raises(ConnectionClosed):
            await viewer.rest()
        assert viewer.socket is not None
        assert viewer.socket.close_code == 1011
    await asyncio.to_thread(town.rows.start)


@pytest.mark.slow
@pytest.mark.parametrize(("happening", "ticks"), [(killed, 300), (paused, 600), (rows_restarted, 300)])
async def test_a_server_that_is_away_for_a_while_costs_time_and_nothing_else(
    town: Town, happening: Callable[[Town], Awaitable[None]], ticks: int
) -> None:
    """Rows 3 and 4."""
    async with town.followed(f"tick {ticks}") as (session, run, viewers):
        before = await seen(viewers)
        await happening(town)
        told = await to_the_end(viewers, before)
        log = await town.log(session, run)
        assert log[-1].type == "stream_end"
        assert_exact(told, log)
        await town.goes_on(session, viewers[0])


@pytest.mark.slow
@pytest.mark.parametrize(("seconds", "status"), [(1.5, 200), (SOON, 503)], ids=["restarted", "away"])
async def test_who_asks_while_valkey_is_away_waits_for_a_restart_and_not_for_longer(
    town: Town, seconds: float, status: int
) -> None:
    async with (
        town.followed("tick 300") as (session, run, viewers),
        town.one.client() as http,
        town.other.client() as elsewhere,
    ):
        waiting = await start(http, session, "count 3", on_conflict="queue")  # of its log nobody has anything in memory
        before = await seen(viewers)

        async def ask(client: httpx.AsyncClient, path: str) -> httpx.Response:
            return await client.get(f"/sessions/{session}{path}")

        await asyncio.to_thread(town.keys.kill)
        paths = ("/runs", f"/runs/{waiting}", f"/runs/{waiting}/log")
        asking = [asyncio.create_task(ask(client, path)) for client in (http, elsewhere) for path in paths]
        transcript = await ask(elsewhere, "/messages")
        await asyncio.sleep(seconds)  # the time itself is what is tried
        in_time = [asked.done() for asked in asking]
        await asyncio.to_thread(town.keys.start)
        told = await to_the_end(viewers, before)
        answers = [await asked for asked in asking]

        assert [answer.status_code for answer in answers] == [status] * len(asking)
        assert in_time == [status != 200] * len(asking)
        assert transcript.status_code == 200
        assert_exact(told, await town.log(session, run))
        for answer in answers if status == 503 else ():
            assert (answer.json()["title"], answer.headers["retry-after"]) == ("Storage unavailable", "5")
        await viewers[0].until_terminal()
        rows = (await ask(elsewhere, "/runs")).json()["items"]
        assert [row["status"] for row in rows] == ["completed"] * 2


async def test_a_server_without_room_holds_runs_up_and_nobody_who_reads(town: Town) -> None:
    """Row 5: maxmemory is reached."""
    async with town.followed("tick 200") as (session, run, viewers), town.other.client() as http:
        before = await seen(viewers)
        town.keys.ask("CONFIG", "SET", "maxmemory", "1")
        refused = await http.post(f"/sessions/{await new_session(http)}/runs", json={"content": "count 1"})
        assert (refused.status_code, refused.json()["code"]) == (507, "storage_full")
        assert (await http.get("/health/ready")).status_code == 503
        async with watch_ws(town.one, session) as newcomer:
            assert newcomer.socket is not None
            assert (await newcomer.until_type("caught_up"))[0].type == "stream_start"
            say = {"type": "message", "content": "count 1", "on_conflict": "queue", "request_id": "say"}
            await newcomer.socket.send(json.dumps(say))
            answer = (await newcomer.until(lambda item: item.message.get("request_id") == "say"))[-1]
            assert answer.message["code"] == "storage_full"
        town.keys.ask("CONFIG", "SET", "maxmemory", "0")
        told = await to_the_end(viewers, before)
        assert_exact(told, await town.log(session, run))
        assert (await http.get("/health/ready")).status_code == 200
        await town.goes_on(session, viewers[0])


@pytest.mark.parametrize("content", ["tick 1000", "swallow"], ids=["obedient", "stubborn"])
async def test_a_server_that_is_emptied_ends_the_run_before_everybody_and_the_session_goes_on(
    town: Town, content: str
) -> None:
    """Row 6: FLUSHALL."""
    async with town.followed(content) as (session, run, viewers):
        before = await seen(viewers)
        began = time.monotonic()
        town.keys.ask("FLUSHALL")
        for viewer in viewers:
            await viewer.until(lambda item: item.type == "gap" or item.is_terminal)
        assert time.monotonic() - began < SOON
        log = await town.log(session, run)
        assert log[-1].message["code"] == "internal_error"
        assert all(rise(items) for items in before)
        await town.goes_on(session, viewers[0])


async def test_a_log_is_kept_for_as_long_as_its_run_may_be_silent(town: Town) -> None:
    async with town.followed("hang 3") as (_, run, viewers):
        await seen(viewers)
        milliseconds = int(town.keys.ask("PTTL", f"runcast:{{{run}}}")[1:])
    assert milliseconds > DEADLINE * 1000


@pytest.fixture
def replica(town: Town) -> Iterator[KeyServer]:
    """A replica that has what there is, and takes the place of its primary when that is killed."""
    replica = KeyServer(VALKEY)
    yield replica
    replica.remove()
    town.keys.remain()


@pytest.mark.slow
async def test_a_replica_that_lags_and_takes_over_leaves_no_silent_hole(town: Town, replica: KeyServer) -> None:
    """Row 7: a fail-over."""
    async with town.followed("tick 1000") as (session, run, viewers), town.followed("pause 3000") as quiet:
        before, quiet_before = await seen(viewers), await seen(quiet[2])
        replica.ask("REPLICAOF", "127.0.0.1", str(town.keys.port))
        await until(lambda: b"master_link_status:up" in replica.ask("INFO", "replication"))
        replica.ask("REPLICAOF", "NO", "ONE")  # from here on it lags
        async with town.one.client() as http:
            has = position((await http.get(f"/sessions/{session}/runs/{run}")).json()["position"])
        later = [await viewer.until(lambda item: bool(item.id) and position(str(item.id)) > has) for viewer in viewers]
        await asyncio.to_thread(town.keys.kill)
        replica.ask("CONFIG", "SET", "port", str(town.keys.port))
        told = await to_the_end(viewers, [[*first, *then] for first, then in zip(before, later, strict=True)])
        log = await town.log(session, run)
        assert log[-1].message["code"] == "internal_error"
        for items in told:
            assert items[-1].raw == log[-1].raw
            if not any(item.type == "gap" for item in items):
                assert rise(items)
                numbers = text_of(items).split()
                assert numbers == [str(number) for number in range(len(numbers))]
        assert_exact(await to_the_end(quiet[2], quiet_before), await town.log(*quiet[:2]))
        await town.goes_on(session, viewers[0])


async def until(reached: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not reached():  # noqa: ASYNC110 - the server tells nobody
            await asyncio.sleep(0.01)
