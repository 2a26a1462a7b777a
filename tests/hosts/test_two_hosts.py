"""Several processes are one gateway: whatever one of them can do, any other can do as well."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from app.agents.adapters import FunctionAgent
from app.agents.base import Approval, Turn
from app.errors import Draining, Fenced, NoAnswer, NoSuchApproval, RunActive, RunNotFound, SessionNotFound
from app.hosting import sweeping
from app.hosting.conversation import NewMessage
from app.hosting.recovery import finish
from app.sessions.base import Run, RunStatus
from tests.hosts.conftest import Town
from tests.house import ME, PATIENCE, House

pytestmark = pytest.mark.anyio

YES = Approval(approved=True, comment="go on")


async def row_of(house: House, run: Run) -> Run:
    return await house.registry.run(ME, run.session_id, run.id)


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not await holds():  # noqa: ASYNC110 - it is another process that makes it so
            await asyncio.sleep(0.01)


async def until_status(house: House, run: Run, status: RunStatus) -> Run:
    async def holds() -> bool:
        return (await row_of(house, run)).status is status

    await until(holds)
    return await row_of(house, run)


async def until_subscribed(town: Town, viewed: str) -> None:
    async def holds() -> bool:
        return any([await fleet.viewed_elsewhere(viewed) for fleet in town.fleets])

    await until(holds)


# following


async def test_a_run_that_one_process_executes_is_followed_from_another(town: Town) -> None:
    here, there = await town.open(), await town.open()
    session = await here.session()
    async with there.watch(session) as watch:
        await watch.until("caught_up")
        run = await here.start(session)
        async with there.watch_run(run) as run_watch:
            town.agents[0].says("Hello")
            town.agents[0].returns()
            seen = await watch.until("stream_end")
            assert seen == [each for each in await run_watch.rest() if each["type"] != "caught_up"]
            assert [each["type"] for each in seen] == ["stream_start", "stream_delta", "stream_end"]
        second = await here.start(session)
        assert (await watch.until("stream_start"))[-1]["run_id"] == second.id


async def test_a_viewer_elsewhere_is_told_of_runs_that_wait(town: Town) -> None:
    here, there = await town.open(), await town.open()
    session = await here.session()
    await here.start(session)
    async with there.watch(session) as watch:
        await watch.until("caught_up")
        await until_subscribed(town, session)
        waiting = await here.start(session, on_conflict="queue")
        assert (await watch.until("run_queued"))[-1] == {
            "type": "run_queued",
            "run_id": waiting.id,
            "number": 2,
            "ahead": 1,
        }


async def test_news_that_got_lost_are_caught_up_with(lossy_town: Town) -> None:
    here, there = await lossy_town.open(), await lossy_town.open()
    session = await here.session()
    async with there.watch(session) as watch:
        await watch.until("caught_up")
        await until_subscribed(lossy_town, session)
        lossy_town.losing = True
        run = await here.start(session)
        assert (await watch.until("stream_start"))[-1]["run_id"] == run.id


# cancelling


async def test_any_process_cancels_a_run_and_nothing_said_later_is_shown(town: Town) -> None:
    here, there = await town.open(), await town.open()
    run = await here.start(await here.session())
    async with there.watch_run(run) as watch:
        town.agents[0].says("so far")
        await watch.until("stream_delta")
        await there.registry.cancel(ME, run.session_id)
        town.agents[0].says("too late")
        end = (await watch.rest())[-1]
    assert (end["type"], end["content"], end["reason"]) == ("stream_cancelled", "so far", "cancelled")
    assert (await there.registry.cancel(ME, run.session_id, run.id)).status is RunStatus.CANCELLED


async def test_a_run_that_waits_elsewhere_is_cancelled_where_it_waits(town: Town) -> None:
    here, there = await town.open(), await town.open()
    session = await here.session()
    await here.start(session)
    waiting = await here.start(session, on_conflict="queue")
    await there.registry.cancel(ME, session, waiting.id)
    row = await until_status(there, waiting, RunStatus.CANCELLED)
    assert row.host == here.registry._hosting.name
    assert town.agents[1].turns == []


async def test_a_cancel_that_gets_lost_is_refused_and_may_be_repeated(lossy_town: Town) -> None:
    here, there = await lossy_town.open(), await lossy_town.open()
    run = await here.start(await here.session())
    lossy_town.street.patience = 0.1
    lossy_town.losing = True
    with pytest.raises(NoAnswer):
        await there.registry.cancel(ME, run.session_id)
    lossy_town.losing = False
    assert (await row_of(there, run)).status is RunStatus.RUNNING
    lossy_town.street.patience = 5
    await there.registry.cancel(ME, run.session_id)
    await until_status(there, run, RunStatus.CANCELLED)


# approvals


async def test_a_question_is_answered_from_another_process(town: Town) -> None:
    async def asks(turn: Turn):
        answer = await turn.approve("rm", {"path": "a"})
        yield f"{answer.approved}: {answer.comment}"

    here, there = await town.open(FunctionAgent(asks)), await town.open()
    run = await here.start(await here.session())
    async with there.watch_run(run) as watch:
        call_id = (await watch.until("approval_requested"))[-1]["call_id"]
        with pytest.raises(NoSuchApproval, match="no such approval"):
            await there.registry.approve(ME, run.session_id, "another", YES)
        for _ in range(2):
            await there.registry.approve(ME, run.session_id, call_id, YES)
        with pytest.raises(NoSuchApproval):
            await there.registry.approve(ME, run.session_id, call_id, Approval(approved=False))
        rest = [each for each in await watch.rest() if "id" in each]
    assert [each["type"] for each in rest] == ["approval_resolved", "stream_delta", "stream_end"]
    assert rest[-1]["content"] == "True: go on"
    with pytest.raises(NoSuchApproval):
        await there.registry.approve(ME, run.session_id, "another", YES, run.id)


async def test_an_answer_counts_elsewhere_once_the_host_has_it_in_the_log(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def asks(turn: Turn):
        yield str((await turn.approve("rm")).approved)

    here, there = await town.open(FunctionAgent(asks)), await town.open()
    run = await here.start(await here.session())
    async with there.watch_run(run) as watch:
        call_id = (await watch.until("approval_requested"))[-1]["call_id"]
        reached = asyncio.Event()

        async def never(*_args: object, **_more: object) -> None:
            reached.set()
            await asyncio.Event().wait()

        monkeypatch.setattr(here.log, "append", never)
        answering = asyncio.create_task(there.registry.approve(ME, run.session_id, call_id, YES, run.id))
        async with asyncio.timeout(PATIENCE):
            await reached.wait()
        assert not answering.done()
        await town.kill(here)
        rest = [each for each in await watch.rest() if "id" in each]
        kinds = [(each["type"], each.get("approved")) for each in rest]
        assert kinds == [("approval_resolved", False), ("error", None)]
        async with asyncio.timeout(PATIENCE):
            with pytest.raises((NoAnswer, NoSuchApproval)):
                await answering
        with pytest.raises(NoSuchApproval):
            await there.registry.approve(ME, run.session_id, call_id, YES, run.id)


# admission


async def test_one_run_at_a_time_and_one_run_for_a_key_hold_across_processes(town: Town) -> None:
    here, there = await town.open(), await town.open()
    session = await here.session()
    messages = [NewMessage("Hello", idempotency_key="k") for _ in range(8)]
    houses = [here, there] * 4
    started = await asyncio.gather(
        *(house.registry.start(ME, session, message) for house, message in zip(houses, messages, strict=True))
    )
    assert len({each.run.id for each in started}) == 1
    assert sum(each.created for each in started) == 1
    for house in (here, there):
        with pytest.raises(RunActive):
            await house.start(session, "another")


async def test_runs_that_wait_in_several_processes_run_in_their_order(town: Town) -> None:
    here, there = await town.open(), await town.open()
    session = await here.session()
    async with here.watch(session) as watch, there.watch(session) as other:
        runs = [await house.start(session, on_conflict="queue") for house in (here, there, here, there, there)]
        for place, run in zip((0, 1, 0, 1, 1), runs, strict=True):
            for each in (watch, other):
                assert (await each.until("stream_start"))[-1]["run_id"] == run.id
            town.agents[place].returns()
            for each in (watch, other):
                await each.until("stream_end")
    assert [len(agent.turns) for agent in town.agents] == [2, 3]
    assert [(await row_of(here, run)).number for run in runs] == [1, 2, 3, 4, 5]


async def test_a_turn_that_a_process_was_not_told_of_is_found(lossy_town: Town) -> None:
    here, there = await lossy_town.open(), await lossy_town.open()
    session = await here.session()
    first = await here.start(session)
    waiting = await there.start(session, on_conflict="queue")
    lossy_town.losing = True
    lossy_town.agents[0].returns()
    await here.ended(first)
    lossy_town.agents[1].returns()
    await until_status(here, waiting, RunStatus.COMPLETED)


async def test_a_message_interrupts_a_run_of_another_process(town: Town) -> None:
    here, there = await town.open(), await town.open()
    session = await here.session()
    first, behind = await here.start(session), await here.start(session, on_conflict="queue")
    async with there.watch(session) as watch:
        await watch.until("caught_up")
        second = await there.start(session, on_conflict="interrupt")
        assert (await watch.until("stream_cancelled"))[-1]["reason"] == "a newer message took its place"
        assert (await watch.until("stream_start"))[-1]["run_id"] == second.id
        town.agents[1].returns()
        assert (await watch.until("stream_start"))[-1]["run_id"] == behind.id
    assert (await row_of(there, first)).status is RunStatus.CANCELLED


# deleting


async def test_a_session_is_deleted_while_another_process_executes_its_runs(town: Town) -> None:
    here, there, third = await town.open(), await town.open(), await town.open()
    session = await here.session()
    run, waiting = await here.start(session), await third.start(session, on_conflict="queue")
    async with here.watch(session) as watch, third.watch_run(run) as run_watch:
        await watch.until("caught_up")
        await run_watch.until("stream_start")
        run_watching = asyncio.create_task(run_watch.rest())
        deleting = asyncio.create_task(there.registry.delete_session(ME, session))
        ended = (await watch.until("stream_cancelled"))[-1]
        assert ended["reason"] == "the session was deleted"
        assert (await run_watching)[-1] == ended
        with pytest.raises(SessionNotFound):
            await watch.until("never")
    async with asyncio.timeout(PATIENCE):
        await deleting
    assert await there.log.runs() == []
    assert await there.rows.run_numbers(session) == []
    assert town.agents[2].turns == []
    for house in (here, there, third):
        with pytest.raises(SessionNotFound):
            await house.registry.run(ME, session, waiting.id)


async def test_a_deletion_whose_process_died_is_finished_by_another(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.hosting.sweeping._ABANDONED", timedelta(0))
    here, there = await town.open(), await town.open()
    session = await here.session()
    run = await here.start(session)
    await here.rows.delete_session(ME, session, here.stores.clock())
    await town.kill(here)

    async def nothing_is_left() -> bool:
        return not await there.rows.run_numbers(session)

    await until(nothing_is_left)
    assert await there.log.runs() == []
    with pytest.raises(SessionNotFound):
        await there.registry.run(ME, session, run.id)


# death


async def test_the_runs_of_a_process_that_died_are_ended_by_another_and_what_waited_elsewhere_begins(
    town: Town,
) -> None:
    here, there = await town.open(), await town.open()
    session = await here.session()
    run, lost = await here.start(session), await here.start(session, on_conflict="queue")
    waiting = await there.start(session, on_conflict="queue")
    async with there.watch(session) as watch:
        town.agents[0].says("so far")
        await watch.until("stream_delta")
        await town.kill(here)
        end = (await watch.until("error"))[-1]
        assert (end["code"], end["id"].split("-")[0]) == ("run_interrupted", "1")
        assert (await watch.until("stream_start"))[-1]["run_id"] == lost.id
        assert (await watch.until("error"))[-1]["code"] == "run_interrupted"
        assert (await watch.until("stream_start"))[-1]["run_id"] == waiting.id
    row = await row_of(there, run)
    assert (row.status, row.output) == (RunStatus.INTERRUPTED, "so far")

    async def all_others_are_put_away() -> bool:
        return [left.run.id for left in await there.rows.unfinished_runs()] == [waiting.id]

    await until(all_others_are_put_away)


async def test_a_process_that_was_given_up_finds_out_and_writes_nothing_more(lossy_town: Town) -> None:
    here, there = await lossy_town.open(), await lossy_town.open()
    run = await here.start(await here.session())
    async with there.watch_run(run) as watch:
        await watch.until("stream_start")
        for task in lossy_town.fleets[0].tasks:  # no sign of life any more, though it lives
            task.cancel()
        assert (await watch.rest())[-1]["code"] == "run_interrupted"
    await here.registry.sweep.sweep(late=True)

    async def executes_nothing() -> bool:
        return lossy_town.agents[0].left.is_set() and not here.registry._hosting.has(run.id)

    await until(executes_nothing)
    assert (await row_of(there, run)).status is RunStatus.INTERRUPTED


async def test_an_end_that_a_process_decided_while_the_host_woke_up_and_said_more_is_shown(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeping, "OVERDUE", timedelta(0))
    here, there = await town.open(), await town.open()
    session = await here.session()
    run = await here.start(session)
    async with there.watch(session) as watch, there.watch_run(run) as of_run:
        town.agents[0].says("a")
        await watch.until("stream_delta")
        append = there.log.append

        async def append_late(*args: Any, **more: Any) -> None:
            monkeypatch.setattr(there.log, "append", append)
            town.agents[0].says("b")
            await watch.until("stream_delta")
            await append(*args, **more)

        monkeypatch.setattr(there.log, "append", append_late)
        (left,) = await there.rows.unfinished_runs()
        with pytest.raises(Fenced):
            await finish(there.stores, left, there.registry._hosting.decide)
        assert (await watch.until("error"))[-1]["code"] == "run_interrupted"
        assert (await of_run.until("error"))[-1]["code"] == "run_interrupted"

    async def is_put_away() -> bool:
        return not await there.rows.unfinished_runs()

    await until(is_put_away)


# going away


async def test_a_process_that_drains_sends_its_viewers_to_the_others_and_its_runs_get_their_time(town: Town) -> None:
    here, there = await town.open(), await town.open()
    session = await here.session()
    run = await here.start(session)
    async with here.watch(session) as watch:
        await watch.until("caught_up")
        here.registry.drain()
        with pytest.raises(StopAsyncIteration):
            await watch.next()
        assert watch.viewer.drained
    waiting = await there.start(session, on_conflict="queue")
    with pytest.raises(Draining):
        await here.start(session, on_conflict="queue")
    finishing = asyncio.create_task(here.registry.finish(grace=PATIENCE))
    async with there.watch(session) as watch:
        await watch.until("stream_start")
        town.agents[0].says("the end")
        town.agents[0].returns()
        assert (await watch.until("stream_end"))[-1]["content"] == "the end"
        assert (await watch.until("stream_start"))[-1]["run_id"] == waiting.id
    async with asyncio.timeout(PATIENCE):
        await finishing
    assert (await row_of(there, run)).status is RunStatus.COMPLETED


async def test_what_waits_in_a_process_that_drains_is_interrupted_and_holds_up_nobody(town: Town) -> None:
    here, there = await town.open(), await town.open()
    session = await here.session()
    first = await there.start(session)
    lost = await here.start(session, on_conflict="queue")
    waiting = await there.start(session, on_conflict="queue")
    await here.registry.finish()
    town.agents[1].returns()
    async with there.watch(session, "0") as watch:
        starts = [(await watch.until("stream_start"))[-1]["run_id"] for _ in range(3)]
    assert starts == [first.id, lost.id, waiting.id]
    assert (await row_of(there, lost)).status is RunStatus.INTERRUPTED


# who is there (P3.11)


async def test_a_viewer_elsewhere_keeps_a_run_that_would_end_without_one(town: Town) -> None:
    here, there = await town.open(grace=0.2), await town.open()
    session = await here.session()
    async with there.watch(session) as watch:
        await watch.until("caught_up")
        await until_subscribed(town, session)
        run = await here.start(session, cancel_when_left=True)
        other = await here.start(await here.session(), cancel_when_left=True)
        await until_status(here, other, RunStatus.CANCELLED)
        assert (await row_of(here, run)).status is RunStatus.RUNNING
    await until_status(here, run, RunStatus.CANCELLED)


async def test_a_run_that_never_was_is_not_found_anywhere(town: Town) -> None:
    here = await town.open()
    session = await here.session()
    with pytest.raises(RunNotFound):
        await here.registry.cancel(ME, session, "run_of_nobody")
