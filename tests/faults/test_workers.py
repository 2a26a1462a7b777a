"""`runcast serve --workers`: several processes on one port, which share what is to be done and may die one by one."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import httpx
import pytest
from prometheus_client.openmetrics import parser as openmetrics
from websockets.exceptions import ConnectionClosed

from app.client import connect, messages
from tests.client.reading_along import is_exact, until_terminal
from tests.gateway import Gateway, Json, Launch, new_session, refusal, refused_start, start
from tests.postgres import postgres_server
from tests.runlog.servers import VALKEY, KeyServer, free_port, start_server
from tests.scraping import scrape
from tests.watching import Watch, story, until, watch_sse, watch_ws

__all__ = ["start_server"]

pytestmark = pytest.mark.anyio

SECRET = "one secret of all the processes of a gateway"
LONG = "/quiet /length 5000 /rate 50"
AT_MOST = 15.0
"""Seconds from the death of a process to the terminals of its runs (P7.1)."""
TOLD = 2.0
"""Seconds within which every viewer knows (P7.3)."""
AWAY = ("worker.ended", "lease.not_renewed", "redis.disconnected", "sweep.failed")
"""What the log says while Valkey is away."""
MANY = 60
"""Connections, of which some get to every worker."""

Serve = Callable[..., Gateway]


@pytest.fixture
def keys(start_server: Callable[..., KeyServer]) -> KeyServer:
    return start_server(VALKEY, "--appendonly", "yes")


@pytest.fixture
def serve(keys: KeyServer, launch: Launch, tmp_path: Path) -> Serve:
    """Starts a gateway of two workers."""
    servers = {"database_url": postgres_server().migrated(), "redis_url": keys.url}
    shared = servers | {"secret": SECRET, "data_dir": str(tmp_path), "workers": "2"}
    return lambda **settings: launch(**shared, **settings)


def workers_of(gateway: Gateway) -> list[int]:
    """The worker processes, without the helper that Python starts beside them."""
    children = Path(f"/proc/{gateway.pid}/task/{gateway.pid}/children").read_text().split()
    return [int(pid) for pid in children if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def is_gone(pid: int) -> bool:
    """Whether a process has ended, buried or not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


@asynccontextmanager
async def viewers_at_every_worker(gateway: Gateway, session: str) -> AsyncIterator[list[Watch]]:
    """Viewers of a session, so many that each worker has some."""
    async with AsyncExitStack() as stack:
        viewers: list[Watch] = []
        while not all(gateway.connections(pid) >= 2 for pid in workers_of(gateway)):
            assert len(viewers) < MANY
            by_socket = await stack.enter_async_context(watch_ws(gateway, session))
            by_events = await stack.enter_async_context(watch_sse(gateway, f"/sessions/{session}/events"))
            viewers += [by_socket, by_events]
        for viewer in viewers:
            await viewer.until_type("caught_up")
        yield viewers


async def runs_at_every_worker(gateway: Gateway, content: str = LONG) -> dict[str, tuple[str, str]]:
    """Runs, so many that each worker executes some: session and host, by run."""
    for _ in range(MANY):
        async with gateway.client() as http:  # a connection of its own
            await start(http, await new_session(http), content)
            rows = await listed(http)
        if len({row["host"] for row in rows}) == len(workers_of(gateway)):
            return {row["id"]: (row["session_id"], row["host"]) for row in rows}
    raise AssertionError("one worker executes everything")


async def test_what_one_worker_executes_is_followed_and_cancelled_at_every_other(serve: Serve) -> None:
    gateway = serve()
    async with gateway.client() as http:
        session = await new_session(http)
    async with viewers_at_every_worker(gateway, session) as viewers:
        async with gateway.client() as http:
            run = await start(http, session, LONG)
        seen = [await viewer.until_type("stream_delta") for viewer in viewers]
        for _ in range(3):
            async with gateway.client() as http:
                assert (await http.post(f"/sessions/{session}/runs/{run}/cancel")).status_code == 202
        stories = [
            story([*before, *await viewer.until_terminal()]) for before, viewer in zip(seen, viewers, strict=True)
        ]

    assert stories[0][-1]["type"] == "stream_cancelled"
    assert all(each == stories[0] for each in stories)
    assert {line["worker"] for line in gateway.said("server.started")} == {0, 1}


