"""Viewers of runs and sessions: where they begin, what they get, and that they share the work."""

import asyncio
import json
from collections import Counter

import pytest

from app.dialects import native
from app.errors import SessionNotFound
from app.events import Custom, StreamEnd, TextDelta, ThinkingDelta, ToolEvent, ToolStarted
from app.position import Position
from tests.house import ME, PATIENCE, TERMINAL, House, Puppet

pytestmark = pytest.mark.anyio

SCRIPT = [
    ThinkingDelta("hm"),
    "a",
    TextDelta("x", agent="helper"),
    ToolStarted("search", {"q": 1}, call_id="c"),
    ToolEvent("search", {"q": 1}, "found", success=True, call_id="c"),
    "b",
    "c",
    StreamEnd(""),
]


async def perform(house: House, session: str, puppet: Puppet, *said):
    """A run from its start to its end."""
    run = await house.start(session)
    puppet.says(*(said or SCRIPT))
    return await house.ended(run)


def logged(messages):
    return [message for message in messages if "id" in message]


def position(message) -> Position:
    return Position.parse(message["id"])


# one run


async def test_a_viewer_of_a_run_gets_it_from_its_first_event_to_its_terminal(house, puppet):
    run = await house.start(await house.session())
    async with house.watch_run(run) as watch:
        puppet.says(*SCRIPT)
        messages = await watch.rest()
    assert [message["type"] for message in logged(messages)] == [
        "stream_start",
        "thinking_delta",
        "thinking_end",
        "stream_delta",
        "stream_delta",
        "tool_started",
        "tool_call",
        "stream_delta",
        "stream_delta",
        "stream_end",
    ]
    assert messages[-1]["content"] == "abc"
    positions = [position(message) for message in logged(messages)]
    assert positions == sorted(set(positions))
    again = await house.messages(run)
    assert logged(again) == logged(messages)
    assert again[-1] == {"type": "caught_up", "position": f"1-{run.last_seq or positions[-1].seq}"}


async def test_resuming_anywhere_gives_exactly_the_rest(house, puppet):
    run = await perform(house, await house.session(), puppet)
    whole = logged(await house.messages(run))
    for seq in range(run.last_seq):
        rest = [message for message in whole if position(message) > Position(1, seq)]
        assert logged(await house.messages(run, f"1-{seq}")) == rest
    assert logged(await house.messages(run, "0")) == whole


async def test_resuming_anywhere_in_a_long_run_gives_exactly_the_rest(house, puppet):
    run = await perform(house, await house.session(), puppet, *(f"{n} " for n in range(300)), StreamEnd(""))
    text = "".join(f"{n} " for n in range(300))
    for cut in (0, 1, 2, 3, 64, 65, 150, 301):
        messages = logged(await house.messages(run, f"1-{cut}"))
        said = "".join(message["delta"] for message in messages if message["type"] == "stream_delta")
        assert said == text[len("".join(f"{n} " for n in range(max(cut - 2, 0)))) :]
        assert messages[-1]["type"] == "stream_end"
        if cut < 200:
            assert len(messages) < 50  # adjacent deltas came merged (P3.5)


async def test_resuming_while_it_runs_gives_exactly_the_rest(house, puppet):
    run = await house.start(await house.session())
    puppet.says(*SCRIPT[:-1])
    async with house.watch_run(run) as watch:
        seen = []
        while sum(message["type"] == "stream_delta" for message in seen) < 4:
            seen.append(await watch.next())
    seen = logged(seen)
    resumed = []
    for message in seen:
        async with house.watch_run(run, message["id"]) as watch:
            resumed.append([each for each in await watch.until("caught_up") if "id" in each])
    assert resumed == [seen[index + 1 :] for index in range(len(seen))]
    puppet.says(SCRIPT[-1])
    await house.ended(run)


async def test_of_a_run_resumed_at_its_terminal_nothing_is_left(house, puppet):
    run = await perform(house, await house.session(), puppet)
    end = Position(1, run.last_seq)
    assert await house.registry.follow_run(ME, run.session_id, run.id, end) is None
    assert await house.registry.follow_run(ME, run.session_id, run.id, Position(1, run.last_seq - 1)) is not None


async def test_resumed_between_the_rows_end_and_the_logs_a_viewer_still_gets_the_terminal(house, puppet, monkeypatch):
    run = await house.start(await house.session())
    append, decided, go_on = house.log.append, asyncio.Event(), asyncio.Event()

    async def append_the_end_later(*args, closed=False):
        if closed:
            decided.set()
            await go_on.wait()
        await append(*args, closed=closed)

    monkeypatch.setattr(house.log, "append", append_the_end_later)
    puppet.says(Custom("x"), StreamEnd("done"))
    async with asyncio.timeout(PATIENCE):
        await decided.wait()
    tail = (await house.log.read(run.id, 0, 1)).tail
    assert (await house.rows.get_run(run.session_id, run.id)).ended_at is not None
    async with house.watch_run(run, f"1-{tail}") as watch:
        assert (await watch.next())["type"] == "caught_up"
        go_on.set()
        assert [message["type"] for message in await watch.rest()] == ["stream_end"]


