"""The RunLog port, as tests: what every backend guarantees."""

import asyncio
from contextlib import suppress

import pytest

from app.errors import Fenced, Gap
from app.events import StreamEnd, TextDelta
from app.runlog.base import Bell, Page
from app.runlog.cursor import Cursor

pytestmark = pytest.mark.anyio


def words(first: int, last: int) -> list[TextDelta]:
    """The events of seqs `first` to `last` of any log of these tests."""
    return [TextDelta(str(seq)) for seq in range(first, last + 1)]


async def write(log, run_id: str, last: int, *, closed: bool = False) -> None:
    await log.append(run_id, 1, words(1, last), closed=closed)


async def read_all(log, run_id: str, after: int = 0, limit: int = 512) -> list[int]:
    """Follow a log to its end: the seqs that came, each with its own event."""
    seqs = []
    async with asyncio.timeout(10), Cursor(log, run_id, after, limit=limit) as cursor:
        while (page := await cursor.next()) is not None:
            assert [entry.event for entry in page.entries] == [TextDelta(str(entry.seq)) for entry in page.entries]
            seqs += [entry.seq for entry in page.entries]
    return seqs


def seqs_of(page: Page) -> list[int]:
    return [entry.seq for entry in page.entries]


async def parked(log, run_id: str, after: int, bell: Bell | None = None) -> asyncio.Task[bool]:
    """A waiter that is known to have found nothing to return for."""
    waiter = asyncio.create_task(log.wait(run_id, after, bell))
    # Turns of the loop to begin in, and round trips to the store: whatever a waiter asks for has been answered by then.
    for _ in range(3):
        await asyncio.sleep(0)
        await log.runs()
    assert not waiter.done()
    return waiter


async def ended(*waiters: asyncio.Task[bool]) -> list[bool]:
    async with asyncio.timeout(5):
        return await asyncio.gather(*waiters)


class TestReading:
    async def test_a_log_that_nobody_wrote_to_is_empty_and_open(self, log) -> None:
        assert await log.read("r", 0, 10) == Page((), tail=0, closed=False)

    async def test_events_come_back_numbered_from_one(self, log) -> None:
        await write(log, "r", 3)
        page = await log.read("r", 0, 10)

        assert seqs_of(page) == [1, 2, 3]
        assert [entry.event for entry in page.entries] == words(1, 3)
        assert (page.tail, page.closed) == (3, False)

    async def test_after_means_strictly_after(self, log) -> None:
        await write(log, "r", 3)

        assert seqs_of(await log.read("r", 2, 10)) == [3]
        assert seqs_of(await log.read("r", 3, 10)) == []

    async def test_a_page_ends_at_its_limit_even_inside_an_append(self, log) -> None:
        await log.append("r", 1, words(1, 7))
        await log.append("r", 8, words(8, 9))

        assert seqs_of(await log.read("r", 0, 3)) == [1, 2, 3]
        assert seqs_of(await log.read("r", 3, 5)) == [4, 5, 6, 7, 8]
        assert seqs_of(await log.read("r", 8, 5)) == [9]

    async def test_every_position_gives_the_rest_of_the_log(self, log) -> None:
        for first, last in ((1, 1), (2, 5), (6, 6), (7, 20)):
            await log.append("r", first, words(first, last), closed=last == 20)

        for after in range(21):
            assert seqs_of(await log.read("r", after, 100)) == list(range(after + 1, 21))
            assert seqs_of(await log.read("r", after, 4)) == list(range(after + 1, 21))[:4]

    @pytest.mark.parametrize("after", [4, 5, 10**10, 10**30, -1, -(10**30)])
    async def test_a_position_outside_the_log_is_a_gap(self, log, after) -> None:
        await write(log, "r", 3)

        with pytest.raises(Gap) as caught:
            await log.read("r", after, 10)
        assert (caught.value.earliest, caught.value.latest) == (1, 3)

    async def test_a_position_in_a_log_that_holds_nothing_is_a_gap(self, log) -> None:
        with pytest.raises(Gap) as caught:
            await log.read("r", 1, 10)
        assert caught.value.latest == 0

    async def test_logs_do_not_mix(self, log) -> None:
        await log.append("a", 1, [TextDelta("in a")])
        await log.append("b", 1, [TextDelta("in b")])
        await log.append("a", 2, [TextDelta("in a")], closed=True)

        for run_id, count in (("a", 2), ("b", 1)):
            page = await log.read(run_id, 0, 10)
            assert [entry.event for entry in page.entries] == [TextDelta(f"in {run_id}")] * count
            assert page.closed == (run_id == "a")

    async def test_readers_at_the_same_position_share_one_page(self, log) -> None:
        await write(log, "r", 5)

        first, second = await log.read("r", 2, 10), await log.read("r", 2, 10)
        assert first is second

        await log.append("r", 6, words(6, 6))
        assert (await log.read("r", 2, 10)).tail == 6


