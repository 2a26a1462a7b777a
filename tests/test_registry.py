"""RunRegistry over real stores: starting, cancelling, ending, and whose everything is."""

import asyncio
import gc

import pytest

from app.agents.base import Message
from app.errors import (
    Draining,
    IdempotencyMismatch,
    InvalidMessage,
    RunActive,
    RunNotFound,
    SessionNotFound,
)
from app.events import StreamEnd, TurnThinking
from app.hosting.conversation import NewMessage
from app.position import Position
from app.sessions.base import RunStatus
from tests.house import ME, PATIENCE, TERMINAL, Watch

pytestmark = pytest.mark.anyio


async def test_a_run_is_told_who_asked_what(house, puppet):
    session = await house.session()
    run = await house.start(session, "Why?")
    puppet.returns()
    await house.ended(run)
    (turn,) = puppet.turns
    assert (turn.session_id, turn.run_id, turn.content, turn.files) == (session, run.id, "Why?", ())
    assert (list(turn.history), turn.state) == ([], {})


async def test_while_a_run_is_in_progress_no_other_starts(house, puppet):
    session = await house.session()
    run = await house.start(session)
    with pytest.raises(RunActive):
        await house.registry.start(ME, session, NewMessage("me too"))
    assert (await house.registry.session(ME, session)).active_run == run.id
    other = await house.start(await house.session())
    assert other.number == 1
    puppet.returns()
    puppet.returns()
    await house.ended(run)
    assert (await house.start(session)).number == 2


async def test_of_many_messages_at_once_one_starts(house):
    session = await house.session()
    starts = [house.registry.start(ME, session, NewMessage(f"message {n}")) for n in range(8)]
    outcomes = await asyncio.gather(*starts, return_exceptions=True)
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["RunActive"] * 7 + ["Started"]


async def test_the_same_key_with_the_same_message_is_the_same_run(house, puppet):
    session = await house.session()
    message = NewMessage("Hello", idempotency_key="k")
    first = await house.registry.start(ME, session, message)
    again = await house.registry.start(ME, session, message)
    assert (first.created, again.created) == (True, False)
    assert again.run.id == first.run.id
    puppet.returns()
    await house.ended(first.run)
    late = await house.registry.start(ME, session, message)
    assert (late.created, late.run.id, late.run.status) == (False, first.run.id, RunStatus.COMPLETED)
    assert len(puppet.turns) == 1


@pytest.mark.parametrize(
    "other",
    [NewMessage("Bye"), NewMessage("Hello", cancel_when_left=True)],
)
async def test_the_same_key_with_another_message_is_refused(house, other):
    session = await house.session()
    await house.registry.start(ME, session, NewMessage("Hello", idempotency_key="k"))
    with pytest.raises(IdempotencyMismatch):
        await house.registry.start(
            ME, session, NewMessage(other.content, (), other.files, other.cancel_when_left, idempotency_key="k")
        )


async def test_a_key_is_its_sessions_own(house):
    message = NewMessage("Hello", idempotency_key="k")
    starts = [await house.registry.start(ME, await house.session(), message) for _ in range(2)]
    assert [started.created for started in starts] == [True, True]


async def on_its_way(house, session):
    """A start that has got as far as its transaction."""
    inserting = asyncio.Event()
    start_run = house.rows.start_run

    async def noted(*args):
        inserting.set()
        return await start_run(*args)

    house.rows.start_run = noted
    starting = asyncio.create_task(house.registry.start(ME, session, NewMessage("Hello")))
    async with asyncio.timeout(PATIENCE):
        await inserting.wait()
    return starting


async def test_a_start_whose_caller_is_gone_runs_all_the_same_and_is_shown(house, puppet):
    session = await house.session()
    async with house.watch(session) as watch:
        await watch.until("caught_up")
        starting = await on_its_way(house, session)
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        puppet.says("done")
        puppet.returns()
        assert (await watch.until(*TERMINAL))[-1]["content"] == "done"


async def test_a_start_that_is_refused_after_its_caller_left_is_no_unhandled_exception(house):
    session = await house.session()
    await house.start(session)
    unhandled = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unhandled.append(context))
    starting = await on_its_way(house, session)
    starting.cancel()
    await asyncio.wait({starting})
    await house.registry._hosting.settle()
    del starting
    gc.collect()
    assert unhandled == []


