"""Messages that find a run in progress: they wait their turn, or take it (P4.4)."""

import asyncio

import pytest

from app.agents.base import Message, Turn
from app.errors import Draining, QueueFull, RunActive, SessionNotFound
from app.events import RunCancelled, RunFailed, RunStarted
from app.hosting.conversation import NewMessage
from app.sessions.base import MAX_WAITING, RunStatus
from tests.house import ME, PATIENCE, TERMINAL

pytestmark = pytest.mark.anyio


async def ask(house, session, content, on_conflict="queue", **more):
    """Start a run, or queue it."""
    message = NewMessage(content, on_conflict=on_conflict, **more)
    return (await house.registry.start(ME, session, message)).run


async def status_of(house, run):
    return (await house.registry.run(ME, run.session_id, run.id)).status


async def test_queued_runs_are_performed_one_after_the_other_in_their_order(house, puppet):
    session = await house.session()
    async with house.watch(session) as watch:
        await watch.until("caught_up")
        runs = [await ask(house, session, content) for content in ("one", "two", "three")]
        assert [run.status for run in runs] == [RunStatus.RUNNING, RunStatus.QUEUED, RunStatus.QUEUED]
        for run in runs:
            puppet.says(f"answer to {run.number}")
            puppet.returns()
        seen = [await watch.until("stream_end") for _ in runs]
    assert [messages[-1]["content"] for messages in seen] == ["answer to 1", "answer to 2", "answer to 3"]
    assert [turn.content for turn in puppet.turns] == ["one", "two", "three"]
    assert list(puppet.turns[2].history) == [
        Message("user", "one"),
        Message("assistant", "answer to 1"),
        Message("user", "two"),
        Message("assistant", "answer to 2"),
    ]


async def test_viewers_are_told_of_runs_that_wait_and_when_these_begin(house, puppet):
    session = await house.session()
    async with house.watch(session) as one, house.watch(session) as other:
        await one.until("caught_up")
        await other.until("caught_up")
        first = await ask(house, session, "one")
        puppet.says("a")
        for watch in (one, other):
            await watch.until("stream_delta")
        second = await ask(house, session, "two")
        third = await ask(house, session, "three")
        for watch in (one, other):
            assert [await watch.next(), await watch.next()] == [
                {"type": "run_queued", "run_id": second.id, "number": 2, "ahead": 1},
                {"type": "run_queued", "run_id": third.id, "number": 3, "ahead": 2},
            ]
        puppet.returns()
        for watch in (one, other):
            ended, began = [(await watch.until(kind))[-1] for kind in ("stream_end", "stream_start")]
            assert (ended["id"].partition("-")[0], began["run_id"], began["id"]) == ("1", second.id, "2-1")
    assert await status_of(house, first) == RunStatus.COMPLETED


async def test_a_viewer_that_comes_later_is_told_of_what_waits_once_it_has_caught_up(house, puppet):
    session = await house.session()
    await ask(house, session, "one")
    queued = await ask(house, session, "two")
    for after in (None, "0"):
        async with house.watch(session, after) as watch:
            await watch.until("caught_up")
            assert await watch.next() == {"type": "run_queued", "run_id": queued.id, "number": 2, "ahead": 1}


async def test_a_run_that_waits_is_followed_from_its_beginning(house, puppet):
    session = await house.session()
    await ask(house, session, "one")
    queued = await ask(house, session, "two")
    async with house.watch_run(queued) as watch:
        assert await watch.next() == {"type": "caught_up", "position": "2-0"}
        puppet.returns()
        puppet.says("hello")
        puppet.returns()
        assert [message["type"] for message in await watch.rest()] == ["stream_start", "stream_delta", "stream_end"]