class TestAppending:
    async def test_only_the_append_that_follows_the_tail_is_taken(self, log) -> None:
        await write(log, "r", 3)

        for first_seq in (0, 1, 3, 5, 100):
            with pytest.raises(Fenced):
                await log.append("r", first_seq, words(8, 9))
            with pytest.raises(Fenced):
                await log.append("r", first_seq, words(8, 9), closed=True)
        assert (await log.read("r", 0, 10)).tail == 3

        await log.append("r", 4, words(4, 4))
        assert seqs_of(await log.read("r", 0, 10)) == [1, 2, 3, 4]

    async def test_a_log_begins_at_one(self, log) -> None:
        with pytest.raises(Fenced):
            await log.append("r", 2, words(2, 2))

        assert (await log.read("r", 0, 10)).tail == 0

    async def test_a_closed_log_takes_nothing_more(self, log) -> None:
        await write(log, "r", 2, closed=True)

        for first_seq in (1, 2, 3):
            with pytest.raises(Fenced):
                await log.append("r", first_seq, words(3, 3))
        page = await log.read("r", 0, 10)
        assert (seqs_of(page), page.closed) == ([1, 2], True)

    async def test_of_two_appends_at_one_place_one_wins_whole(self, log) -> None:
        rivals = [[TextDelta(f"{name}{number}") for number in range(5)] for name in "ab"]

        outcomes = await asyncio.gather(*(log.append("r", 1, rival) for rival in rivals), return_exceptions=True)

        assert sorted(type(outcome) for outcome in outcomes if outcome) == [Fenced]
        assert [entry.event for entry in (await log.read("r", 0, 10)).entries] in rivals

    async def test_one_refused_append_does_not_spoil_those_beside_it(self, log) -> None:
        appends = [log.append(f"r{n}", 2 if n == 5 else 1, words(1, 3)) for n in range(10)]

        outcomes = await asyncio.gather(*appends, return_exceptions=True)

        assert [type(outcome) for outcome in outcomes] == [Fenced if n == 5 else type(None) for n in range(10)]
        assert [(await log.read(f"r{n}", 0, 10)).tail for n in range(10)] == [0 if n == 5 else 3 for n in range(10)]

    async def test_an_append_that_cannot_be_stored_changes_nothing(self, log) -> None:
        with pytest.raises(ValueError, match="surrogates"):
            await log.append("r", 1, [TextDelta("fine"), TextDelta("\ud800")])
        with pytest.raises(ValueError, match="at least one"):
            await log.append("r", 1, [])

        assert (await log.read("r", 0, 10)).tail == 0

    async def test_an_append_is_carried_out_whole_though_its_caller_is_cancelled(self, log) -> None:
        append = asyncio.create_task(log.append("r", 1, words(1, 5)))
        await asyncio.sleep(0)
        append.cancel()
        with suppress(asyncio.CancelledError):
            await append

        async with asyncio.timeout(5):
            assert await log.wait("r", 0)
        await log.append("r", 6, words(6, 6), closed=True)
        assert await read_all(log, "r") == [1, 2, 3, 4, 5, 6]

    async def test_fifty_runs_append_at_once_and_each_log_is_whole(self, log) -> None:
        async def run(run_id: str) -> None:
            for first in range(1, 61, 3):
                await log.append(run_id, first, words(first, first + 2), closed=first == 58)

        run_ids = [f"r{n}" for n in range(50)]
        readers = [asyncio.create_task(read_all(log, run_id, limit=7)) for run_id in run_ids]
        await asyncio.gather(*(run(run_id) for run_id in run_ids))

        assert await asyncio.gather(*readers) == [list(range(1, 61))] * 50