async def test_who_was_let_in_before_a_run_gets_all_of_it_however_late_the_reading_begins(house, puppet):
    session = await house.session()
    before = await house.start(session, "before")
    puppet.returns()
    await house.ended(before)
    viewer = await house.registry.follow_session(ME, session, None)
    run = await house.start(session)
    puppet.says("all of it")
    puppet.returns()
    await house.ended(run)
    async with viewer:
        watch = Watch(viewer)
        assert [m["type"] for m in await watch.until("caught_up")] == [
            "stream_start",
            "stream_delta",
            "stream_end",
            "caught_up",
        ]
        assert watch.frames[0].id == Position(2, 1)


async def test_history_and_state_reach_the_next_run(house, puppet):
    session = await house.session()
    for number, content in enumerate(["one", "two", "three"]):
        run = await house.start(session, content)
        async with house.watch_run(run) as watch:
            puppet.says(f"answer {number}" if number != 1 else TurnThinking("nothing to say"))
            await watch.until("stream_delta", "turn_thinking")
        puppet.turns[-1].state[content] = [number]
        puppet.returns()
        await house.ended(run)
    assert list(puppet.turns[-1].history) == [
        Message("user", "one"),
        Message("assistant", "answer 0"),
        Message("user", "two"),
    ]
    assert await house.rows.get_state(session) == {"one": [0], "two": [1], "three": [2]}


async def test_cancelling_ends_the_run_with_what_was_said(house, puppet):
    session = await house.session()
    run = await house.start(session)
    puppet.says("so ", "far")
    async with house.watch_run(run) as watch:
        await watch.until("stream_delta")
        await watch.until("stream_delta")
        assert (await house.registry.cancel(ME, session)).id == run.id
        ended = (await watch.rest())[-1]
    assert ended == {"type": "stream_cancelled", "id": ended["id"], "content": "so far", "reason": "cancelled"}
    assert (await house.ended(run)).status == RunStatus.CANCELLED
    assert puppet.left.is_set()


async def test_a_run_can_be_cancelled_before_whoever_starts_it_has_heard_of_it(house, puppet):
    session = await house.session()
    start_run = house.rows.start_run
    committed, heard = asyncio.Event(), asyncio.Event()

    async def answered_late(*args):
        started = await start_run(*args)
        committed.set()
        await heard.wait()
        return started

    house.rows.start_run = answered_late
    starting = asyncio.create_task(house.registry.start(ME, session, NewMessage("Hello")))
    async with asyncio.timeout(PATIENCE):
        await committed.wait()
        cancelling = asyncio.create_task(house.registry.cancel(ME, session))
        await asyncio.wait({cancelling}, timeout=0.05)
        heard.set()
        started, cancelled = await starting, await cancelling
    assert cancelled.id == started.run.id
    assert (await house.ended(started.run)).status == RunStatus.CANCELLED
    assert puppet.turns == [] or puppet.left.is_set()


async def test_cancelling_again_changes_nothing(house):
    session = await house.session()
    run = await house.start(session)
    await house.registry.cancel(ME, session, run.id)
    await house.registry.cancel(ME, session, run.id)
    ended = await house.ended(run)
    log = await house.events(run)
    for run_id in (run.id, None):
        assert await house.registry.cancel(ME, session, run_id) == ended
    assert await house.events(run) == log


async def test_a_run_that_completed_stays_completed(house, puppet):
    session = await house.session()
    run = await house.start(session)
    puppet.says(StreamEnd("done"))
    ended = await house.ended(run)
    assert await house.registry.cancel(ME, session, run.id) == ended
    assert ended.status == RunStatus.COMPLETED


async def test_without_a_run_there_is_nothing_to_cancel(house):
    session = await house.session()
    with pytest.raises(RunNotFound):
        await house.registry.cancel(ME, session)
    with pytest.raises(RunNotFound):
        await house.registry.cancel(ME, session, "run_of_nobody")


async def test_the_position_of_a_run_in_progress_is_its_logs(house, puppet):
    session = await house.session()
    run = await house.start(session)
    puppet.says("a")
    async with house.watch_run(run) as watch:
        said = (await watch.until("stream_delta"))[-1]
    assert Position(1, (await house.registry.run(ME, session, run.id)).last_seq) == Position.parse(said["id"])
    assert [each.last_seq for each in (await house.registry.runs(ME, session, 10, None)).items] == [3]


