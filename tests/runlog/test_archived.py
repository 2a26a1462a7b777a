"""A log that moves to the archive under its readers' hands."""

import asyncio

import pytest

from app.errors import Fenced, Gap, Lost
from app.events import TextDelta, TextEnd
from app.measures import Measures
from app.runlog.archived import ArchivedLog
from app.runlog.cursor import Cursor

pytestmark = pytest.mark.anyio


def words(first: int, last: int) -> list[TextDelta]:
    return [TextDelta(str(seq)) for seq in range(first, last + 1)]


def seqs_of(page) -> list[int]:
    return [entry.seq for entry in page.entries]


@pytest.fixture
def log(live, shelf) -> ArchivedLog:
    return ArchivedLog(live, shelf)


async def closed_run(log, run_id: str, last: int) -> None:
    await log.append(run_id, 1, words(1, last), closed=True)


async def test_events_are_counted_by_class_once_they_are_in_the_log(live, shelf) -> None:
    measures = Measures()
    log = ArchivedLog(live, shelf, measures=measures)
    await log.append("r", 1, [*words(1, 3), TextEnd(part="t1")])
    with pytest.raises(Fenced):
        await log.append("r", 1, words(1, 1))

    assert measures.events == {TextDelta: 3, TextEnd: 1}


async def test_a_cursor_in_the_middle_sees_no_hole_and_no_repeat(log, live) -> None:
    await closed_run(log, "r", 100)
    async with Cursor(log, "r", limit=7) as cursor:
        seen = seqs_of(await cursor.next()) + seqs_of(await cursor.next())

        await log.archive("r")

        assert await live.runs() == []
        while (page := await cursor.next()) is not None:
            seen += seqs_of(page)
    assert seen == list(range(1, 101))


@pytest.mark.parametrize("after", [0, 50, 99])
async def test_every_position_of_an_archived_log_is_exact(log, after) -> None:
    await closed_run(log, "r", 100)
    await log.archive("r")

    page = await log.read("r", after, 200)

    assert seqs_of(page) == list(range(after + 1, 101))
    assert [entry.event for entry in page.entries] == words(after + 1, 100)
    assert (page.tail, page.closed) == (100, True)
    assert await log.read("r", after, 200) is page


async def test_somebody_new_at_the_end_of_an_archived_log_does_not_wait(log, live, shelf) -> None:
    await closed_run(log, "r", 3)
    await log.archive("r")

    newcomer = ArchivedLog(live, shelf)
    async with asyncio.timeout(5):
        assert not await newcomer.wait("r", 3)
        assert await newcomer.wait("r", 2)
        assert await ArchivedLog(live, shelf).wait("r", 0)


async def test_whoever_waits_for_a_run_to_begin_is_woken_by_it(log) -> None:
    waiters = [asyncio.create_task(log.wait("r", 0)) for _ in range(3)]
    await asyncio.sleep(0)
    await log.runs()

    await closed_run(log, "r", 2)
    await log.archive("r")

    async with asyncio.timeout(5):
        assert await asyncio.gather(*waiters) == [True] * 3


class LateOnce:
    """An archive whose first answer was true when it was asked, and is late."""

    def __init__(self, shelf) -> None:
        self._shelf = shelf
        self.asked, self.answer = asyncio.Event(), asyncio.Event()
        self.put_archive = shelf.put_archive
        self.awaits_archive = shelf.awaits_archive

    async def get_archive(self, run_id):
        found = await self._shelf.get_archive(run_id)
        if not self.asked.is_set():
            self.asked.set()
            await self.answer.wait()
        return found


async def test_whoever_begins_to_wait_just_as_the_log_moves_is_not_forgotten(live, shelf) -> None:
    late = LateOnce(shelf)
    log = ArchivedLog(live, late)
    waiter = asyncio.create_task(log.wait("r", 0))
    async with asyncio.timeout(5):
        await late.asked.wait()
        await live.append("r", 1, words(1, 2), closed=True)
        await log.archive("r")
        # Nobody who comes now may be given the answer from before the move.
        assert (await log.read("r", 0, 10)).tail == 2
        late.answer.set()
        assert await waiter


