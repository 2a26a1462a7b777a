"""A start-up finishes what an earlier process left (P7.1)."""

import asyncio

import pytest

from app.events import (
    RunFailed,
    RunStarted,
    StreamEnd,
    TextDelta,
    TextEnd,
    TextStarted,
    ToolEvent,
    ToolStarted,
)
from app.hosting.ending import INTERRUPTED
from app.hosting.recovery import recover
from app.recorder import UNFINISHED
from app.runlog.archived import ArchivedLog
from app.sessions.base import RunStatus
from tests.house import ME, PATIENCE, Puppet

pytestmark = pytest.mark.anyio


async def left_behind(house, puppet, *said):
    """A run that its host did not live to see the end of, and what was in its log."""
    session = await house.session()
    run = await house.start(session)
    puppet.says(*said)
    async with house.watch_run(run) as watch:
        await watch.until("tool_started" if said else "stream_start")
    log = await house.events(run)
    await house.crash()
    return run, log


async def test_a_run_whose_host_died_is_ended_as_interrupted(open_house, puppet):
    tool = ToolStarted("search", {"q": 1}, call_id="c")
    run, before = await left_behind(await open_house(puppet), puppet, "so far", TextDelta("x", agent="helper"), tool)
    house = await open_house(Puppet())
    assert house.recovered == 1
    log = await house.events(run)
    assert log[: len(before)] == before
    assert log[len(before) :] == [
        TextEnd(part=before[3].part, agent="helper"),
        ToolEvent("search", {"q": 1}, UNFINISHED, success=False, call_id="c"),
        INTERRUPTED,
    ]
    row = await house.registry.run(ME, run.session_id, run.id)
    assert (row.status, row.output, row.last_seq) == (RunStatus.INTERRUPTED, "so far", len(log))
    assert row.error is not None
    assert row.error.code == "run_interrupted"
    assert await house.log.runs() == []
    assert await house.rows.get_archive(run.id) is not None


async def test_a_run_that_had_said_nothing_yet_gets_its_beginning_too(open_house, puppet, monkeypatch):
    house = await open_house(puppet)
    stuck = asyncio.Event()

    async def append(*_args, **_more):
        stuck.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(house.log, "append", append)
    run = await house.start(await house.session(), "Why?")
    async with asyncio.timeout(PATIENCE):
        await stuck.wait()
    await house.crash()
    house = await open_house(Puppet())
    started, ended = await house.events(run)
    assert isinstance(started, RunStarted)
    assert (started.run_id, started.input.content) == (run.id, "Why?")
    assert ended == INTERRUPTED


async def test_an_end_that_was_decided_and_not_yet_shown_is_the_one_that_is_shown(open_house, puppet, monkeypatch):
    house = await open_house(puppet)
    run = await house.start(await house.session())
    append, decided = house.log.append, asyncio.Event()

    async def append_but_the_end(*args, closed=False):
        if closed:
            decided.set()
            await asyncio.Event().wait()
        await append(*args)

    monkeypatch.setattr(house.log, "append", append_but_the_end)
    puppet.says("so far", StreamEnd("the whole", 3, 4))
    async with asyncio.timeout(PATIENCE):
        await decided.wait()
    row = await house.rows.get_run(run.session_id, run.id)
    assert (row.status, row.output) == (RunStatus.COMPLETED, "the whole")
    await house.crash()
    house = await open_house(Puppet())
    log = await house.events(run)
    assert [type(event) for event in log] == [RunStarted, TextStarted, TextDelta, TextEnd, StreamEnd]
    assert log[-1] == StreamEnd("the whole", 3, 4)
    assert await house.registry.run(ME, run.session_id, run.id) == row
    assert row.last_seq == len(log)


