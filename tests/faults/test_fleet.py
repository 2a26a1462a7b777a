"""A process that is held up for longer than its lease is taken for dead, and is not when it wakes."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.gateway import Gateway, Launch, every_event, new_session, start
from tests.postgres import postgres_server
from tests.runlog.servers import VALKEY, KeyServer, start_server
from tests.watching import Item, rise, until, watch_ws

__all__ = ["start_server"]

pytestmark = pytest.mark.anyio

LONG = "/quiet /length 5000 /rate 50"
AT_MOST = 15.0
"""Seconds from the death of a process to the terminals of its runs (P7.1)."""

WAKES = ("run.lost", "run.ended_elsewhere", "runlog.taken", "storage.failed")
"""What a process may say that wakes up and finds the world without it."""

Pair = Callable[[str], tuple[Gateway, Gateway]]


@pytest.fixture
def pair(start_server: Callable[..., KeyServer], launch: Launch, tmp_path: Path) -> Pair:
    """Starts two gateways on a Valkey."""
    said = ("hosts.gone", "redis.disconnected", "lease.not_renewed", "sweep.failed")

    database = postgres_server().migrated()

    def pair_(url: str) -> tuple[Gateway, Gateway]:
        shared = {"database_url": database, "redis_url": url, "data_dir": str(tmp_path)}
        shared |= {"secret": "one secret of all the processes of a gateway"}
        host = launch(**shared, asked_for=(*said, *WAKES))
        return host, launch(**shared, asked_for=said)

    return pair_


@pytest.mark.slow
async def test_a_process_that_was_taken_for_dead_says_no_more_word_when_it_wakes(
    pair: Pair, start_server: Callable[..., KeyServer]
) -> None:
    host, other = pair(start_server(VALKEY, "--appendonly", "yes").url)
    async with host.client() as http, other.client() as elsewhere:
        session = await new_session(http)
        async with watch_ws(other, session) as viewer:
            run = await start(http, session, LONG)
            seen = await viewer.until_type("stream_delta")
            stopped = time.monotonic()
            host.signal(signal.SIGSTOP)
            try:
                seen += await viewer.until_terminal()
                took = time.monotonic() - stopped
                log = await every_event(elsewhere, session, run)
                after = await start(elsewhere, session, "/quiet /length 5")
            finally:
                os.kill(host.pid, signal.SIGCONT)
            seen += await viewer.until_terminal()
        await until(lambda: bool(host.said("run.lost") or host.said("run.ended_elsewhere")))
        logs = [await every_event(each, session, run) for each in (http, elsewhere)]
        rows = (await http.get(f"/sessions/{session}/runs")).json()["items"]

    assert took < AT_MOST
    assert Item.of(log[-1]).message["code"] == "run_interrupted"
    assert logs == [log, log]
    assert {row["id"]: row["status"] for row in rows} == {run: "interrupted", after: "completed"}
    assert rise(seen)