async def test_an_answer_from_before_another_process_moved_the_log_is_not_believed(live, shelf) -> None:
    late = LateOnce(shelf)
    log, other = ArchivedLog(live, late, shared=True), ArchivedLog(live, shelf)
    waiter = asyncio.create_task(log.wait("r", 0))
    async with asyncio.timeout(5):
        await late.asked.wait()
        await live.append("r", 1, words(1, 2), closed=True)
        await other.archive("r")
        reader = asyncio.create_task(log.read("r", 0, 10))
        for _ in range(10):  # until it waits for the answer that is under way
            await asyncio.sleep(0)
        late.answer.set()
        assert (await reader).tail == 2
        assert await waiter


async def test_an_archive_that_arrives_after_the_drop_is_not_remembered(live, shelf) -> None:
    await live.append("r", 1, words(1, 2), closed=True)
    await ArchivedLog(live, shelf).archive("r")
    late = LateOnce(shelf)
    log = ArchivedLog(live, late)
    reader = asyncio.create_task(log.read("r", 0, 10))
    async with asyncio.timeout(5):
        await late.asked.wait()
        del shelf.bodies["r"]
        await log.drop("r")
        late.answer.set()
        await reader

    assert (await log.read("r", 0, 10)).tail == 0


async def test_archiving_again_repairs_a_crash_between_its_two_steps(log, live, shelf) -> None:
    await closed_run(log, "r", 5)
    await log.archive("r")
    body = shelf.bodies["r"]

    # As a crash leaves it: in the archive, and still in the live log.
    await live.append("r", 1, words(1, 5), closed=True)
    await log.archive("r")
    assert (await live.runs(), shelf.bodies) == ([], {"r": body})

    await log.archive("r")
    assert shelf.bodies == {"r": body}


async def test_archiving_twice_at_once_is_archiving_once(log, live) -> None:
    await closed_run(log, "r", 5)

    await asyncio.gather(log.archive("r"), log.archive("r"))

    assert await live.runs() == []
    assert (await log.read("r", 0, 1)).tail == 5


async def test_an_open_log_is_not_archived(log, live, shelf) -> None:
    await log.append("r", 1, words(1, 2))

    with pytest.raises(Lost, match="open"):
        await log.archive("r")
    assert (await live.runs(), shelf.bodies) == (["r"], {})


async def test_a_log_that_could_not_be_put_stays_live(live) -> None:
    class Broken:
        async def put_archive(self, run_id, body, *, trimmed=False):
            raise OSError

    await live.append("r", 1, words(1, 2), closed=True)

    with pytest.raises(OSError):  # noqa: PT011 - the archive's own error, as it is
        await ArchivedLog(live, Broken()).archive("r")
    assert await live.runs() == ["r"]


async def test_a_log_that_is_not_there_is_lost_unless_its_run_is_not_there_either(log, shelf) -> None:
    with pytest.raises(Lost):
        await log.archive("r")
    shelf.deleted.add("r")
    await log.archive("r")

    assert shelf.bodies == {}


@pytest.mark.parametrize("first_seq", [1, 3, 4])
async def test_an_archived_log_takes_no_appends(log, live, first_seq) -> None:
    await closed_run(log, "r", 3)
    await log.archive("r")

    with pytest.raises(Fenced):
        await log.append("r", first_seq, words(1, 1))
    assert await live.runs() == []


async def test_a_log_whose_archive_was_removed_is_gone_once_dropped(log, shelf) -> None:
    await closed_run(log, "r", 3)
    await log.archive("r")
    assert (await log.read("r", 0, 9)).tail == 3

    del shelf.bodies["r"]
    await log.drop("r")

    assert (await log.read("r", 0, 9)).tail == 0
    with pytest.raises(Gap):
        await log.read("r", 3, 9)


