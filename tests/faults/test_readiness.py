"""What health checks are told while the disk fails, or does not answer: soon, and true again once it is over."""

import asyncio
import contextlib
import fcntl
import json
import resource
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.gateway import Gateway, Launch, every_event, log_of, new_session, start
from tests.watching import PATIENCE, watch_ws

pytestmark = pytest.mark.anyio

READ_MARKS = (123, 5)
"""Where readers of a SQLite file in WAL mode take their locks: the first byte in its `-shm`, and how many."""

ASKED_FOR = ("storage.failed", "stores.not_ready")

IN_TIME = 2.0
"""Seconds within which the answer has to come, besides what the machine takes for it."""


@contextlib.contextmanager
def events_locked(folder: Path) -> Iterator[None]:
    """Somebody else's transaction: whoever writes events waits."""
    with contextlib.closing(sqlite3.connect(folder / "events.sqlite3", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


@contextlib.contextmanager
def sessions_locked(folder: Path) -> Iterator[None]:
    """Nobody gets to read sessions: SQLite tries for ten seconds."""
    first, count = READ_MARKS
    with (folder / "sessions.sqlite3-shm").open("r+b") as shared:
        fcntl.lockf(shared, fcntl.LOCK_EX, count, first)
        yield


def told(gateway: Gateway) -> Counter[str]:
    """How often the log speaks of the stores' readiness."""
    events = [json.loads(line)["event"] for line in gateway.stderr.splitlines()]
    return Counter(event for event in events if event.startswith("stores."))


async def becomes_ready(http: httpx.AsyncClient) -> None:
    async with asyncio.timeout(PATIENCE):
        while (await http.get("/health/ready")).status_code != 200:
            pass


@pytest.mark.parametrize("locked", [events_locked, sessions_locked])
async def test_a_store_that_hangs_is_not_ready_and_nobody_waits_for_it(
    launch: Launch, locked: Callable[[Path], contextlib.AbstractContextManager[None]]
) -> None:
    gateway = launch(asked_for=ASKED_FOR)
    async with gateway.client() as http:
        with locked(gateway.data_dir):
            began = time.monotonic()
            answers = await asyncio.gather(*(http.get("/health/ready") for _ in range(20)))
            took = time.monotonic() - began
            alive = await http.get("/health/live")
        await becomes_ready(http)

    assert took < IN_TIME + 1
    assert [answer.status_code for answer in answers] == [503] * 20
    assert {answer.json()["code"] for answer in answers} == {"not_ready"}
    assert alive.json() == {"status": "ok"}
    assert told(gateway) == {"stores.not_ready": 1, "stores.ready_again": 1}


async def test_a_disk_that_refuses_writes_is_not_ready_until_it_takes_them_again(launch: Launch) -> None:
    gateway = launch(asked_for=ASKED_FOR)
    async with gateway.client() as http:
        session = await new_session(http)
        await log_of(http, session, await start(http, session, "/quiet /length 8 /rate 0"))
        unlimited = resource.prlimit(gateway.pid, resource.RLIMIT_FSIZE)
        async with watch_ws(gateway, session) as viewer:
            run = await start(http, session, "/quiet /length 60 /rate 50")
            await viewer.until_type("stream_delta")
            full = (gateway.data_dir / "events.sqlite3-wal").stat().st_size
            resource.prlimit(gateway.pid, resource.RLIMIT_FSIZE, (full, unlimited[1]))
            async with asyncio.timeout(PATIENCE):
                while (refused := await http.get("/health/ready")).status_code == 200:
                    pass
            alive = await http.get("/health/live")
            resource.prlimit(gateway.pid, resource.RLIMIT_FSIZE, unlimited)
            await viewer.until_terminal()
        ready = await http.get("/health/ready")
        log = await every_event(http, session, run)

    assert (refused.status_code, refused.json()["code"]) == (503, "not_ready")
    assert refused.headers["retry-after"]
    assert alive.status_code == ready.status_code == 200
    assert '"stream_end"' in log[-1]
    assert told(gateway) == {"stores.not_ready": 1, "stores.ready_again": 1}