async def test_a_log_that_was_closed_and_not_yet_archived_is_archived(open_house, puppet, monkeypatch):
    house = await open_house(puppet)
    run = await house.start(await house.session())
    closed = asyncio.Event()

    async def archive(_run_id):
        closed.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(house.log, "archive", archive)
    puppet.says("done")
    puppet.returns()
    async with asyncio.timeout(PATIENCE):
        await closed.wait()
    log = await house.events(run)
    await house.crash()
    house = await open_house(Puppet())
    assert house.recovered == 1
    assert await house.events(run) == log
    assert await house.log.runs() == []
    assert (await house.registry.run(ME, run.session_id, run.id)).status == RunStatus.COMPLETED


async def test_recovering_again_changes_nothing(open_house, puppet):
    run, _ = await left_behind(await open_house(puppet), puppet)
    house = await open_house(Puppet())
    log, row = await house.events(run), await house.registry.run(ME, run.session_id, run.id)
    assert await recover(house.stores) == 0
    await house.close()
    house = await open_house(Puppet())
    assert house.recovered == 0
    assert (await house.events(run), await house.registry.run(ME, run.session_id, run.id)) == (log, row)


@pytest.mark.parametrize("step", ["append", "archive"])
async def test_a_recovery_that_is_cut_short_is_finished_by_the_next(open_house, puppet, monkeypatch, step):
    run, before = await left_behind(await open_house(puppet), puppet, "a", ToolStarted("t", {}))
    stuck = asyncio.Event()

    async def get_stuck(*_args, **_more):
        stuck.set()
        await asyncio.Event().wait()

    with monkeypatch.context() as patch:
        patch.setattr(ArchivedLog, step, get_stuck)
        recovering = asyncio.create_task(open_house(Puppet()))
        async with asyncio.timeout(PATIENCE):
            await stuck.wait()
    recovering.cancel()
    await asyncio.gather(recovering, return_exceptions=True)
    house = await open_house(Puppet())
    assert house.recovered == 1
    log = await house.events(run)
    assert log[: len(before)] == before
    assert [type(event) for event in log[len(before) :]] == [ToolEvent, RunFailed]
    assert (await house.registry.run(ME, run.session_id, run.id)).last_seq == len(log)


async def half_an_answer(_turn):
    yield "half an answer"
    await asyncio.Event().wait()


async def test_every_session_is_free_again_and_its_history_knows_what_was_said(open_house, puppet):
    first = await open_house(half_an_answer)
    runs = [await first.start(await first.session(), "one") for _ in range(3)]
    for run in runs:
        async with first.watch_run(run) as watch:
            await watch.until("stream_delta")
    await first.crash()
    house = await open_house(puppet)
    assert house.recovered == 3
    for run in runs:
        next_run = await house.start(run.session_id, "two")
        assert next_run.number == 2
        puppet.returns()
        await house.ended(next_run)
        assert [message.content for message in puppet.turns[-1].history] == ["one", "half an answer"]


async def test_a_viewer_that_was_there_before_goes_on_where_it_was(open_house, puppet):
    house = await open_house(puppet)
    session = await house.session()
    run = await house.start(session)
    puppet.says("a", "b")
    async with house.watch(session) as watch:
        await watch.until("stream_delta")
        last = (await watch.until("stream_delta"))[-1]["id"]
    await house.crash()
    house = await open_house(Puppet())
    (error, caught_up) = await house.messages(run, last)
    assert (error["type"], error["code"], caught_up["type"]) == ("error", "run_interrupted", "caught_up")


async def test_a_deletion_that_a_crash_cut_short_is_finished(open_house, puppet):
    house = await open_house(puppet)
    session, kept = await house.session(), await house.session()
    run = await house.start(session)
    puppet.returns()
    await house.ended(run)
    for each in (session, kept):
        await house.upload(each, "a.txt", b"a")
    assert await house.rows.delete_session(ME, session, house.stores.clock())
    await house.crash()
    house = await open_house(Puppet())
    assert await house.rows.run_numbers(session) == []
    assert await house.log.runs() == []
    assert [path.read_bytes() for path in house.folder.glob("files/*/*")] == [b"a"]
    assert (await house.registry.session(ME, kept)).id == kept
