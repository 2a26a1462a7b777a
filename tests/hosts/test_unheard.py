"""What a process was not told of: news are said once and may be lost, and nobody waits for them for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from app.errors import SessionNotFound
from app.hosting import sweeping
from app.runlog.redis.log import RedisLog
from tests.hosts.conftest import Town
from tests.hosts.test_two_hosts import until, until_subscribed
from tests.house import ME, House, Watch

pytestmark = pytest.mark.anyio

SERVERS = pytest.mark.parametrize("ground", ["postgresql and valkey"], indirect=True)


@pytest.fixture
def look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was not told is found out soon."""
    monkeypatch.setattr(sweeping, "LOOK", 0.2)


@pytest.fixture
def deafen(town: Town, look_often: None, monkeypatch: pytest.MonkeyPatch) -> Callable[[House], None]:
    """Have nothing reach a process any more that others publish: no news, no event."""

    def deafen_it(house: House) -> None:
        member: Any = town.fleets[town.houses.index(house)]._member
        monkeypatch.setattr(member, "hear", lambda *_: None)
        live = house.log._live
        if isinstance(live, RedisLog):
            for shard in live._shards:
                monkeypatch.setattr(shard.subscriber, "_heard", lambda *_: None)

    return deafen_it


async def is_sent_away(watch: Watch) -> list[dict[str, Any]]:
    """What else a viewer got, before it was told that its session is gone."""
    got = []
    try:
        while True:
            got.append(await watch.next())
    except SessionNotFound:
        return got


async def test_a_run_that_began_unheard_is_found(town: Town, deafen: Callable[[House], None]) -> None:
    here, there = await town.open(), await town.open()
    session = await here.session()
    async with there.watch(session) as watch:
        await watch.until("caught_up")
        await until_subscribed(town, session)
        deafen(there)
        for number in range(2):
            run = await here.start(session)
            town.agents[0].says(f"{number}")
            town.agents[0].returns()
            assert (await watch.until("stream_start"))[-1]["run_id"] == run.id
            assert (await watch.until("stream_end"))[-1]["content"] == f"{number}"


async def test_the_viewers_of_a_session_that_was_deleted_unheard_are_sent_away(
    town: Town, deafen: Callable[[House], None]
) -> None:
    here, there = await town.open(), await town.open()
    session = await here.session()
    async with there.watch(session) as watch:
        await watch.until("caught_up")
        await until_subscribed(town, session)
        deafen(there)
        await here.registry.delete_session(ME, session)
        assert await is_sent_away(watch) == []


@SERVERS
async def test_a_viewer_of_a_run_that_waits_is_sent_away_when_its_session_was_deleted_unheard(
    town: Town, deafen: Callable[[House], None]
) -> None:
    here, there = await town.open(), await town.open()
    session = await here.session()
    await here.start(session)
    waiting = await here.start(session, on_conflict="queue")
    async with there.watch_run(waiting) as watch:
        assert (await watch.next())["type"] == "caught_up"
        sending_away = asyncio.create_task(is_sent_away(watch))
        await until_subscribed(town, waiting.id)
        deafen(there)
        await here.rows.delete_session(ME, session, here.stores.clock())
        await here.rows.remove_session(session)  # as if its terminal had come and gone between two looks at its log
        assert await sending_away == []


@SERVERS
async def test_a_viewer_of_a_run_in_progress_is_sent_away_when_its_session_is_gone_with_its_log(
    town: Town, deafen: Callable[[House], None]
) -> None:
    here, there = await town.open(), await town.open()
    session = await here.session()
    run = await here.start(session)
    town.agents[0].says("Hello")
    async with there.watch_run(run) as watch:
        await watch.until("stream_delta")
        deafen(there)
        await here.rows.delete_session(ME, session, here.stores.clock())
        assert town.server is not None
        town.server.ask("DEL", f"{town.prefix}{{{run.id}}}")
        await here.rows.remove_session(session)
        kinds = [each["type"] for each in await is_sent_away(watch)]
        assert set(kinds) <= {"caught_up", "gap"}


async def test_a_deletion_that_goes_on_takes_the_terminal_from_no_viewer_who_looks_meanwhile(
    town: Town, look_often: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeping, "_ABANDONED", timedelta(hours=1))
    here, there = await town.open(), await town.open()
    session = await here.session()
    await here.start(session)
    async with there.watch(session) as watch:
        await watch.until("caught_up")
        await here.rows.delete_session(ME, session, here.stores.clock())
        await there.registry._audience.catch_up(session)
        await there.registry._audience.look()
        deleting = asyncio.create_task(here.registry._deletions.carry_out(session))
        assert [each["type"] for each in await is_sent_away(watch)] == ["stream_cancelled"]
        await deleting

    async def nothing_is_left() -> bool:
        return not await there.rows.latest_numbers([session])

    await until(nothing_is_left)
