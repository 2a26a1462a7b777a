"""Two gateways spread their runs over two Valkeys: one that dies holds up its own runs, and no other."""

import asyncio
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
from tests.runlog.servers import VALKEY, KeyServer, start_server
from tests.watching import Item, Watch, text_of, watch_ws

__all__ = ["start_server"]

pytestmark = pytest.mark.anyio

EXPECTED = ("redis.disconnected", "storage.failed", "stores.not_ready")


@frozen
class Town:
    """Where runs may be, and the processes that execute and show them."""

    lasting: KeyServer
    dying: KeyServer
    one: Gateway
    other: Gateway


@pytest.fixture
def town(start_server: Callable[..., KeyServer], launch: Launch, tmp_path: Path) -> Town:
    lasting, dying = (start_server(VALKEY, "--appendonly", "yes") for _ in range(2))
    shared = SHARED | {"database_url": postgres_server().migrated(), "data_dir": str(tmp_path)}
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


async def test_runs_on_the_other_valkey_go_on_and_those_on_the_dead_one_end_once_it_is_back(town: Town) -> None:
    async with town.one.client() as http, town.other.client() as elsewhere, AsyncExitStack() as stack:
        unharmed, ahead = await Asking.on(town.lasting, town, stack)
        held, behind = await Asking.on(town.dying, town, stack)
        await asyncio.to_thread(town.dying.kill)
        await unharmed.approve(elsewhere)
        assert (await ahead.until_terminal())[-1].type == "stream_end"
        assert (await elsewhere.get("/health/ready")).json()["code"] == "not_ready"

        await asyncio.to_thread(town.dying.start)
        await held.approve(elsewhere)
        seen = held.seen + await behind.until_terminal()
        assert seen[-1].type == "stream_end"
        assert text_of(seen) == seen[-1].message["content"]
        for each in (unharmed, held):
            assert await every_event(http, each.session, each.run) == await every_event(
                elsewhere, each.session, each.run
            )