async def test_operators_see_all_workers_whichever_they_ask(serve: Serve) -> None:
    gateway = serve()
    runs = await runs_at_every_worker(gateway)
    run, (session, _) = next(iter(runs.items()))
    async with viewers_at_every_worker(gateway, session) as viewers:
        for viewer in viewers:
            await viewer.until_type("stream_delta")
        for _ in range(5):
            async with gateway.client() as http:
                found = await scrape(http)
                (seen,) = [each for each in await listed(http) if each["id"] == run]
                exact = (await http.get("/metrics", headers={"accept": "application/openmetrics-text"})).text
            assert found("runcast_viewers") == sum(seen["viewers"].values()) == len(viewers)
            assert found("runcast_runs", state="running") == len(runs)
            assert all(found("runcast_viewers", worker=str(worker)) for worker in (0, 1))
            assert found("runcast_build_info") == found("python_info") == 2
            assert seen["position"] != f"{seen['number']}-0"
            families = [family.name for family in openmetrics.text_string_to_metric_families(exact)]
            assert len(families) == len(set(families))


async def listed(http: httpx.AsyncClient) -> list[Json]:
    return list((await http.get("/operator/runs", params={"status": "running"})).raise_for_status().json()["items"])


@pytest.mark.slow
async def test_a_worker_that_is_killed_is_replaced_and_its_runs_end_in_time(serve: Serve) -> None:
    gateway = serve(asked_for=("worker.ended", "hosts.gone"))
    runs = await runs_at_every_worker(gateway)
    victim, survivor = workers_of(gateway)
    async with AsyncExitStack() as stack:
        followed = {
            run: await stack.enter_async_context(connect(gateway.url, session)) for run, (session, _) in runs.items()
        }
        begun = {run: [await anext(viewer)] for run, viewer in followed.items()}
        os.kill(victim, signal.SIGKILL)
        killed = time.monotonic()
        rows: dict[str, str] = {}
        async with asyncio.timeout(AT_MOST):
            while "interrupted" not in rows.values():
                async with gateway.client() as http:
                    with contextlib.suppress(httpx.TransportError):  # a connection that the dead one had taken
                        items = (await http.get("/operator/runs")).json()["items"]
                        rows = {row["id"]: row["status"] for row in items}
        lost = {run for run, (_, host) in runs.items() if host == runs[_first(rows, "interrupted")][1]}
        for run in lost:
            begun[run] += await until_terminal(followed[run])
            assert isinstance(end := begun[run][-1], messages.Error)
            assert end.code == "run_interrupted"
        assert time.monotonic() - killed < AT_MOST
        for run in runs.keys() - lost:
            await followed[run].cancel()
            begun[run] += await until_terminal(followed[run])
            assert isinstance(begun[run][-1], messages.StreamCancelled)
    for run, seen in begun.items():
        await is_exact(gateway, runs[run][0], run, [each for each in seen if not isinstance(each, messages.CaughtUp)])
    await until(lambda: len(gateway.said("server.started")) == 3)
    (ended,) = gateway.said("worker.ended")

    assert survivor in workers_of(gateway)
    assert len(workers_of(gateway)) == 2
    assert (ended["pid"], ended["status"]) == (victim, "SIGKILL")
    assert await runs_at_every_worker(gateway)


def _first(rows: dict[str, str], status: str) -> str:
    return next(run for run, found in rows.items() if found == status)


@pytest.mark.slow
async def test_a_worker_that_dies_at_once_is_replaced_later_and_later_until_it_can_be(
    serve: Serve, keys: KeyServer
) -> None:
    gateway = serve(asked_for=AWAY)
    await until(lambda: len(gateway.said("server.started")) == 2)
    keys.kill()
    os.kill(workers_of(gateway)[0], signal.SIGKILL)
    await until(lambda: len(gateway.said("worker.ended")) == 3)
    keys.start()
    await until(lambda: len(gateway.said("server.started")) == 3)
    first, *others = gateway.said("worker.ended")

    assert (first["status"], first["reason"]) == ("SIGKILL", None)
    assert all("can't be used" in each["reason"] for each in others)
    assert [each["retry_in"] for each in (first, *others[:2])] == [0.5, 1.0, 2.0]