async def test_who_follows_a_run_that_is_moved_gets_the_ids_that_its_session_gets(house, puppet):
    session = await house.session()
    await ask(house, session, "one")
    queued = await ask(house, session, "two")
    async with house.watch(session) as watch, house.watch_run(queued) as early:
        await watch.until("run_queued")
        assert (await early.next())["position"] == "2-0"
        polling = asyncio.create_task(house.registry.read_log(ME, session, queued.id, None, limit=9, wait=PATIENCE))
        await asyncio.sleep(0)
        interrupts = await ask(house, session, "now", "interrupt")
        puppet.returns()
        await house.messages(interrupts)
        puppet.says("moved")
        puppet.returns()
        ids = [m["id"] for m in await early.rest()]
        assert ids[0] == "3-1"
        seen = [await watch.until(*TERMINAL) for _ in range(3)][-1]
        assert [m["id"] for m in seen] == ids
        part = await polling
        assert (str(part.frames[0].id), part.next.run) == ("3-1", 3)


async def test_as_many_as_may_wait(house):
    session = await house.session()
    await ask(house, session, "runs")
    for n in range(MAX_WAITING):
        await ask(house, session, f"waits {n}")
    with pytest.raises(QueueFull):
        await ask(house, session, "one too many")
    with pytest.raises(RunActive):
        await ask(house, session, "no", "reject")


async def test_an_interrupting_message_cancels_the_run_in_progress_and_goes_before_those_that_wait(house, puppet):
    session = await house.session()
    async with house.watch(session) as watch:
        await watch.until("caught_up")
        first = await ask(house, session, "one")
        puppet.says("so far")
        await watch.until("stream_delta")
        waits = await ask(house, session, "two")
        interrupts = await ask(house, session, "now", "interrupt")
        puppet.says("at once")
        puppet.returns()
        puppet.returns()
        seen = await watch.until("stream_end")
        seen += await watch.until("stream_end")
    assert [(m["type"], m["number"], m["ahead"], m["run_id"]) for m in seen if m["type"] == "run_queued"] == [
        ("run_queued", 2, 1, waits.id),
        ("run_queued", 2, 1, interrupts.id),
        ("run_queued", 3, 2, waits.id),
    ]
    ids = [m["id"] for m in seen if "id" in m]
    assert ids == sorted(ids, key=lambda text: [int(part) for part in text.split("-")])
    assert [m["run_id"] for m in seen if m["type"] == "stream_start"] == [interrupts.id, waits.id]
    (cancelled,) = (m for m in seen if m["type"] == "stream_cancelled")
    assert (cancelled["content"], cancelled["reason"]) == ("so far", "a newer message took its place")
    assert await status_of(house, first) == RunStatus.CANCELLED
    assert [turn.content for turn in puppet.turns] == ["one", "now", "two"]


async def test_an_agent_that_will_not_stop_is_not_waited_for_for_ever(open_house, monkeypatch):
    monkeypatch.setattr("app.hosting.run._STOP_GRACE", 0.01)
    release = asyncio.Event()

    async def agent(turn: Turn):
        yield turn.content
        while turn.content == "stubborn" and not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                yield "no"

    house = await open_house(agent)
    session = await house.session()
    first = await ask(house, session, "stubborn")
    async with house.watch_run(first) as watch:
        await watch.until("stream_delta")
    second = await ask(house, session, "kind", "interrupt")
    assert (await house.messages(second))[-1]["content"] == "kind"
    assert (await house.ended(first)).status == RunStatus.CANCELLED
    release.set()


async def test_a_run_is_cancelled_while_it_waits(house, puppet):
    session = await house.session()
    async with house.watch(session) as watch:
        await watch.until("caught_up")
        first = await ask(house, session, "one")
        second, third = await ask(house, session, "two"), await ask(house, session, "three")
        await house.registry.cancel(ME, session, second.id)
        told = [m["type"] for m in await house.messages(second) if "id" in m]
        assert told == ["stream_start", "stream_cancelled"]
        row = await house.registry.run(ME, session, second.id)
        assert (row.status, row.started_at, row.last_seq) == (RunStatus.CANCELLED, None, 2)
        assert await status_of(house, first) == RunStatus.RUNNING
        puppet.returns()
        puppet.returns()
        seen = [await watch.until(*TERMINAL) for _ in range(3)]
    assert [(messages[-1]["type"], messages[-1]["id"].partition("-")[0]) for messages in seen] == [
        ("stream_end", "1"),
        ("stream_cancelled", "2"),
        ("stream_end", "3"),
    ]
    assert [turn.run_id for turn in puppet.turns] == [first.id, third.id]