@pytest.mark.parametrize("after", ["1-99", "2-0", "7-3"])
async def test_beyond_a_runs_end_there_is_a_gap_and_then_everything(house, puppet, after):
    run = await perform(house, await house.session(), puppet)
    whole = await house.messages(run)
    gap, *rest = await house.messages(run, after)
    assert gap == {"type": "gap", "requested": after, "earliest": "1-1", "latest": f"1-{run.last_seq}"}
    assert rest == whole


async def test_caught_up_is_said_once_where_the_stored_events_end(house, puppet):
    run = await house.start(await house.session())
    puppet.says("a", "b")
    async with house.watch_run(run) as first:
        await first.until("stream_delta")
        stored = await first.until("stream_delta")
        async with house.watch_run(run) as second:
            seen = await second.until("caught_up")
            assert seen[-1]["position"] == seen[-2]["id"] == stored[-1]["id"]
            puppet.says("c", StreamEnd(""))
            assert "caught_up" not in [message["type"] for message in await second.rest()]


async def test_a_piece_of_a_log_is_read_and_then_the_next(house, puppet):
    run = await perform(house, await house.session(), puppet)
    whole = [message for message in await house.messages(run) if "id" in message]
    at, pieces, done = None, [], False
    while not done:
        piece = await house.registry.read_log(ME, run.session_id, run.id, at, limit=3, wait=0)
        pieces += [json.loads(frame.json) for frame in piece.frames]
        at, done = piece.next, piece.done
    assert pieces == whole
    assert at == Position(1, run.last_seq)


async def test_reading_waits_for_a_first_event_and_no_longer(house, puppet):
    run = await house.start(await house.session())
    async with house.watch_run(run) as watch:
        await watch.until("stream_start")
    at = Position(1, 1)
    empty = await house.registry.read_log(ME, run.session_id, run.id, at, limit=9, wait=0.01)
    assert (empty.frames, empty.next, empty.done) == ((), at, False)
    reading = asyncio.create_task(house.registry.read_log(ME, run.session_id, run.id, at, limit=9, wait=PATIENCE))
    puppet.says("a")
    piece = await reading
    assert [json.loads(frame.json)["type"] for frame in piece.frames] == ["stream_delta"]


# a session


async def test_a_session_is_followed_through_its_later_runs(house, puppet):
    session = await house.session()
    async with house.watch(session) as watch:
        assert await watch.next() == {"type": "caught_up", "position": "0-0"}
        for number in (1, 2, 3):
            await perform(house, session, puppet)
            messages = await watch.until(*TERMINAL)
            assert {position(message).run for message in messages} == {number}
            assert "caught_up" not in [message["type"] for message in messages]


async def test_without_a_position_a_session_begins_with_the_run_in_progress(house, puppet):
    session = await house.session()
    await perform(house, session, puppet)
    await house.start(session)
    puppet.says("a")
    async with house.watch(session) as first:
        seen = await first.until("stream_delta")
        assert position(logged(seen)[0]) == Position(2, 1)
    async with house.watch(session) as watch:
        messages = await watch.until("caught_up")
    assert [message["type"] for message in messages] == ["stream_start", "stream_delta", "caught_up"]


async def test_without_a_position_or_a_run_in_progress_a_session_begins_live(house, puppet):
    session = await house.session()
    run = await perform(house, session, puppet)
    async with house.watch(session) as watch:
        assert await watch.next() == {"type": "caught_up", "position": f"1-{run.last_seq}"}
        await perform(house, session, puppet)
        assert position(await watch.next()) == Position(2, 1)


async def test_from_the_beginning_a_session_is_all_its_runs_and_then_caught_up_once(house, puppet):
    session = await house.session()
    runs = [await perform(house, session, puppet) for _ in range(3)]
    whole = [message for run in runs for message in logged(await house.messages(run))]
    async with house.watch(session, "0") as watch:
        messages = await watch.until("caught_up")
        assert messages[:-1] == whole
        assert messages[-1]["position"] == f"3-{runs[-1].last_seq}"
        puppet.says(*SCRIPT)
        await house.start(session)
        later = await watch.until(*TERMINAL)
        assert position(later[0]) == Position(4, 1)
        assert "caught_up" not in [message["type"] for message in later]


async def test_resuming_a_session_anywhere_gives_exactly_the_rest(house, puppet):
    session = await house.session()
    runs = [await perform(house, session, puppet) for _ in range(2)]
    async with house.watch(session, "0") as watch:
        whole = logged(await watch.until("caught_up"))
    for run in runs:
        for seq in range(run.last_seq + 1):
            async with house.watch(session, f"{run.number}-{seq}") as watch:
                rest = logged(await watch.until("caught_up"))
            assert rest == [message for message in whole if position(message) > Position(run.number, seq)]


