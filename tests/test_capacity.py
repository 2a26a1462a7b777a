"""How many may watch and run at once (P6.6): refused where there is no room, counted right on every way out."""

import asyncio
import gc

import pytest

from app.capacity import Capacity, Seats
from app.errors import Crowded, RateLimited, RunActive, SessionNotFound
from app.hosting.conversation import NewMessage
from app.position import Position
from tests.conftest import OpenHouse
from tests.house import ME, House, Puppet

pytestmark = pytest.mark.anyio

YOU = "bob"


@pytest.fixture
async def house(open_house: OpenHouse, puppet: Puppet) -> House:
    capacity = Capacity(viewers=3, viewers_per_principal=2, runs=3, runs_per_principal=2)
    return await open_house(puppet, capacity=capacity)


def taken(house: House) -> int:
    return house.registry._audience.seats.taken


async def start(house: House, principal: str, session: str, **more: object) -> object:
    return (await house.registry.start(principal, session, NewMessage("Hello", **more))).run


# viewers


async def test_a_principal_has_only_so_many_viewers_and_others_have_theirs(house: House) -> None:
    session, other = await house.session(), await house.session(YOU)
    run = await house.start(session)
    async with house.watch(session), house.watch_run(run):
        with pytest.raises(RateLimited, match="you have 2"):
            await house.registry.follow_session(ME, session, None)
        with pytest.raises(RateLimited):
            await house.registry.follow_run(ME, session, run.id, None)
        with pytest.raises(RateLimited):
            await house.registry.read_log(ME, session, run.id, None, limit=10, wait=1)
        page = await house.registry.read_log(ME, session, run.id, None, limit=10, wait=0)
        viewer = await house.registry.follow_session(YOU, other, None)

        assert page.frames
        assert taken(house) == 3
        del viewer


async def test_a_process_has_only_so_many_viewers(house: House) -> None:
    mine, yours, theirs = await house.session(), await house.session(YOU), await house.session("eve")
    async with house.watch(mine), house.watch(mine), await house.registry.follow_session(YOU, yours, None):
        with pytest.raises(Crowded) as refusal:
            await house.registry.follow_session("eve", theirs, None)

    assert (refusal.value.status, refusal.value.close_code, refusal.value.code) == (503, 4429, "rate_limited")
    assert taken(house) == 0


async def test_a_stranger_takes_no_place(house: House) -> None:
    session = await house.session()
    for _ in range(5):
        with pytest.raises(SessionNotFound):
            await house.registry.follow_session(YOU, session, None)

    assert taken(house) == 0


async def test_every_way_out_gives_the_place_back(house: House, puppet: Puppet) -> None:
    session = await house.session()
    run = await house.start(session)
    async with house.watch_run(run) as watch:
        await watch.until("stream_start")
    with pytest.raises(ZeroDivisionError):
        async with house.watch_run(run):
            raise ZeroDivisionError
    stalled = asyncio.create_task(house.messages(run))
    poll = asyncio.create_task(house.registry.read_log(ME, session, run.id, None, limit=10, wait=10))
    await asyncio.sleep(0)
    stalled.cancel()
    poll.cancel()
    await asyncio.gather(stalled, poll, return_exceptions=True)
    dropped = await house.registry.follow_session(ME, session, None)
    assert taken(house) == 1
    del dropped
    gc.collect()
    assert taken(house) == 0

    puppet.returns()
    assert "stream_end" in {message["type"] for message in await house.messages(run)}
    end = Position(run.number, (await house.ended(run)).last_seq)
    assert await house.registry.follow_run(ME, session, run.id, end) is None
    assert taken(house) == 0


async def test_a_drain_gives_the_places_back(house: House) -> None:
    session = await house.session()
    run = await house.start(session)
    async with house.watch_run(run) as one, house.watch(session) as other:
        await one.until("caught_up")
        await other.until("caught_up")
        assert taken(house) == 2
        house.registry.drain()

    assert taken(house) == 0


def test_a_seat_is_left_once() -> None:
    seats = Seats(Capacity())
    first, second = seats.take(ME), seats.take(ME)
    first.leave()
    first.leave()
    assert seats.taken == 1
    with second:
        pass
    assert seats.taken == 0
    assert not seats._by_principal


# runs


async def test_a_principal_has_only_so_many_runs_and_others_have_theirs(house: House) -> None:
    first, second, third = [await house.session() for _ in range(3)]
    runs = [await start(house, ME, first), await start(house, ME, second)]
    with pytest.raises(RateLimited, match="you have 2 runs"):
        await start(house, ME, third)
    await start(house, YOU, await house.session(YOU))
    with pytest.raises(RateLimited, match="this server"):
        await start(house, "eve", await house.session("eve"))

    await house.registry.cancel(ME, first)
    await house.ended(runs[0])
    assert await start(house, ME, third)


async def test_a_session_with_a_run_needs_no_more_room(house: House) -> None:
    sessions = [await house.session() for _ in range(2)]
    for session in sessions:
        await start(house, ME, session)

    with pytest.raises(RunActive):
        await start(house, ME, sessions[0])
    for on_conflict in ("queue", "queue", "interrupt"):
        assert await start(house, ME, sessions[0], on_conflict=on_conflict)


async def test_of_many_at_once_only_as_many_as_there_is_room_for_begin(house: House) -> None:
    sessions = [await house.session() for _ in range(10)]
    outcomes = await asyncio.gather(*(start(house, ME, session) for session in sessions), return_exceptions=True)

    assert sum(isinstance(outcome, RateLimited) for outcome in outcomes) == 8
    assert len(house.registry._hosting.sessions()) == 2
    assert not house.registry._places._starting