async def test_archives_kept_decoded_are_bounded_by_their_events(live, shelf) -> None:
    log = ArchivedLog(live, shelf, most_events=25)
    for run_id in "abc":
        await closed_run(log, run_id, 10)
        await log.archive(run_id)
    for run_id in "abcab":
        assert seqs_of(await log.read(run_id, 0, 100)) == list(range(1, 11))

    assert list(log._decoded) == ["a", "b"]
    assert log._decoded_events == 20


async def test_a_hundred_readers_of_an_archived_log_fetch_it_once(live, shelf) -> None:
    asked = []

    class Counting:
        async def get_archive(self, run_id):
            asked.append(run_id)
            return await shelf.get_archive(run_id)

        put_archive = shelf.put_archive
        awaits_archive = shelf.awaits_archive

    log = ArchivedLog(live, Counting())
    await live.append("r", 1, words(1, 50), closed=True)
    await log.archive("r")

    pages = await asyncio.gather(*(log.read("r", 10, 5) for _ in range(100)))

    assert len({id(page) for page in pages}) == 1
    assert asked == ["r"]


async def test_the_log_of_a_deleted_run_is_not_begun(live, shelf) -> None:
    log = ArchivedLog(live, shelf)
    shelf.deleted.add("r")
    with pytest.raises(Fenced):
        await log.append("r", 1, words(1, 2))
    assert await live.runs() == []


class TestATrimOfAnotherProcess:
    """What one process trims, and the other has in memory, or is just about to have."""

    async def test_is_heeded_once_the_reader_knows_of_it(self, log, live, shelf) -> None:
        await closed_run(log, "r", 5)
        await log.archive("r")
        await log.read("r", 0, 9)
        await ArchivedLog(live, shelf).trim("r")
        assert (await log.read("r", 0, 9)).tail == 5

        log.heed_trims(["r", "another"])

        with pytest.raises(Gap) as caught:
            await log.read("r", 0, 9)
        assert (caught.value.earliest, caught.value.latest) == (5, 5)
        assert seqs_of(await log.read("r", 4, 9)) == [5]

    async def test_is_heeded_again_when_the_log_was_whole_once_more(self, log, live, shelf) -> None:
        await closed_run(log, "r", 5)
        await log.archive("r")
        whole, other = shelf.bodies["r"], ArchivedLog(live, shelf)
        for _ in range(2):
            assert (await log.read("r", 0, 9)).tail == 5
            await other.trim("r")
            log.heed_trims(["r"])
            with pytest.raises(Gap):
                await log.read("r", 0, 9)
            await log.drop("r")
            shelf.bodies["r"] = whole  # as a process that had stood still puts it there

    async def test_is_not_undone_by_an_answer_that_was_under_way(self, live, shelf) -> None:
        await live.append("r", 1, words(1, 5), closed=True)
        other = ArchivedLog(live, shelf)
        await other.archive("r")
        late = LateOnce(shelf)
        log = ArchivedLog(live, late, shared=True)
        before = asyncio.create_task(log.read("r", 0, 9))
        async with asyncio.timeout(5):
            await late.asked.wait()
            await other.trim("r")
            log.heed_trims(["r"])
            with pytest.raises(Gap):
                await log.read("r", 0, 9)
            late.answer.set()
            assert (await before).tail == 5  # it asked before that
        with pytest.raises(Gap):
            await log.read("r", 0, 9)

    async def test_costs_one_reading_however_often_it_is_told(self, live, shelf) -> None:
        await live.append("r", 1, words(1, 5), closed=True)
        other = ArchivedLog(live, shelf)
        await other.archive("r")
        await other.trim("r")
        asked = []

        class Counting:
            async def get_archive(self, run_id):
                asked.append(run_id)
                return await shelf.get_archive(run_id)

        log = ArchivedLog(live, Counting(), shared=True)

        async def come() -> None:
            log.heed_trims(["r"])
            assert seqs_of(await log.read("r", 4, 9)) == [5]

        await asyncio.gather(*(come() for _ in range(50)))
        await come()
        assert asked == ["r"]
