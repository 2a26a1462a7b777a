"""A run whose log is lost, on a real server, while it is in progress."""

from typing import Any

import pytest

from app.hosting.ending import LOST
from app.runlog.redis.log import RedisLog
from app.sessions.base import RunStatus
from tests.house import House
from tests.runlog.servers import prefix, valkey

__all__ = ["prefix", "valkey"]
pytestmark = pytest.mark.anyio


async def open_house_on(url: str, prefix: str, open_house: Any, puppet: Any, look_every: float) -> House:
    def lost(run_id: str) -> None:
        house.registry.lose(run_id)

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
    async with house.watch_run(run) as watch:
        seen = await watch.until("stream_delta")
        valkey.ask("DEL", f"{prefix}{{{run.id}}}")
        seen += await watch.rest()

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
