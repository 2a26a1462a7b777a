"""Runs that take too long, say nothing, or say too much (P6.6, P7.1)."""

import asyncio

import pytest
from structlog.testing import capture_logs

from app.agents.base import Approval, Turn
from app.errors import StoreUnavailable
from app.events import (
    ApprovalRequested,
    RunFailed,
    StreamEnd,
    TextDelta,
    ThinkingDelta,
    ToolEvent,
    ToolStarted,
    TurnThinking,
)
from app.hosting.limits import Allowance, RunLimits
from app.runlog.codec import encode_event
from app.sessions.base import RunStatus
from tests.house import ME

pytestmark = pytest.mark.anyio


async def silent(turn: Turn):
    yield "so far"
    await asyncio.Event().wait()


async def chatty(turn: Turn):
    while True:
        yield "."
        await asyncio.sleep(0)


async def perform(house):
    run = await house.ended(await house.start(await house.session()))
    return run, (await house.events(run))[-1]


async def test_a_run_that_takes_too_long_is_ended(open_house):
    house = await open_house(chatty, deadline=0.5, idle=0)
    run, end = await perform(house)
    assert end == RunFailed("deadline_exceeded", "the run took longer than 0.5 seconds")
    assert (run.status, run.error.code, set(run.output)) == (RunStatus.FAILED, "deadline_exceeded", {"."})


async def test_a_run_whose_agent_says_nothing_is_ended(open_house):
    house = await open_house(silent, idle=0.5)
    run, end = await perform(house)
    assert end == RunFailed("agent_idle", "the agent said nothing for 0.5 seconds")
    assert (run.status, run.output) == (RunStatus.FAILED, "so far")


async def test_an_agent_that_swallows_its_cancellation_is_ended_all_the_same(open_house, monkeypatch):
    monkeypatch.setattr("app.hosting.run._STOP_GRACE", 0.01)
    release = asyncio.Event()

    async def agent(turn: Turn):
        yield "a"
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                yield "no"

    house = await open_house(agent, deadline=0.05)
    assert (await perform(house))[1].code == "deadline_exceeded"
    release.set()


async def test_who_talks_is_not_idle(open_house):
    said = 0

    async def agent(turn: Turn):
        nonlocal said
        clock = asyncio.get_running_loop().time
        began = clock()
        while clock() - began < 0.4:
            yield "."
            said += 1
            await asyncio.sleep(0)

    house = await open_house(agent, idle=0.2)
    _, end = await perform(house)
    assert end == StreamEnd("." * said)


async def test_waiting_for_a_persons_answer_is_not_being_idle(open_house):
    async def agent(turn: Turn):
        await turn.approve("rm")
        yield "done"

    house = await open_house(agent, idle=0.3)
    run = await house.start(await house.session())
    async with house.watch_run(run) as watch:
        question = (await watch.until("approval_requested"))[-1]
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.8):
                await watch.until("error")
    assert run.id in house.registry._hosting._hosted
    await house.registry.approve(ME, run.session_id, question["call_id"], Approval(approved=True))
    assert (await house.ended(run)).status == RunStatus.COMPLETED


async def test_waiting_for_storage_is_not_being_idle(open_house, puppet):
    house = await open_house(puppet, idle=0.1)
    append, tries = house.log.append, 0

    async def append_later(*args, **kwargs):
        nonlocal tries
        tries += 1
        if tries < 3:
            raise StoreUnavailable("full")
        await append(*args, **kwargs)

    house.log.append = append_later
    puppet.says("a")
    puppet.returns()
    with capture_logs():
        _, end = await perform(house)
    assert end == StreamEnd("a")


async def test_limits_of_zero_are_none(open_house):
    house = await open_house(silent, deadline=0, idle=0)
    run = await house.start(await house.session())
    async with house.watch_run(run) as watch:
        await watch.until("stream_delta")
    hosted = house.registry._hosting.get(run.id)
    assert (hosted._time._deadline, hosted._time._idle) == (None, None)


async def test_a_log_holds_so_many_events_and_no_more(open_house):
    house = await open_house(chatty, events=1000)
    run, end = await perform(house)
    assert (end.code, run.error.code) == ("log_full", "log_full")
    assert 900 < run.last_seq <= 1000


async def test_a_log_holds_so_many_bytes_and_no_more(open_house):
    async def agent(turn: Turn):
        while True:
            yield ThinkingDelta("ü" * 500)

    house = await open_house(agent, bytes=100_000)
    run, end = await perform(house)
    assert end.code == "log_full"
    stored = sum(len(encode_event(event)) for event in await house.events(run))
    assert 95_000 < stored < 110_000


@pytest.mark.parametrize("said", ["x" * 200_000, TurnThinking("x" * 200_000), StreamEnd("x" * 200_000)])
async def test_one_word_that_is_longer_than_the_log_ends_the_run(open_house, said):
    async def agent(turn: Turn):
        yield "before"
        yield said

    house = await open_house(agent, bytes=100_000)
    run, end = await perform(house)
    assert (end.code, run.output) == ("log_full", "before")


async def test_calls_and_questions_that_are_open_fit_into_a_full_log(open_house):
    async def agent(turn: Turn):
        for n in range(1000):
            yield ToolStarted("t", {}, call_id=f"c{n}")
            yield ApprovalRequested("t", {}, call_id=f"q{n}")

    house = await open_house(agent, events=500)
    run, end = await perform(house)
    assert end.code == "log_full"
    assert run.last_seq <= 500
    events = await house.events(run)
    assert sum(isinstance(e, ToolStarted) for e in events) == sum(isinstance(e, ToolEvent) for e in events)


@pytest.mark.parametrize("at_once", [False, True])
async def test_questions_fill_a_log_like_anything_else(open_house, at_once):
    async def agent(turn: Turn):
        yield "begun"
        if at_once:
            await asyncio.gather(*(turn.approve("t", {"x": "y" * 1000}) for _ in range(1000)))
        while True:
            await turn.approve("t", {"x": "y" * 1000})

    house = await open_house(agent, events=300, bytes=100_000)
    run = await house.start(await house.session())
    async with house.watch_run(run) as watch:
        while (message := await watch.next())["type"] != "error":
            if message["type"] == "approval_requested" and not at_once:
                await house.registry.approve(ME, run.session_id, message["call_id"], Approval(approved=True))
    assert message["code"] == "log_full"
    events = await house.events(run)
    assert len(events) <= 300
    assert sum(len(encode_event(event)) for event in events) < 110_000


def test_what_is_no_event_takes_no_room_and_is_left_to_the_recorder():
    allowance = Allowance(RunLimits(bytes=10))
    for raw in (7, None, TextDelta(None), StreamEnd(b"x" * 100)):
        assert allowance.fits(raw, 0)
    assert not allowance.fits("x" * 11, 0)
    assert not allowance.fits("ü" * 6, 0)
    assert not allowance.fits(TextDelta("\ud800" * 11), 0)