async def test_a_viewer_that_comes_when_a_later_run_was_cancelled_gets_the_run_in_progress(house, puppet):
    session = await house.session()
    first = await ask(house, session, "one")
    second = await ask(house, session, "two")
    await house.registry.cancel(ME, session, second.id)
    await house.messages(second)
    async with house.watch(session) as watch:
        assert (await watch.next())["run_id"] == first.id
        assert (await watch.next())["type"] == "caught_up"
        puppet.returns()
        assert [(await watch.until(*TERMINAL))[-1]["type"] for _ in range(2)] == ["stream_end", "stream_cancelled"]


async def test_without_an_id_the_run_in_progress_is_cancelled_not_one_that_waits(house, puppet):
    session = await house.session()
    first, second = await ask(house, session, "one"), await ask(house, session, "two")
    assert (await house.registry.cancel(ME, session)).id == first.id
    puppet.returns()
    assert (await house.messages(second))[-1]["type"] == "stream_end"


async def test_a_run_that_waits_and_wants_a_viewer_has_those_of_its_session(open_house, puppet):
    house = await open_house(puppet, grace=0.01)
    session = await house.session()
    async with house.watch(session) as watch:
        await watch.until("caught_up")
        await ask(house, session, "one", cancel_when_left=True)
        left_alone = await ask(house, session, "two", cancel_when_left=True)
        puppet.says("a")
        await watch.until("stream_delta")
        attendance = house.registry._hosting._attendance
        assert not attendance.waits(left_alone.id)
    async with asyncio.timeout(PATIENCE):
        await asyncio.wait(house.registry._hosting._tasks)
    assert (await house.events(left_alone))[-1].reason == "every viewer has left"
    assert [turn.content for turn in puppet.turns] == ["one"]


async def test_a_retry_of_a_queued_message_meets_it(house, puppet):
    session = await house.session()
    first = await ask(house, session, "one")
    puppet.says("begun")
    async with house.watch_run(first) as watch:
        await watch.until("stream_delta")
    message = NewMessage("two", on_conflict="interrupt", idempotency_key="k")
    starts = [house.registry.start(ME, session, message) for _ in range(5)]
    async with asyncio.timeout(PATIENCE):
        answers = await asyncio.gather(*starts)
    assert [answer.created for answer in answers].count(True) == 1
    assert len({answer.run.id for answer in answers}) == 1
    puppet.returns()
    await house.messages(answers[0].run)
    assert [turn.content for turn in puppet.turns] == ["one", "two"]


async def test_many_messages_at_once_are_each_performed_or_refused(house, puppet):
    session = await house.session()
    starts = [ask(house, session, str(n), ("queue", "interrupt")[n % 2]) for n in range(20)]
    outcomes = await asyncio.gather(*starts, return_exceptions=True)
    runs = [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]
    assert {type(outcome) for outcome in outcomes if isinstance(outcome, BaseException)} <= {QueueFull}
    assert len(runs) >= MAX_WAITING + 1
    for _ in runs:
        puppet.returns()
    ends = [(await house.messages(run))[-2:] for run in runs]
    assert all({m["type"] for m in end} & TERMINAL for end in ends)
    assert await house.rows.unfinished_runs() == []
    numbers = [number for number, _ in await house.rows.run_numbers(session)]
    assert numbers == list(range(1, len(runs) + 1))