# on_disconnect


async def test_a_run_that_nobody_follows_goes_on(open_house, puppet):
    house = await open_house(puppet, grace=0)
    run = await house.start(await house.session())
    async with house.watch_run(run) as watch:
        await watch.until("caught_up")
    puppet.says("done")
    puppet.returns()
    assert (await house.ended(run)).status == RunStatus.COMPLETED


async def test_a_run_that_asked_for_it_is_cancelled_when_nobody_comes(open_house, puppet):
    house = await open_house(puppet, grace=0.01)
    run = await house.start(await house.session(), cancel_when_left=True)
    assert (await house.ended(run)).status == RunStatus.CANCELLED
    assert (await house.events(run))[-1].reason == "every viewer has left"


async def test_a_run_that_asked_for_it_is_cancelled_after_its_last_viewer_left(open_house, puppet):
    house = await open_house(puppet, grace=0.01)
    session = await house.session()
    async with house.watch(session) as one, house.watch(session) as other:
        await one.until("caught_up")
        await other.until("caught_up")
        run = await house.start(session, cancel_when_left=True)
        await one.until("stream_start")
        await other.until("stream_start")
        puppet.says("still there")
        await one.until("stream_delta")
        await other.until("stream_delta")
    assert (await house.ended(run)).status == RunStatus.CANCELLED


async def test_a_viewer_that_comes_back_in_time_saves_the_run(house, puppet):
    run = await house.start(await house.session(), cancel_when_left=True)
    attendance = house.registry._hosting._attendance
    assert attendance.waits(run.id)
    for _ in range(2):
        async with house.watch_run(run) as watch:
            await watch.until("stream_start")
            assert not attendance.waits(run.id)
        assert attendance.waits(run.id)
    puppet.returns()
    assert (await house.ended(run)).status == RunStatus.COMPLETED
    assert not attendance.waits(run.id)


# whose


async def test_to_another_principal_a_session_does_not_exist(house, puppet):
    session = await house.session()
    run = await house.start(session)
    registry, eve = house.registry, "eve"
    doors = [
        lambda: registry.session(eve, session),
        lambda: registry.delete_session(eve, session),
        lambda: registry.start(eve, session, NewMessage("Hello")),
        lambda: registry.run(eve, session, run.id),
        lambda: registry.runs(eve, session, 10, None),
        lambda: registry.cancel(eve, session),
        lambda: registry.cancel(eve, session, run.id),
        lambda: registry.follow_session(eve, session, None),
        lambda: registry.follow_run(eve, session, run.id, None),
        lambda: registry.read_log(eve, session, run.id, None, limit=10, wait=0),
    ]
    for door in doors:
        with pytest.raises(SessionNotFound, match=r"^there is no such session$"):
            await door()
    assert (await registry.sessions(eve, 10, None)).items == ()
    puppet.returns()
    assert (await house.ended(run)).status == RunStatus.COMPLETED


async def test_a_run_is_found_in_its_own_session_only(house):
    session, other = await house.session(), await house.session()
    run = await house.start(session)
    for door in (
        house.registry.run(ME, other, run.id),
        house.registry.cancel(ME, other, run.id),
        house.registry.follow_run(ME, other, run.id, None),
        house.registry.read_log(ME, other, run.id, None, limit=10, wait=0),
    ):
        with pytest.raises(RunNotFound):
            await door
    assert (await house.registry.run(ME, session, run.id)).status == RunStatus.RUNNING


async def test_a_session_needs_a_profile_that_there_is(house):
    with pytest.raises(InvalidMessage, match="nobody"):
        await house.registry.create_session(ME, "nobody", None)


# deleting


async def test_deleting_gives_viewers_the_terminal_and_then_nothing_is_left(house, puppet):
    session = await house.session()
    run = await house.start(session)
    puppet.says("a")
    async with house.watch(session) as watch, house.watch_run(run) as run_watch:
        await watch.until("stream_delta")
        await run_watch.until("stream_delta")
        run_watching = asyncio.create_task(run_watch.rest())
        deleting = asyncio.create_task(house.registry.delete_session(ME, session))
        ended = (await watch.until("stream_cancelled"))[-1]
        assert ended["reason"] == "the session was deleted"
        with pytest.raises(SessionNotFound):
            await watch.next()
        assert (await run_watching)[-1] == ended
    async with asyncio.timeout(PATIENCE):
        await deleting
    with pytest.raises(SessionNotFound):
        await house.registry.session(ME, session)
    assert await house.log.runs() == []
    assert await house.rows.get_archive(run.id) is None
    assert await house.rows.unfinished_runs() == []


