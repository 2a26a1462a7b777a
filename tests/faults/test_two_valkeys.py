"""Two gateways spread their runs over two Valkeys: one that dies holds up its own runs, and no other."""

import asyncio
import signal
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Self

import httpx
import pytest
from attrs import frozen

from tests.faults.test_several_processes import SHARED
from tests.gateway import Gateway, Launch, every_event, new_session, start
from tests.postgres import postgres_server
from tests.runlog.servers import DURABLE, VALKEY, KeyServer, start_server
from tests.watching import Item, Watch, text_of, watch_ws

__all__ = ["start_server"]

pytestmark = pytest.mark.anyio

DRAIN = 1.0
"""Seconds that runs have to end at SIGTERM."""

EXPECTED = ("redis.disconnected", "storage.failed", "stores.not_ready", "hosts.gone")


@frozen
class Town:
    """Where runs may be, and the processes that execute and show them."""

    lasting: KeyServer
    dying: KeyServer
    one: Gateway
    other: Gateway


@pytest.fixture
def town(start_server: Callable[..., KeyServer], launch: Launch, tmp_path: Path) -> Town:
    lasting, dying = (start_server(VALKEY, *DURABLE) for _ in range(2))
    shared = SHARED | {"database_url": postgres_server().migrated(), "data_dir": str(tmp_path)}
    shared |= {"drain_timeout": str(DRAIN)}
    shared["redis_url"] = f"{lasting.url},{dying.url}"
    one, other = (launch(**shared, asked_for=EXPECTED) for _ in range(2))
    return Town(lasting, dying, one, other)


@frozen
class Asking:
    """A run that goes on once a call is approved.

    Attributes:
        seen: what it has said until now.
    """

    session: str
    run: str
    call: str
    seen: list[Item]

    @classmethod
    async def on(cls, keys: KeyServer, town: Town, stack: AsyncExitStack) -> tuple[Self, Watch]:
        """One whose events are on this server, executed at one process, and a viewer of it at the other."""
        async with town.one.client() as http:
            for _ in range(40):
                session = await new_session(http)
                viewer = await stack.enter_async_context(watch_ws(town.other, session))
                await viewer.until_type("caught_up")
                run = await start(http, session, "/quiet /approve /length 40 /rate 400")
                seen = await viewer.until_type("approval_requested")
                if keys.ask("EXISTS", f"runcast:{{{run}}}") == b":1\r\n":
                    return cls(session, run, seen[-1].message["call_id"], seen), viewer
                await http.delete(f"/sessions/{session}")
        raise AssertionError("no run is on this server")

    async def approve(self, http: httpx.AsyncClient) -> None:
        answer = f"/sessions/{self.session}/runs/{self.run}/approvals/{self.call}"
        assert (await http.post(answer, json={"approved": True})).status_code == 202


@pytest.mark.slow
async def test_runs_on_the_other_valkey_go_on_and_those_on_the_dead_one_end_once_it_is_back(town: Town) -> None:
    async with town.one.client() as http, town.other.client() as elsewhere, AsyncExitStack() as stack:
        unharmed, ahead = await Asking.on(town.lasting, town, stack)
        held, behind = await Asking.on(town.dying, town, stack)
        await asyncio.to_thread(town.dying.kill)
        await unharmed.approve(elsewhere)
        assert (await ahead.until_terminal())[-1].type == "stream_end"
        for gateway in (http, elsewhere):
            assert (await gateway.get("/health/ready")).status_code == 200
            for _ in range(5):  # none of which is to be on the dead one
                await completes(gateway)

        await asyncio.to_thread(town.dying.start)
        await held.approve(elsewhere)
        seen = held.seen + await behind.until_terminal()
        assert seen[-1].type == "stream_end"
        assert text_of(seen) == seen[-1].message["content"]
        for each in (unharmed, held):
            assert await every_event(http, each.session, each.run) == await every_event(
                elsewhere, each.session, each.run
            )


async def completes(http: httpx.AsyncClient) -> None:
    session = await new_session(http)
    run = await start(http, session, "/quiet /length 2 /rate 0")
    assert '"stream_end"' in (await every_event(http, session, run))[-1]


@pytest.mark.slow
async def test_who_is_told_to_go_does_not_wait_for_a_valkey_that_is_away(town: Town) -> None:
    async with AsyncExitStack() as stack:
        held, viewer = await Asking.on(town.dying, town, stack)
        await asyncio.to_thread(town.dying.kill)
        began = time.monotonic()
        assert await asyncio.to_thread(town.one.stop) == -signal.SIGTERM
        took = time.monotonic() - began
        await asyncio.to_thread(town.dying.start)
        seen = held.seen + await viewer.until_terminal()

    assert took < DRAIN + 8
    assert seen[-1].message["code"] == "run_interrupted"