async def test_deleting_a_session_performs_nothing_that_waits_in_it(house, puppet):
    session = await house.session()
    first = await ask(house, session, "one")
    puppet.says("a")
    async with house.watch_run(first) as watch:
        await watch.until("stream_delta")
        await ask(house, session, "two")
        await ask(house, session, "three")
        deleting = asyncio.create_task(house.registry.delete_session(ME, session))
        assert (await watch.rest())[-1]["reason"] == "the session was deleted"
    async with asyncio.timeout(PATIENCE):
        await deleting
    assert [turn.content for turn in puppet.turns] == ["one"]
    with pytest.raises(SessionNotFound):
        await house.registry.session(ME, session)
    assert await house.rows.unfinished_runs() == []
    assert await house.log.runs() == []


async def test_while_the_server_goes_away_nothing_that_waits_begins(house, puppet):
    session = await house.session()
    first, second = await ask(house, session, "one"), await ask(house, session, "two")
    house.registry.drain()
    with pytest.raises(Draining):
        await ask(house, session, "three")
    puppet.returns()
    assert (await house.ended(first)).status == RunStatus.COMPLETED
    assert await status_of(house, second) == RunStatus.QUEUED
    await house.registry.close()
    row = await house.rows.get_run(session, second.id)
    assert (row.status, row.error.code) == (RunStatus.INTERRUPTED, "run_interrupted")
    assert [turn.content for turn in puppet.turns] == ["one"]


async def test_after_a_crash_what_waited_is_ended_too(open_house, puppet):
    house = await open_house(puppet)
    session = await house.session()
    runs = [await ask(house, session, content) for content in ("one", "two", "three")]
    await house.crash()
    again = await open_house(puppet)
    assert again.recovered == 3
    for run in runs:
        events = await again.events(run)
        assert isinstance(events[0], RunStarted)
        assert isinstance(events[-1], RunFailed)
        assert (await again.registry.run(ME, session, run.id)).status == RunStatus.INTERRUPTED
    assert (await again.registry.session(ME, session)).active_run is None
    assert [turn.content for turn in puppet.turns] == ["one"]


async def test_cancelling_what_waits_again_and_again_is_cancelling_it_once(house, puppet):
    session = await house.session()
    await ask(house, session, "one")
    queued = await ask(house, session, "two")
    await asyncio.gather(*(house.registry.cancel(ME, session, queued.id) for _ in range(5)))
    await house.messages(queued)
    log = await house.events(queued)
    assert [type(event) for event in log] == [RunStarted, RunCancelled]


async def test_an_end_and_a_cancel_at_once_leave_nothing_behind(open_house):
    ends = asyncio.Event()

    async def agent(turn: Turn):
        if turn.content == "one":
            await ends.wait()
        yield turn.content

    house = await open_house(agent)
    for _ in range(20):
        ends.clear()
        session = await house.session()
        first, second, third = [await ask(house, session, content) for content in ("one", "two", "three")]
        ends.set()
        await asyncio.gather(house.ended(first), house.registry.cancel(ME, session, second.id))
        assert {m["type"] for m in await house.messages(second)} & TERMINAL
        assert "stream_end" in {m["type"] for m in await house.messages(third)}
        assert house.registry._hosting._called_early == {}


async def test_a_run_that_was_cancelled_before_it_could_be_called_leaves_nothing_behind(house, puppet):
    session = await house.session()
    first, second = await ask(house, session, "one"), await ask(house, session, "two")
    finish_run = house.rows.finish_run
    committed, heard = asyncio.Event(), asyncio.Event()

    async def answered_late(run_id, *args, **more):
        ended = await finish_run(run_id, *args, **more)
        if run_id == first.id:
            committed.set()
            await heard.wait()
        return ended

    house.rows.finish_run = answered_late
    puppet.returns()
    async with asyncio.timeout(PATIENCE):
        await committed.wait()
    await house.registry.cancel(ME, session, second.id)
    assert "stream_cancelled" in {m["type"] for m in await house.messages(second)}
    heard.set()
    await house.ended(first)
    assert house.registry._hosting._called_early == {}