@pytest.mark.parametrize("after", ["1-99", "2-99", "3-0", "3-1", "9-9"])
async def test_a_position_that_a_session_does_not_have_is_a_gap_and_then_everything(house, puppet, after):
    session = await house.session()
    await perform(house, session, puppet)
    last = await perform(house, session, puppet)
    async with house.watch(session, "0") as watch:
        whole = await watch.until("caught_up")
    async with house.watch(session, after) as watch:
        gap, *rest = await watch.until("caught_up")
    assert gap == {"type": "gap", "requested": after, "earliest": "1-1", "latest": f"2-{last.last_seq}"}
    assert rest == whole


async def test_a_position_in_a_session_without_runs_is_a_gap(house):
    async with house.watch(await house.session(), "1-1") as watch:
        gap, caught_up = await watch.until("caught_up")
    assert gap == {"type": "gap", "requested": "1-1", "earliest": "0-0", "latest": "0-0"}
    assert caught_up == {"type": "caught_up", "position": "0-0"}


async def test_a_run_that_starts_while_a_viewer_attaches_is_not_missed(house, puppet):
    session = await house.session()
    viewers = [await house.registry.follow_session(ME, session, None) for _ in range(5)]
    starting = asyncio.create_task(house.start(session))

    async def starts(viewer) -> str:
        async with viewer, asyncio.timeout(PATIENCE):
            async for batch in viewer:
                for frame in batch.frames:
                    if frame.id is not None:
                        return str(frame.id)
        raise AssertionError

    assert await asyncio.gather(*map(starts, viewers)) == ["1-1"] * 5
    await starting


async def test_a_viewer_of_a_deleted_session_is_told_so(house):
    session = await house.session()
    async with house.watch(session) as watch:
        await watch.until("caught_up")
        deleting = asyncio.create_task(house.registry.delete_session(ME, session))
        with pytest.raises(SessionNotFound):
            await watch.next()
        await deleting


# sharing


@pytest.mark.parametrize("memory", [True, False], ids=["memory", "sqlite"])
async def test_a_hundred_viewers_share_every_frame_and_each_is_made_once(open_house, puppet, monkeypatch, memory):
    house = await open_house(puppet, memory=memory)
    run = await house.start(await house.session())
    made: Counter[bytes] = Counter()
    encode = native.encode

    def counting(message) -> bytes:
        made[encode(message)] += 1
        return encode(message)

    monkeypatch.setattr(native, "encode", counting)
    native._caught_up.cache_clear()
    halfway = asyncio.Barrier(101)

    async def view() -> list:
        async with house.watch_run(run) as watch:
            await watch.until("tool_call")
            await halfway.wait()
            await watch.rest()
            return watch.frames

    puppet.says(*SCRIPT[:-1])
    viewing = [asyncio.create_task(view()) for _ in range(100)]
    async with asyncio.timeout(PATIENCE):
        await halfway.wait()
        puppet.says("d", StreamEnd(""))
        views = await asyncio.gather(*viewing)
    first = [frame for frame in views[0] if frame.id is not None]
    assert len(first) == 11
    for frames in views:
        theirs = [frame for frame in frames if frame.id is not None]
        assert all(mine is his and mine.json is his.json for mine, his in zip(first, theirs, strict=True))
        assert all(mine.sse is his.sse for mine, his in zip(first, theirs, strict=True))
    assert set(made) == {frame.json for frames in views for frame in frames}
    assert set(made.values()) == {1}


async def test_viewers_that_are_behind_share_their_merged_pages(open_house, puppet, monkeypatch):
    house = await open_house(puppet)
    run = await house.start(await house.session())
    puppet.says(*(f"{n} " for n in range(200)))
    puppet.says(Custom("all said"))
    async with house.watch_run(run) as watch:
        await watch.until("custom")
        made = 0
        encode = native.encode

        def counting(message) -> bytes:
            nonlocal made
            made += 1
            return encode(message)

        monkeypatch.setattr(native, "encode", counting)

        async def catch_up() -> list:
            async with house.watch_run(run) as late:
                await late.until("custom")
                return late.frames

        views = await asyncio.gather(*(catch_up() for _ in range(50)))
    merged = {frame.json for frames in views for frame in frames}
    assert made <= len(merged) < 20
    assert all(mine is his for frames in views for mine, his in zip(views[0], frames, strict=True))
    puppet.returns()
    await house.ended(run)


async def test_a_feed_lives_as_long_as_somebody_views_it(house, puppet):
    session = await house.session()
    run = await house.start(session)
    feeds = house.registry._audience.runs
    async with house.watch_run(run) as one, house.watch(session) as other:
        await one.until("stream_start")
        await other.until("stream_start")
        assert feeds.viewers(run.id) == 2
        assert list(house.registry._audience.sessions._feeds) == [session]
    assert feeds.viewers(run.id) == 0
    assert house.registry._audience.sessions._feeds == {}
