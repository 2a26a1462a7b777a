"""A cursor reads to the end, lets others run, and stops when told."""

import asyncio

import pytest

from app.errors import Gap
from app.events import TextDelta
from app.runlog.cursor import Cursor

pytestmark = pytest.mark.anyio


def words(count: int) -> list[TextDelta]:
    return [TextDelta("x")] * count


async def test_pages_are_never_empty_and_the_end_is_none_for_ever(log) -> None:
    await log.append("r", 1, words(5), closed=True)

    async with Cursor(log, "r", 2, limit=2) as cursor:
        pages = [await cursor.next(), await cursor.next()]
        assert [[entry.seq for entry in page.entries] for page in pages] == [[3, 4], [5]]
        assert cursor.after == 5
        assert await cursor.next() is None
        assert await cursor.next() is None


async def test_readers_that_began_anywhere_get_the_same_pages_from_the_second_on(log) -> None:
    await log.append("r", 1, words(30), closed=True)

    for after in range(10):
        seqs = []
        async with Cursor(log, "r", after, limit=10) as cursor:
            while (page := await cursor.next()) is not None:
                seqs.append([entry.seq for entry in page.entries])
        assert seqs == [list(range(after + 1, 11)), list(range(11, 21)), list(range(21, 31))]


async def test_resumed_at_the_end_there_is_nothing(log) -> None:
    await log.append("r", 1, words(5), closed=True)

    async with asyncio.timeout(5), Cursor(log, "r", 5) as cursor:
        assert await cursor.next() is None


async def test_a_position_beyond_the_log_is_a_gap(log) -> None:
    await log.append("r", 1, words(5))

    async with asyncio.timeout(5), Cursor(log, "r", 6) as cursor:
        with pytest.raises(Gap):
            await cursor.next()


async def test_catching_up_lets_others_run_between_pages(log) -> None:
    await log.append("r", 1, words(100), closed=True)
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    async with Cursor(log, "r", limit=1) as cursor:
        for _ in range(100):
            await cursor.next()
    task.cancel()

    assert turns >= 100


async def test_a_next_that_is_cancelled_loses_nothing(log) -> None:
    await log.append("r", 1, words(1))
    async with asyncio.timeout(5), Cursor(log, "r", 1) as cursor:
        waiting = asyncio.create_task(cursor.next())
        for _ in range(3):
            await asyncio.sleep(0)
            await log.runs()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

        await log.append("r", 2, words(1), closed=True)
        page = await cursor.next()
        assert [entry.seq for entry in page.entries] == [2]


async def test_a_cursor_that_was_left_reads_no_more(log) -> None:
    await log.append("r", 1, words(1))
    async with Cursor(log, "r") as cursor:
        pass

    assert await cursor.next() is None
