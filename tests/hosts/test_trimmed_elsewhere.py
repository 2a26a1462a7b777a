"""What one process trims or deletes is told by none any more, whatever it has in memory (P3.6)."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.errors import RunNotFound, SessionNotFound
from app.position import Position
from app.retention import Retention
from app.sessions.base import Run
from tests.hosts.conftest import Town
from tests.hosts.test_two_hosts import until
from tests.house import ME, House

pytestmark = pytest.mark.anyio


async def trim(house: House) -> None:
    """Sweep as it would be done in two days, if one is kept."""
    later = datetime.now(UTC) + timedelta(days=2)
    await Retention(house.stores, house.uploads, 1.0, lambda: later).sweep()


async def performed(town: Town, house: House, session: str) -> Run:
    """A run that has ended, in this process, and is archived."""
    run = await house.start(session)
    agent = town.agents[town.houses.index(house)]
    agent.says("a", "b")
    agent.returns()
    run = await house.ended(run)

    async def archived() -> bool:
        return not await house.rows.awaits_archive(run.id)

    await until(archived)
    return run


def kinds(messages: Iterable[dict[str, Any]]) -> list[str]:
    return [message["type"] for message in messages if message["type"] != "caught_up"]


async def read_along(house: House, session: str, after: str = "0") -> list[dict[str, Any]]:
    async with house.watch(session, after) as watch:
        return await watch.until("caught_up")


async def test_a_run_that_another_process_trims_is_a_gap_at_every_door(town: Town) -> None:
    here, there = await town.open(), await town.open()
    session = await here.session()
    run = await performed(town, here, session)
    whole = await there.messages(run)
    assert kinds(whole)[0] == "stream_start"

    await trim(here)

    for house in (here, there):
        gap, *rest = await house.messages(run)
        assert (gap["type"], gap["earliest"], kinds(rest)) == ("gap", f"1-{run.last_seq}", ["stream_end"])
        part = await house.registry.read_log(ME, session, run.id, Position(1, 0), limit=100, wait=0)
        assert kinds(json.loads(frame.json) for frame in part.frames) == ["gap", "stream_end"]
        assert kinds(await read_along(house, session)) == ["gap", "stream_end"]
        assert await house.registry.follow_run(ME, session, run.id, Position(1, run.last_seq)) is None


async def test_whoever_follows_a_session_of_many_runs_gets_one_gap_to_where_it_is_whole(town: Town) -> None:
    here, there = await town.open(), await town.open()
    session = await here.session()
    old = [await performed(town, here, session) for _ in range(4)]
    assert kinds(await read_along(there, session)).count("stream_start") == len(old)

    await trim(here)
    kept = [await performed(town, house, session) for house in (here, there)]

    last = f"{len(old)}-{old[-1].last_seq}"
    gap, *rest = await read_along(there, session)
    assert (gap["type"], gap["requested"], gap["earliest"]) == ("gap", "0-0", last)
    assert kinds(rest) == ["stream_end", *["stream_start", "stream_delta", "stream_delta", "stream_end"] * len(kept)]
    assert kinds(await read_along(there, session, last))[0] == "stream_start"


async def test_a_viewer_that_is_on_its_way_through_a_session_hears_of_a_trim_with_the_next_news(town: Town) -> None:
    here, there = await town.open(), await town.open()
    session = await here.session()
    old = [await performed(town, here, session) for _ in range(4)]
    await read_along(there, session)
    async with there.watch(session, "0") as watch:
        first = await watch.until("stream_end")
        await trim(here)
        await there.registry._audience.catch_up(session)  # as any news of the session has it done
        rest = await watch.until("caught_up")
    assert kinds(first)[0] == "stream_start"
    assert kinds(rest) == ["gap", "stream_end"] * (len(old) - 1)


async def test_a_session_that_another_process_deletes_is_found_at_no_door(town: Town) -> None:
    here, there = await town.open(), await town.open()
    session = await here.session()
    run = await performed(town, here, session)
    assert kinds(await there.messages(run))
    assert kinds(await read_along(there, session))

    await here.registry.delete_session(ME, session)

    start = Position(1, 0)
    for house in (here, there):
        with pytest.raises(SessionNotFound):
            await house.registry.follow_session(ME, session, start)
        with pytest.raises(SessionNotFound):
            await house.registry.follow_run(ME, session, run.id, start)
        with pytest.raises((SessionNotFound, RunNotFound)):
            await house.registry.read_log(ME, session, run.id, start, limit=100, wait=0)
        assert await house.log.runs() == []