class TestWaiting:
    async def test_it_is_true_at_once_where_there_are_entries(self, log) -> None:
        await write(log, "r", 3)

        assert await log.wait("r", 0)
        assert await log.wait("r", 2)

    async def test_it_ends_with_the_next_append(self, log) -> None:
        await write(log, "r", 3)
        waiter = await parked(log, "r", 3)

        await log.append("r", 4, words(4, 4))

        assert await ended(waiter) == [True]

    async def test_it_may_begin_before_the_log_does(self, log) -> None:
        waiter = await parked(log, "r", 0)

        await write(log, "r", 1)

        assert await ended(waiter) == [True]

    async def test_it_is_false_at_the_end_of_a_closed_log(self, log) -> None:
        await write(log, "r", 3, closed=True)

        assert await log.wait("r", 2)
        assert not await log.wait("r", 3)

    async def test_the_append_that_closes_lets_everybody_read_to_the_end(self, log) -> None:
        await write(log, "r", 3)
        waiters = [await parked(log, "r", 3) for _ in range(3)]

        await log.append("r", 4, words(4, 4), closed=True)

        assert await ended(*waiters) == [True] * 3
        assert not await log.wait("r", 4)

    async def test_one_append_wakes_a_hundred_waiters(self, log) -> None:
        await write(log, "r", 1)
        waiters = [asyncio.create_task(log.wait("r", 1)) for _ in range(99)]
        waiters.append(await parked(log, "r", 1))

        await log.append("r", 2, words(2, 9))

        assert await ended(*waiters) == [True] * 100

    @pytest.mark.parametrize("tail", [0, 1])
    async def test_a_bell_wakes_its_own_waiter_and_no_other(self, log, tail) -> None:
        if tail:
            await write(log, "r", tail)
        bell = Bell()
        woken, other = await parked(log, "r", tail, bell), await parked(log, "r", tail, Bell())
        bell.ring()
        assert await ended(woken) == [True]
        assert not other.done()
        other.cancel()

    @pytest.mark.parametrize("tail", [0, 1])
    async def test_a_bell_that_was_rung_before_lets_nobody_wait(self, log, tail) -> None:
        if tail:
            await write(log, "r", tail)
        bell = Bell()
        bell.ring()
        assert await ended(asyncio.create_task(log.wait("r", tail, bell))) == [True]
        bell.clear()
        (await parked(log, "r", tail, bell)).cancel()

    @pytest.mark.parametrize("tail", [0, 1])
    async def test_a_waiter_that_is_cancelled_does_not_disturb_the_others(self, log, tail) -> None:
        if tail:
            await write(log, "r", tail)
        waiters = [await parked(log, "r", tail) for _ in range(3)]

        waiters[1].cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiters[1]
        assert not waiters[0].done()

        await log.append("r", tail + 1, words(tail + 1, tail + 1))
        assert await ended(waiters[0], waiters[2]) == [True, True]

    async def test_other_runs_wake_nobody(self, log) -> None:
        waiter = await parked(log, "r", 0)

        await write(log, "another", 3)
        await log.runs()

        assert not waiter.done()
        waiter.cancel()


class TestDropping:
    async def test_a_dropped_log_is_as_if_it_never_was(self, log) -> None:
        await write(log, "r", 3, closed=True)
        assert (await log.read("r", 0, 1)).tail == 3

        await log.drop("r")

        assert await log.read("r", 0, 10) == Page((), tail=0, closed=False)
        with pytest.raises(Gap):
            await log.read("r", 3, 10)
        assert "r" not in await log.runs()

    async def test_other_logs_stay(self, log) -> None:
        for run_id in ("a", "b", "c"):
            await write(log, run_id, 3)

        await log.drop("b")

        assert sorted(await log.runs()) == ["a", "c"]
        await log.append("c", 4, words(4, 4), closed=True)
        assert await read_all(log, "c") == [1, 2, 3, 4]

    async def test_whoever_waits_is_woken(self, log) -> None:
        await write(log, "r", 3)
        waiters = [await parked(log, "r", 3) for _ in range(3)]

        await log.drop("r")

        await ended(*waiters)

    async def test_a_reader_that_held_a_position_gets_a_gap_and_does_not_hang(self, log) -> None:
        await write(log, "r", 3)
        cursor = Cursor(log, "r")
        await cursor.next()

        await log.drop("r")

        async with asyncio.timeout(5):
            with pytest.raises(Gap):
                await cursor.next()

    async def test_there_may_be_nothing_to_drop(self, log) -> None:
        await log.drop("r")

        assert await log.runs() == []


class TestListing:
    async def test_runs_are_listed_once_their_logs_have_begun(self, log) -> None:
        waiter = await parked(log, "a", 0)
        for run_id in ("c", "a", "b"):
            await write(log, run_id, 1)
        await log.append("c", 2, words(2, 2))

        assert sorted(await log.runs()) == ["a", "b", "c"]
        assert await ended(waiter) == [True]


class TestFollowing:
    async def test_a_reader_that_pages_while_a_writer_appends_sees_every_seq_once(self, log) -> None:
        async def writer() -> None:
            seq = 0
            for count in [1, 7, 2, 30, 1, 1, 64, 3] * 6:
                await log.append("r", seq + 1, words(seq + 1, seq + count))
                seq += count
            await log.append("r", seq + 1, words(seq + 1, seq + 1), closed=True)

        readers = [asyncio.create_task(read_all(log, "r", limit=limit)) for limit in (1, 5, 512)]
        await writer()
        late = await read_all(log, "r", after=100, limit=11)

        assert await asyncio.gather(*readers) == [list(range(1, 656))] * 3
        assert late == list(range(101, 656))

    async def test_a_log_longer_than_any_window_is_read_whole(self, log) -> None:
        for first in range(1, 9001, 500):
            await log.append("r", first, words(first, first + 499), closed=first == 8501)

        assert await read_all(log, "r") == list(range(1, 9001))

    async def test_any_event_survives(self, log) -> None:
        await log.append(
            "r", 1, [TextDelta("é\u0301🜁\x00\n", part="t", agent="sub"), StreamEnd("é", 1, 2)], closed=True
        )

        page = await log.read("r", 0, 10)

        assert [entry.event for entry in page.entries] == [
            TextDelta("é\u0301🜁\x00\n", part="t", agent="sub"),
            StreamEnd("é", 1, 2),
        ]