@pytest.mark.slow
async def test_every_worker_is_told_to_go_and_tells_its_viewers(serve: Serve) -> None:
    gateway = serve(drain_timeout="0.5")
    async with gateway.client() as http:
        session = await new_session(http)
        run = await start(http, session, LONG)
    async with viewers_at_every_worker(gateway, session) as viewers:
        gateway.signal(signal.SIGTERM)
        async with asyncio.timeout(TOLD):
            codes = {await _end(viewer) for viewer in viewers}
        assert await asyncio.to_thread(gateway.wait) == -signal.SIGTERM
    assert codes == {1012, None}
    assert len(gateway.said("server.stopped")) == 2
    gateway.start()
    async with gateway.client() as http:
        row = (await http.get(f"/sessions/{session}/runs/{run}")).json()
    assert (row["status"], row["error"]["code"]) == ("interrupted", "run_interrupted")


async def _end(viewer: Watch) -> int | None:
    """Read until the end: the close code of a WebSocket."""
    with contextlib.suppress(ConnectionClosed):
        await viewer.rest()
    return viewer.socket.close_code if viewer.socket is not None else None


async def test_a_second_signal_skips_the_wait_of_every_worker(serve: Serve) -> None:
    gateway = serve(drain_timeout="60")
    await runs_at_every_worker(gateway)
    gateway.signal(signal.SIGINT)
    await until(lambda: len(gateway.said("host.waiting")) == 2)
    await until(lambda: not answers(gateway))  # so that a load balancer turns to others
    gateway.signal(signal.SIGINT)

    assert await asyncio.to_thread(gateway.wait, 8) == -signal.SIGINT


def answers(gateway: Gateway) -> bool:
    """Whether anybody accepts connections."""
    try:
        socket.create_connection(("127.0.0.1", httpx.URL(gateway.url).port or 0)).close()
    except ConnectionRefusedError:
        return False
    return True


@pytest.mark.slow
async def test_while_one_worker_goes_the_others_take_who_comes(serve: Serve) -> None:
    gateway = serve(asked_for=("worker.ended",))
    await runs_at_every_worker(gateway)
    os.kill(workers_of(gateway)[0], signal.SIGTERM)
    await until(lambda: len(gateway.said("host.waiting")) == 1)
    for _ in range(20):
        async with gateway.client() as http:
            await start(http, await new_session(http), "/quiet /length 1")
    assert not gateway.said("worker.ended")
    os.kill(workers_of(gateway)[0], signal.SIGTERM)
    await until(lambda: len(gateway.said("server.started")) == 3)
    (ended,) = gateway.said("worker.ended")

    assert ended["status"] == "SIGTERM"


async def test_workers_go_with_the_process_that_started_them(serve: Serve) -> None:
    gateway = serve(drain_timeout="0", asked_for=("supervisor.gone",))
    workers = workers_of(gateway)
    gateway.kill()
    await until(lambda: all(map(is_gone, workers)))
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", int(gateway.url.rpartition(":")[2])))

    assert len(gateway.said("supervisor.gone")) == len(gateway.said("server.stopped")) == 2


async def test_several_workers_need_what_they_share(tmp_path: Path) -> None:
    said = await refusal("--workers", "2", data_dir=str(tmp_path))

    assert "RUNCAST_REDIS_URL" in said


async def test_what_no_worker_can_start_with_is_said_once(tmp_path: Path) -> None:
    url = f"redis://127.0.0.1:{free_port()}/0"
    settings = {"database_url": "postgresql://127.0.0.1/nothing", "redis_url": url, "secret": SECRET, "workers": "3"}
    said = await refusal(data_dir=str(tmp_path), port="0", **settings)

    assert "can't be used" in said


async def test_a_worker_that_dies_before_it_serves_is_not_started_again_and_again(tmp_path: Path) -> None:
    settings = {"database_url": "postgresql://127.0.0.1/nothing", "redis_url": "redis://127.0.0.1", "secret": SECRET}
    said = await refused_start("--workers", "2", data_dir=str(tmp_path), port="0", agent="stillborn:agent", **settings)

    died, ended = said.count("stillborn"), [json.loads(line) for line in said if line != "stillborn"]
    assert died in (1, 2)
    assert [(each["event"], each["status"]) for each in ended] == [("worker.ended", "7")]
