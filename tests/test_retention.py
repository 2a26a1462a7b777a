"""Retention: what is kept has an end, and whoever comes for more is told (P3.6)."""

import asyncio
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from app.errors import StoreUnavailable
from app.events import StreamEnd, TextDelta
from app.position import Position
from app.retention import Retention, SteadyClock
from app.runlog.archive import encode_archive
from app.sessions.base import NewRun, Outcome, Run, RunStatus
from tests.house import ME, PATIENCE, House, Puppet

pytestmark = pytest.mark.anyio

DAY = timedelta(days=1)


def retention(house: House, after: timedelta = 2 * DAY) -> Retention:
    """One that keeps a day, as it is so long after now."""
    return Retention(house.stores, house.uploads, 1.0, lambda: datetime.now(UTC) + after)


async def performed(house: House, puppet: Puppet, session: str, *words: str) -> Run:
    run = await house.start(session)
    puppet.says(*(words or ("a", "b", "c")))
    puppet.returns()
    return await house.ended(run)


def without_reply(messages: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return [message for message in messages if "id" in message]


async def until_live(house: House, session: str, after: str) -> list[dict[str, Any]]:
    async with house.watch(session, after) as watch:
        return await watch.until("caught_up")


async def test_a_run_that_ended_long_ago_keeps_its_terminal_and_its_row(house, puppet):
    session = await house.session()
    run = await performed(house, puppet, session)
    whole = await house.messages(run)
    await retention(house, timedelta()).sweep()
    assert await house.messages(run) == whole
    await retention(house).sweep()
    gap, *rest = await house.messages(run)
    last = f"1-{run.last_seq}"
    assert gap == {"type": "gap", "requested": "1-0", "earliest": last, "latest": last}
    assert without_reply(rest) == [whole[-1] if "id" in whole[-1] else whole[-2]]
    assert await house.registry.run(ME, session, run.id) == evolve(run, trimmed=True)
    assert run.output == "abc"


async def test_a_position_in_what_is_gone_gets_a_gap_and_the_terminal_itself_needs_none(house, puppet):
    session = await house.session()
    run = await performed(house, puppet, session)
    await retention(house).sweep()
    last = run.last_seq
    for seq in range(last + 1):
        asked = Position(1, seq)
        viewer = await house.registry.follow_run(ME, session, run.id, asked)
        part = await house.registry.read_log(ME, session, run.id, asked, limit=100, wait=0)
        if seq == last:
            assert viewer is None
            assert (part.frames, part.done) == ((), True)
            continue
        messages = await house.messages(run, str(asked))
        kinds = [message["type"] for message in messages if message["type"] != "caught_up"]
        assert kinds == (["gap", "stream_end"] if seq < last - 1 else ["stream_end"])
        assert (part.next, part.done) == (Position(1, last), True)
        assert len(part.frames) == len(kinds)


async def test_a_session_is_followed_with_one_gap_from_the_last_event_after_which_all_is_kept(house, puppet):
    session = await house.session()
    runs = [await performed(house, puppet, session) for _ in range(3)]
    before = without_reply(await until_live(house, session, "0"))
    await retention(house).sweep()
    kept = [await performed(house, puppet, session) for _ in range(2)]
    earliest, latest = Position(3, runs[-1].last_seq), Position(5, kept[-1].last_seq)
    after_all = without_reply(await until_live(house, session, str(earliest)))
    assert after_all[0]["id"] == "4-1"
    asked = ["0", "1-1", f"1-{runs[0].last_seq}", "2-2", f"2-{runs[1].last_seq}", "3-1", "3-99"]
    for after in asked:
        gap, *rest = await until_live(house, session, after)
        requested = after if after != "0" else "0-0"
        assert gap == {"type": "gap", "requested": requested, "earliest": str(earliest), "latest": str(latest)}
        assert without_reply(rest) == [before[-1], *after_all]
    for after in (f"3-{earliest.seq - 1}", str(earliest), "4-2"):
        assert all(message["type"] != "gap" for message in await until_live(house, session, after))


async def test_a_session_of_which_nothing_else_is_left_goes_on(house, puppet):
    session = await house.session()
    run = await performed(house, puppet, session)
    await retention(house).sweep()
    async with house.watch(session, "1-1") as watch:
        first = await watch.until("caught_up")
        assert [message["type"] for message in first] == ["gap", "stream_end", "caught_up"]
        assert first[0]["earliest"] == first[0]["latest"] == first[1]["id"] == f"1-{run.last_seq}"
        await performed(house, puppet, session)
        assert (await watch.until("stream_end"))[0]["type"] == "stream_start"
    async with house.watch(session, "7-1") as watch:
        assert (await watch.next())["type"] == "gap"
    assert [message["type"] for message in await until_live(house, session, f"1-{run.last_seq}")][-1] == "caught_up"


async def test_what_is_trimmed_under_a_viewer_is_told_and_the_viewer_goes_on(house, puppet):
    session = await house.session()
    words = [f"{number} " for number in range(2000)]
    run = await performed(house, puppet, session, *words)
    async with house.watch_run(run) as watch:
        seen = [await watch.next()]
        await retention(house).sweep()
        seen += await watch.rest()
    kinds = [message["type"] for message in seen if message["type"] != "caught_up"]
    assert kinds[-2:] == ["gap", "stream_end"]
    assert kinds.count("gap") == 1
    gap = next(message for message in seen if message["type"] == "gap")
    assert Position.parse(gap["requested"]) >= max(Position.parse(each["id"]) for each in seen[: seen.index(gap)])


async def test_a_run_in_progress_and_those_after_it_are_not_trimmed(house, puppet):
    session = await house.session()
    first = await performed(house, puppet, session)
    running = await house.start(session)
    puppet.says("still here")
    async with house.watch_run(running) as watch:
        await watch.until("stream_delta")
        await retention(house).sweep()
    assert (await house.messages(first))[0]["type"] == "gap"
    puppet.returns()
    await house.ended(running)
    assert (await house.messages(running))[0]["type"] == "stream_start"


async def test_what_is_trimmed_of_a_session_is_always_its_beginning(house):
    """A run that was cancelled while it waited may have ended long before one of a lower number."""
    session = await house.session()
    now = datetime.now(UTC)
    ends = {1: now - 9 * DAY, 2: now, 3: now - 9 * DAY}
    for number, ended in ends.items():
        await an_archived_run(house, session, f"r{number}", ended)
    await Retention(house.stores, house.uploads, 1.0, lambda: now).sweep()
    trimmed = [not await is_whole(house, f"r{number}") for number in ends]
    assert trimmed == [True, False, False]
    await retention(house).sweep()
    assert [await is_whole(house, f"r{number}") for number in ends] == [False] * 3


async def an_archived_run(house: House, session: str, run_id: str, ended: datetime) -> None:
    new = NewRun(run_id, "Hello", 0, (), host="h", at=ended)
    await house.rows.start_run(session, new)
    await house.rows.finish_run(run_id, Outcome(RunStatus.COMPLETED, b"", 2, "a", ended))
    await house.rows.put_archive(run_id, encode_archive([TextDelta("a"), StreamEnd("a")]))


async def is_whole(house: House, run_id: str) -> bool:
    body = await house.rows.get_archive(run_id)
    assert body is not None
    return body[:1] == b"\x01"


async def test_a_sweep_of_many_runs_trims_each_once_and_a_damaged_one_stops_nobody(house, puppet, monkeypatch):
    sessions = [await house.session() for _ in range(3)]
    for number in range(250):
        await an_archived_run(house, sessions[number % 3], f"r{number}", datetime.now(UTC) - 9 * DAY)
    await house.rows.put_archive("r100", b"\x09damaged")
    trimmed, trim = [], house.log.trim

    async def noted(run_id: str) -> None:
        await trim(run_id)
        trimmed.append(run_id)

    monkeypatch.setattr(house.log, "trim", noted)
    await retention(house).sweep()
    assert sorted(trimmed) == sorted(f"r{number}" for number in range(250) if number != 100)
    await retention(house).sweep()
    assert len(trimmed) == 249
    with pytest.raises(StoreUnavailable):
        await house.log.read("r100", 0, 1)


async def test_a_session_that_is_deleted_during_a_sweep_is_no_fault(house, monkeypatch):
    session = await house.session()
    await an_archived_run(house, session, "r1", datetime.now(UTC) - 9 * DAY)
    get = house.rows.get_archive

    async def and_gone(run_id: str) -> bytes | None:
        body = await get(run_id)
        await house.registry.delete_session(ME, session)
        return body

    monkeypatch.setattr(house.rows, "get_archive", and_gone)
    await retention(house).sweep()


async def test_files_go_when_their_session_has_been_quiet_for_as_long(house, puppet):
    quiet, busy = await house.session(), await house.session()
    gone, kept = await house.upload(quiet, "a", b"x"), await house.upload(busy, "a", b"x")
    await house.start(busy)
    await retention(house, timedelta()).sweep()
    assert len(await house.rows.kept_files([gone.id, kept.id])) == 2
    await retention(house).sweep()
    assert await house.rows.kept_files([gone.id, kept.id]) == {kept.id}
    paths = [Path(gone.path), Path(kept.path)]
    assert await asyncio.to_thread(lambda: [path.exists() for path in paths]) == [False, True]
    assert (await house.upload(quiet, "b", b"x")).id in await house.uploads.of_session(quiet)
    puppet.returns()


async def test_it_sweeps_at_once_and_again(house, puppet):
    session = await house.session()
    run = await performed(house, puppet, session)
    kept = Retention(house.stores, house.uploads, 0.5 / 86400, lambda: datetime.now(UTC))
    async with kept.sweeping(), asyncio.timeout(PATIENCE):
        while await is_whole(house, run.id):  # noqa: ASYNC110 - an archive has no event to wait for
            await asyncio.sleep(0.01)


def test_a_clock_that_jumps_ahead_does_not_take_retention_with_it():
    wall, passed = [datetime(2026, 1, 1, tzinfo=UTC)], [100.0]
    clock = SteadyClock(lambda: wall[0], lambda: passed[0])
    assert clock() == wall[0]
    wall[0] += timedelta(days=400)
    passed[0] += 60
    assert clock() == datetime(2026, 1, 1, 0, 1, tzinfo=UTC)
    wall[0] = datetime(2025, 1, 1, tzinfo=UTC)
    assert clock() == wall[0]
