"""Processes that meet in a Valkey server, whatever happens to that."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from app.errors import ConfigurationError, NoAnswer, StoreUnavailable
from app.hosts.base import Cancel, News, Order
from app.hosts.redis import RedisFleet, open_fleet
from app.runlog.redis.following import Following
from app.sessions.base import RunStatus
from app.viewing.audience import Audience
from tests.hosts.conftest import LEASE, Town
from tests.hosts.test_two_hosts import until_subscribed
from tests.house import ME, PATIENCE
from tests.runlog.servers import DURABLE, VALKEY, KeyServer, free_port
from tests.sessions.opening import STORES

pytestmark = pytest.mark.anyio


@pytest.fixture
def server(start_server: Callable[..., KeyServer]) -> KeyServer:
    """A server that a test may do anything to; it keeps what it has."""
    return start_server(VALKEY, *DURABLE)


@pytest.fixture
async def town(server: KeyServer, tmp_path: Path, quick: None, anyio_backend: str) -> AsyncIterator[Town]:
    town = Town(tmp_path, STORES["sqlite"](tmp_path), server, "t:")
    yield town
    await town.close_all()


class Deaf:
    """A member that nobody tells anything."""

    async def obey(self, order: Order) -> None:
        raise AssertionError(order)

    def hear(self, session_id: str, news: News) -> None:
        """What was missed, at most."""


async def pause(server: KeyServer) -> None:
    server.pause()
    await asyncio.sleep(2 * LEASE)  # nothing tells of time that passes without the server
    server.resume()


async def cut(server: KeyServer) -> None:
    for kind in ("pubsub", "normal"):
        server.ask("CLIENT", "KILL", "TYPE", kind)


async def restart(server: KeyServer) -> None:
    await asyncio.to_thread(server.kill)
    await asyncio.sleep(2 * LEASE)
    await asyncio.to_thread(server.start)


@pytest.mark.parametrize("happening", [pause, cut, restart])
async def test_what_happens_to_the_server_costs_no_run_and_no_viewer(town: Town, server: KeyServer, happening) -> None:
    here, there = await town.open(), await town.open()
    session = await here.session()
    run = await here.start(session)
    async with there.watch(session) as watch:
        town.agents[0].says("before")
        await watch.until("stream_delta")
        await happening(server)
        town.agents[0].says("after")
        assert (await watch.until("stream_delta"))[-1]["delta"] == "after"
        await there.registry.cancel(ME, session)
        assert (await watch.until("stream_cancelled"))[-1]["content"] == "beforeafter"
        second = await here.start(session)
        assert (await watch.until("stream_start"))[-1]["run_id"] == second.id
    assert (await there.registry.run(ME, session, run.id)).status is RunStatus.CANCELLED


async def test_a_viewer_hears_of_what_began_while_nobody_could_be_told(town: Town, server: KeyServer) -> None:
    here, there = await town.open(), await town.open()
    session = await here.session()
    async with there.watch(session) as watch:
        await watch.until("caught_up")
        await asyncio.to_thread(server.kill)
        run = await here.start(session)
        await asyncio.to_thread(server.start)
        assert (await watch.until("stream_start"))[-1]["run_id"] == run.id


class Held:
    """A server that holds those up who want to hear of it, until it is let go.

    Attributes:
        reached: somebody is held up.
    """

    def __init__(self, server: Any) -> None:
        self.name = server.name
        self.reached, self.let_go = asyncio.Event(), asyncio.Event()
        self._server = server

    async def connect(self) -> Any:
        self.reached.set()
        await self.let_go.wait()
        return await self._server.connect()


@pytest.fixture
def nobody_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """What news do not tell is not found out otherwise."""
    monkeypatch.setattr(Audience, "look", never)


async def never(_: Audience) -> None:
    """Find out nothing."""


@pytest.mark.usefixtures("nobody_looks")
async def test_a_run_that_begins_before_a_first_subscription_holds_is_found_once_it_does(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = await town.open(), await town.open()
    session = await here.session()
    fleet = town.fleets[1]
    assert isinstance(fleet, RedisFleet)
    assert fleet._subscriber is not None
    subscribe, let_go = fleet._subscriber.subscribe, asyncio.Event()

    async def subscribe_late(channel: str) -> None:
        await let_go.wait()
        await subscribe(channel)

    monkeypatch.setattr(fleet._subscriber, "subscribe", subscribe_late)
    async with there.watch(session) as watch:
        await watch.until("caught_up")  # it has read the rows
        run = await here.start(session)
        assert not await town.fleets[0].viewed_elsewhere(session)
        let_go.set()
        assert (await watch.until("stream_start"))[-1]["run_id"] == run.id


@pytest.mark.usefixtures("nobody_looks")
async def test_a_run_that_begins_before_a_lost_subscription_is_back_is_found_once_it_is(
    town: Town, server: KeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = await town.open(), await town.open()
    session = await here.session()
    fleet = town.fleets[1]
    assert isinstance(fleet, RedisFleet)
    async with there.watch(session) as watch:
        await watch.until("caught_up")
        await until_subscribed(town, session)
        held = Held(fleet._server)
        monkeypatch.setattr(fleet._subscriber, "_server", held)
        server.ask("CLIENT", "KILL", "TYPE", "pubsub")
        async with asyncio.timeout(PATIENCE):
            await held.reached.wait()
        run = await here.start(session)
        assert not await town.fleets[0].viewed_elsewhere(session)
        held.let_go.set()
        assert (await watch.until("stream_start"))[-1]["run_id"] == run.id


async def test_a_server_that_was_emptied_makes_nobody_dead(town: Town, server: KeyServer) -> None:
    here, there = await town.open(), await town.open()
    run = await here.start(await here.session())
    server.ask("FLUSHALL")
    assert await town.fleets[1].gone([run.host]) == frozenset()
    assert await there.registry.sweep.gone() == frozenset()


async def test_who_has_seen_more_elsewhere_than_is_known_here_yet_misses_nothing(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = await town.open(), await town.open()
    session = await here.session()
    run = await here.start(session)
    async with here.watch(session) as ahead, there.watch(session) as behind:
        town.agents[0].says("one ")
        for each in (ahead, behind):
            await each.until("stream_delta")
        with monkeypatch.context() as deaf:
            deaf.setattr(Following, "hear", lambda *_: None)
            deaf.setattr(Following, "_look_everywhere", lambda *_: None)
            town.agents[0].says("two ")
            last = (await ahead.until("stream_delta"))[-1]["id"]
            async with there.watch(session, last) as again, there.watch_run(run, last) as of_run:
                for each in (again, of_run):
                    assert await each.next() == {"type": "caught_up", "position": last}
        town.agents[0].says("three")
        assert (await behind.until("stream_delta"))[-1]["delta"].startswith("two ")


async def test_a_log_that_is_lost_with_its_host_is_a_gap_and_then_the_terminal_of_that(
    town: Town, server: KeyServer
) -> None:
    here, there = await town.open(), await town.open()
    session = await here.session()
    run = await here.start(session)
    async with there.watch(session) as watch, there.watch_run(run) as of_run:
        town.agents[0].says("lost ", "and gone")
        for each in (watch, of_run):
            await each.until("stream_delta")
        await town.kill(here)
        server.ask("FLUSHALL")
        told = [await watch.until("error"), await of_run.rest()]
        second = await there.start(session)
        assert (await watch.until("stream_start"))[-1]["run_id"] == second.id
    for messages in told:
        kinds = [message["type"] for message in messages if message["type"] not in ("stream_delta", "caught_up")]
        assert kinds == ["gap", "stream_start", "error"]
        assert messages[-1]["code"] == "run_interrupted"


async def test_who_leaves_is_missing_at_once_and_who_dies_after_its_lease(town: Town) -> None:
    here, there, third = await town.open(), await town.open(), await town.open()
    names = [fleet.name for fleet in town.fleets]
    await town.fleets[0].close()
    assert await town.fleets[1].gone(names) == {names[0]}
    await town.kill(third)
    async with asyncio.timeout(PATIENCE):
        while await town.fleets[1].gone(names) != {names[0], names[2]}:  # noqa: ASYNC110 - a key that expires
            await asyncio.sleep(0.01)
    assert here.registry is not there.registry


async def test_an_order_to_nobody_has_no_answer(town: Town) -> None:
    await town.open()
    with pytest.raises(NoAnswer):
        await town.fleets[0].ask("nobody", Cancel("run", "because"))


async def test_a_process_whose_server_is_away_for_longer_than_its_lease_is_not_ready(
    town: Town, server: KeyServer
) -> None:
    await town.open()
    fleet = town.fleets[0]
    await fleet.check()
    await asyncio.to_thread(server.kill)

    async def until_it_fails() -> None:
        while True:
            await fleet.check()
            await asyncio.sleep(0.01)

    with pytest.raises(StoreUnavailable):
        await asyncio.wait_for(until_it_fails(), PATIENCE)
    await asyncio.to_thread(server.start)

    async def until_it_is_back() -> None:
        while True:
            try:
                return await fleet.check()
            except StoreUnavailable:
                await asyncio.sleep(0.01)

    await asyncio.wait_for(until_it_is_back(), PATIENCE)


async def test_a_server_that_is_not_there_is_not_joined() -> None:
    with pytest.raises(StoreUnavailable):
        await open_fleet(f"redis://127.0.0.1:{free_port()}/0")
    with pytest.raises(ConfigurationError):
        await open_fleet("http://nothing")


async def test_a_server_that_is_full_takes_signs_of_life_still(server: KeyServer) -> None:
    fleet = await open_fleet(server.url, prefix="t:")
    server.ask("CONFIG", "SET", "maxmemory", "1")
    server.ask("DEL", f"t:host:{fleet.name}")
    assert await fleet.gone({fleet.name}) == {fleet.name}
    await fleet.sign()
    assert await fleet.gone({fleet.name}) == frozenset()
    await fleet.close()


async def test_who_meets_at_a_server_has_that_in_common_even_when_the_server_forgets_it(server: KeyServer) -> None:
    one, other = await open_fleet(server.url, prefix="t:"), await open_fleet(server.url, prefix="t:")
    elsewhere = await open_fleet(server.url, prefix="u:")
    assert one.meeting == other.meeting != elsewhere.meeting
    server.ask("FLUSHALL")
    newcomer = await open_fleet(server.url, prefix="t:")
    await one.sign()
    late = await open_fleet(server.url, prefix="t:")
    assert newcomer.meeting != one.meeting == late.meeting
    for fleet in (one, other, elsewhere, newcomer, late):
        await fleet.close()


async def test_what_is_viewed_for_a_moment_is_heard_of_no_longer(server: KeyServer) -> None:
    one, other = await open_fleet(server.url, prefix="t:"), await open_fleet(server.url, prefix="t:")
    one.join(Deaf())
    for viewers in (1, 0, 1, 0):
        one.viewed("a moment", viewers)
    one.viewed("for long", 1)

    async def until_it_is_heard_of() -> None:
        while not await other.viewed_elsewhere("for long"):  # noqa: ASYNC110 - it is the server that comes to know
            await asyncio.sleep(0.01)

    await asyncio.wait_for(until_it_is_heard_of(), PATIENCE)
    assert not await other.viewed_elsewhere("a moment")
    for fleet in (one, other):
        await fleet.close()
