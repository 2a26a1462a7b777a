"""A run whose log is lost, on a real server, while it is in progress."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from structlog.testing import capture_logs

from app.hosting.ending import INTERRUPTED, LOST
from app.runlog.archive import encode_archive
from app.runlog.codec import encode_event
from app.runlog.redis.log import RedisLog
from app.sessions.base import Outcome, RunStatus
from tests.house import PATIENCE, House
from tests.runlog.servers import prefix, valkey

__all__ = ["prefix", "valkey"]
pytestmark = pytest.mark.anyio


async def open_house_on(url: str, prefix: str, open_house: Any, puppet: Any, look_every: float) -> House:
    def lost(*what: Any) -> None:
        house.registry.lose(*what)

    live = await RedisLog.open(url, prefix=prefix, look_every=look_every, lost=lost)
    house: House = await open_house(puppet, live=live)
    return house


async def test_a_run_whose_agent_is_silent_ends_soon_and_its_viewer_sees_no_hole(
    valkey, prefix, open_house, puppet
) -> None:
    house = await open_house_on(valkey.url, prefix, open_house, puppet, 0.05)
    session = await house.session()
    run = await house.start(session)
    puppet.says("Hello")
    with capture_logs() as said:
        async with house.watch_run(run) as watch:
            seen = await watch.until("stream_delta")
            valkey.ask("DEL", f"{prefix}{{{run.id}}}")
            seen += await watch.rest()

    (loss,) = [line for line in said if line["event"] == "runlog.lost"]
    assert (loss["log_level"], loss["run_id"], loss["had"], loss["has"]) == ("error", run.id, 3, 0)
    ids = [int(message["id"].split("-")[1]) for message in seen if "id" in message]
    assert seen[-1]["type"] == "error"
    assert (seen[-1]["code"], seen[-1]["message"]) == (LOST.code, LOST.message)
    assert ids == sorted(set(ids))
    ended = await house.ended(run)
    assert ended.status is RunStatus.FAILED
    # This process had all of it in memory still, and so it is all in the archive.
    again = await house.messages(run)
    assert [message for message in again if message["type"] != "caught_up"] == [
        message for message in seen if message["type"] != "caught_up"
    ]
    puppet.returns()


async def test_a_run_that_another_process_has_ended_and_put_away_is_not_called_lost(
    valkey, prefix, open_house, puppet
) -> None:
    house = await open_house_on(valkey.url, prefix, open_house, puppet, 0.05)
    session = await house.session()
    run = await house.start(session)
    puppet.says("Hello")
    with capture_logs() as said:
        async with house.watch_run(run) as watch:
            await watch.until("stream_delta")
            closed = [*await house.events(run), INTERRUPTED]
            outcome = Outcome(RunStatus.INTERRUPTED, encode_event(INTERRUPTED), len(closed), "Hello", datetime.now(UTC))
            await house.rows.finish_run(run.id, outcome)
            await house.rows.put_archive(run.id, encode_archive(closed))
            valkey.ask("DEL", f"{prefix}{{{run.id}}}")  # and nobody hears of it
            assert (await watch.rest())[-1]["code"] == INTERRUPTED.code
        async with asyncio.timeout(PATIENCE):
            await puppet.left.wait()
        assert (await house.ended(run)).status is RunStatus.INTERRUPTED

    events = [line["event"] for line in said]
    assert "run.ended_elsewhere" in events
    assert "runlog.lost" not in events


async def test_a_run_whose_agent_speaks_on_ends_with_what_was_not_stored_yet(
    valkey, prefix, open_house, puppet
) -> None:
    house = await open_house_on(valkey.url, prefix, open_house, puppet, 60)
    session = await house.session()
    run = await house.start(session)
    puppet.says("Hello")
    async with house.watch_run(run) as watch:
        await watch.until("stream_delta")
        valkey.ask("DEL", f"{prefix}{{{run.id}}}")
        puppet.says(" world")
        rest = await watch.rest()

    assert [message["delta"] for message in rest if message["type"] == "stream_delta"] == [" world"]
    assert rest[-1]["code"] == LOST.code
    async with house.watch(await house.session()) as other:
        assert (await other.next())["type"] == "caught_up"
    await house.start(session)


async def test_an_end_that_is_lost_before_it_is_put_away_is_given_once_more(
    valkey, prefix, open_house, puppet, monkeypatch
) -> None:
    house = await open_house_on(valkey.url, prefix, open_house, puppet, 0.05)
    archive = house.log.archive

    async def lose_and_archive(run_id: str) -> None:
        monkeypatch.setattr(house.log, "archive", archive)
        await asyncio.to_thread(valkey.ask, "DEL", f"{prefix}{{{run_id}}}")
        house.log.release(run_id)  # what is in memory could be put away as it is
        await archive(run_id)

    monkeypatch.setattr(house.log, "archive", lose_and_archive)
    session = await house.session()
    run = await house.start(session)
    puppet.says("Hello")
    puppet.returns()
    ended = await house.ended(run)
    assert (ended.status, ended.output) == (RunStatus.COMPLETED, "Hello")
    again = await house.messages(run)
    assert [(each["type"], each.get("content")) for each in again if "id" in each] == [
        ("stream_start", None),
        ("stream_end", "Hello"),
    ]
    gap, *rest = await house.messages(run, "1-3")
    assert (gap["type"], [each["type"] for each in rest]) == ("gap", ["stream_start", "stream_end", "caught_up"])