async def test_while_a_session_is_deleted_it_does_not_exist(house):
    session = await house.session()
    await house.start(session)
    async with house.watch(session) as watch:
        await watch.until("caught_up")
        deleting = asyncio.create_task(house.registry.delete_session(ME, session))
        await watch.until("stream_cancelled")
        with pytest.raises(SessionNotFound):
            await house.registry.start(ME, session, NewMessage("too late"))
        with pytest.raises(SessionNotFound):
            await house.registry.delete_session(ME, session)
    async with asyncio.timeout(PATIENCE):
        await deleting


async def test_a_viewer_that_takes_nothing_holds_up_no_deletion(house, monkeypatch):
    monkeypatch.setattr("app.viewing.audience._FAREWELL", 0.01)
    session = await house.session()
    async with house.watch(session) as watch:
        await watch.until("caught_up")
        async with asyncio.timeout(PATIENCE):
            await house.registry.delete_session(ME, session)


# going away


async def test_a_start_that_is_on_its_way_when_the_process_is_told_to_go_starts_nothing(house, monkeypatch):
    session = await house.session()
    claimed = house.uploads.claimed

    async def slowly(*args):
        found = await claimed(*args)
        house.registry.drain()
        return found

    monkeypatch.setattr(house.uploads, "claimed", slowly)
    with pytest.raises(Draining):
        await house.start(session)
    assert (await house.registry.runs(ME, session, 10, None)).items == ()


async def test_a_draining_registry_takes_nothing_new_and_sends_viewers_away(house):
    session = await house.session()
    run = await house.start(session)
    async with house.watch(session) as watch, house.watch_run(run) as other:
        await watch.until("caught_up")
        await other.until("caught_up")
        house.registry.drain()
    assert watch.viewer.drained
    assert other.viewer.drained
    for door in (
        house.registry.create_session(ME, None, None),
        house.registry.start(ME, session, NewMessage("Hello")),
        house.registry.follow_session(ME, session, None),
        house.registry.follow_run(ME, session, run.id, None),
        house.registry.read_log(ME, session, run.id, None, limit=1, wait=0),
        house.registry.check(),
    ):
        with pytest.raises(Draining):
            await door
    assert (await house.registry.run(ME, session, run.id)).status == RunStatus.RUNNING


async def test_a_viewer_in_the_middle_of_waiting_is_sent_away(house):
    session = await house.session()
    waiting = asyncio.Event()

    async def view() -> bool:
        async with house.watch(session) as watch:
            await watch.until("caught_up")
            waiting.set()
            await watch.next()
        return watch.viewer.drained

    viewing = asyncio.create_task(view())
    async with asyncio.timeout(PATIENCE):
        await waiting.wait()
        house.registry.drain()
        assert await viewing


async def test_closing_ends_what_still_runs_as_interrupted(house, puppet):
    run = await house.start(await house.session())
    puppet.says("so far")
    async with house.watch_run(run) as watch:
        await watch.until("stream_delta")
    await house.registry.close()
    row = await house.rows.get_run(run.session_id, run.id)
    assert (row.status, row.error.code, row.output) == (RunStatus.INTERRUPTED, "run_interrupted", "so far")


async def test_closing_leaves_runs_their_time(house, puppet):
    run = await house.start(await house.session())
    closing = asyncio.create_task(house.registry.close(PATIENCE))
    puppet.says("in time")
    puppet.returns()
    async with asyncio.timeout(PATIENCE):
        await closing
    assert (await house.rows.get_run(run.session_id, run.id)).status == RunStatus.COMPLETED


async def test_a_start_on_its_way_is_ended_by_closing_too(house):
    session = await house.session()
    starting = await on_its_way(house, session)
    await house.registry.close()
    run = (await starting).run
    assert (await house.rows.get_run(session, run.id)).status == RunStatus.INTERRUPTED
