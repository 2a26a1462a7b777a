"""SqliteLog where a black box ends: restarts, kills, a second process, shared commits, a full disk."""

import asyncio
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import closing, suppress
from pathlib import Path
from queue import SimpleQueue
from threading import Event

import pytest
from attrs import evolve

from app.errors import ConfigurationError, Fenced, StoreUnavailable
from app.events import TextDelta
from app.measures import Measures
from app.runlog.cursor import Cursor
from app.runlog.segment_reader import SegmentReader
from app.runlog.sqlite import SqliteLog

pytestmark = pytest.mark.anyio

APPENDER = Path(__file__).with_name("appender.py")


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "data" / "log.sqlite"


@pytest.fixture
async def log(path, anyio_backend) -> AsyncIterator[SqliteLog]:
    opened = await SqliteLog.open(path)
    yield opened
    await opened.close()


async def seqs(log, run_id: str, limit: int = 512) -> list[int]:
    page = await log.read(run_id, 0, limit)
    assert [entry.event for entry in page.entries] == [TextDelta(str(entry.seq)) for entry in page.entries]
    return [entry.seq for entry in page.entries]


def words(first: int, last: int) -> list[TextDelta]:
    return [TextDelta(str(seq)) for seq in range(first, last + 1)]


async def in_file(path: Path, statement: str) -> list[tuple]:
    """What another connection sees."""

    def ask() -> list[tuple]:
        with closing(sqlite3.connect(path)) as connection:
            return connection.execute(statement).fetchall()

    return await asyncio.to_thread(ask)


class TestRestarting:
    @pytest.mark.parametrize("synchronous", ["normal", "full"])
    async def test_a_new_log_on_the_same_file_finds_everything(self, path, synchronous) -> None:
        log = await SqliteLog.open(path, synchronous=synchronous)
        await log.append("b", 1, words(1, 3))
        await log.append("a", 1, words(1, 2), closed=True)
        await log.close()

        log = await SqliteLog.open(path, synchronous=synchronous)
        assert await log.runs() == ["b", "a"]
        assert (await seqs(log, "b"), await seqs(log, "a")) == ([1, 2, 3], [1, 2])
        assert await log.wait("b", 2)
        assert not await log.wait("a", 2)
        await log.append("b", 4, words(4, 4))
        with pytest.raises(Fenced):
            await log.append("a", 3, words(3, 3))
        assert await seqs(log, "b") == [1, 2, 3, 4]
        await log.close()

    async def test_every_acknowledged_event_is_there_after_kill_9(self, path) -> None:
        acknowledged: dict[str, int] = {}
        for _ in range(4):
            child = await asyncio.create_subprocess_exec(
                sys.executable, APPENDER, path, stdout=asyncio.subprocess.PIPE, cwd=APPENDER.parents[2]
            )
            async with asyncio.timeout(20):
                printed = b"".join([await child.stdout.readline() for _ in range(200)])
                child.kill()
                # All that it ever printed counts, also what stood in the pipe when it died.
                printed += await child.stdout.read()
                await child.wait()
            for line in printed.decode().splitlines(keepends=True):
                if line.endswith("\n"):
                    run_id, seq = line.split()
                    acknowledged[run_id] = int(seq)
            assert len(acknowledged) == 5

            log = await SqliteLog.open(path)
            for run_id, seq in acknowledged.items():
                found = await seqs(log, run_id, limit=100_000)
                assert found == list(range(1, len(found) + 1))
                assert len(found) >= seq
            await log.close()

    async def test_an_append_in_flight_is_carried_out_before_closing(self, path) -> None:
        log = await SqliteLog.open(path)
        append = asyncio.create_task(log.append("r", 1, words(1, 3)))
        await asyncio.sleep(0)
        await log.close()
        await append

        log = await SqliteLog.open(path)
        assert await seqs(log, "r") == [1, 2, 3]
        await log.close()


class TestOwning:
    async def test_a_second_process_is_refused_with_the_reason(self, log, path) -> None:
        child = await asyncio.create_subprocess_exec(
            sys.executable, APPENDER, path, stderr=asyncio.subprocess.PIPE, cwd=APPENDER.parents[2]
        )
        try:
            async with asyncio.timeout(20):
                _, said = await child.communicate()
        finally:
            with suppress(ProcessLookupError):
                child.kill()

        assert child.returncode == 1
        assert b"ConfigurationError" in said
        assert b"is in use by process" in said

    async def test_the_same_process_is_refused_as_well_until_it_closes(self, log, path) -> None:
        with pytest.raises(ConfigurationError, match="in use by process"):
            await SqliteLog.open(path)

        await log.close()
        await (await SqliteLog.open(path)).close()

    async def test_a_file_that_is_something_else_is_refused_and_left_alone(self, tmp_path) -> None:
        path = tmp_path / "notes.txt"
        path.write_bytes(b"not a database " * 100)

        for _ in range(2):
            with pytest.raises(ConfigurationError, match="can't be used"):
                await SqliteLog.open(path)
        assert path.read_bytes() == b"not a database " * 100

    async def test_a_file_of_another_version_is_refused(self, path) -> None:
        await (await SqliteLog.open(path)).close()
        await in_file(path, "PRAGMA user_version = 99")

        with pytest.raises(ConfigurationError, match="format 99"):
            await SqliteLog.open(path)

    async def test_a_path_that_cannot_be_made_is_refused(self, tmp_path) -> None:
        (tmp_path / "file").write_bytes(b"")

        with pytest.raises(ConfigurationError):
            await SqliteLog.open(tmp_path / "file" / "log.sqlite")

    async def test_a_closed_log_says_so(self, path) -> None:
        log = await SqliteLog.open(path)
        waiter = asyncio.create_task(log.wait("r", 0))
        await log.runs()
        await log.close()
        await log.close()

        async with asyncio.timeout(5):
            await waiter
        for refused in (log.append("r", 1, words(1, 1)), log.read("r", 0, 1), log.runs(), log.drop("r")):
            with pytest.raises(StoreUnavailable, match="shut"):
                await refused


class TestCommitting:
    async def test_appends_that_arrive_during_a_commit_share_the_next(self, log, path) -> None:
        await log.append("r", 1, words(1, 1))
        before = log.commits

        # Somebody else's transaction keeps the first commit in progress while the others arrive.
        blocker = await asyncio.to_thread(sqlite3.connect, path, isolation_level=None, check_same_thread=False)
        await asyncio.to_thread(blocker.execute, "BEGIN IMMEDIATE")
        first = asyncio.create_task(log.append("first", 1, words(1, 1)))
        await log.runs()
        others = [asyncio.create_task(log.append(f"r{number}", 1, words(1, 3))) for number in range(200)]
        await log.runs()
        assert not any(append.done() for append in [first, *others])
        await asyncio.to_thread(blocker.execute, "COMMIT")
        await asyncio.to_thread(blocker.close)
        await asyncio.gather(first, *others)

        assert log.commits - before <= 2
        assert [await seqs(log, f"r{number}") for number in range(200)] == [[1, 2, 3]] * 200

    async def test_a_commit_is_timed_once_however_many_appends_share_it(self, tmp_path) -> None:
        measures = Measures()
        log = await SqliteLog.open(tmp_path / "timed.sqlite3", measures=measures)
        await asyncio.gather(*(log.append(f"r{number}", 1, words(1, 3)) for number in range(50)))
        appended = log.commits
        await log.drop("r1")
        await log.check()
        await log.close()

        assert sum(measures.commits.counts) == appended <= 50
        assert measures.commits.sum > 0

    async def test_one_append_is_one_row(self, log, path) -> None:
        await log.append("r", 1, words(1, 50))
        await log.append("r", 51, words(51, 51))

        assert await in_file(path, "SELECT count(*) FROM segments") == [(2,)]

    async def test_one_batch_may_hold_a_log_from_its_start_to_its_drop_and_its_next_life(self, log) -> None:
        outcomes = await asyncio.gather(
            log.append("r", 1, words(1, 2)),
            log.append("r", 3, words(3, 3)),
            log.append("r", 3, words(3, 3)),
            log.append("r", 4, words(4, 4), closed=True),
            log.append("r", 5, words(5, 5)),
            log.drop("r"),
            log.append("r", 1, words(1, 1)),
            return_exceptions=True,
        )

        assert [type(outcome) for outcome in outcomes] == [type(None), type(None), Fenced, type(None), Fenced] + [
            type(None)
        ] * 2
        assert await seqs(log, "r") == [1]

    async def test_a_dropped_log_leaves_no_rows_behind(self, log, path) -> None:
        for run_id in ("a", "b", "c"):
            await log.append(run_id, 1, words(1, 3))
        await log.drop("b")

        assert await in_file(path, "SELECT count(*) FROM segments") == [(2,)]
        assert await seqs(log, "c") == [1, 2, 3]

    async def test_a_log_is_told_of_only_after_its_commit(self, log, path) -> None:
        blocker = await asyncio.to_thread(sqlite3.connect, path, isolation_level=None, check_same_thread=False)
        await asyncio.to_thread(blocker.execute, "BEGIN IMMEDIATE")
        waiter = asyncio.create_task(log.wait("r", 0))
        append = asyncio.create_task(log.append("r", 1, words(1, 1)))
        await log.runs()
        assert (await log.read("r", 0, 1)).tail == 0
        assert not waiter.done()

        await asyncio.to_thread(blocker.execute, "COMMIT")
        await asyncio.to_thread(blocker.close)
        await append
        async with asyncio.timeout(5):
            assert await waiter


class TestFailing:
    async def test_a_full_disk_fails_the_append_and_later_ones_succeed(self, log) -> None:
        await log.append("r", 1, words(1, 2))
        connection = log._files.writer._connection
        ((pages,),) = await asyncio.to_thread(lambda: connection.execute("PRAGMA page_count").fetchall())
        await asyncio.to_thread(connection.execute, f"PRAGMA max_page_count = {pages + 2}")
        big = [TextDelta("x" * 100_000)]

        outcomes = await asyncio.gather(log.append("r", 3, big), log.append("s", 1, big), return_exceptions=True)

        assert [type(outcome) for outcome in outcomes] == [StoreUnavailable] * 2
        assert all(isinstance(outcome.__cause__, sqlite3.OperationalError) for outcome in outcomes)
        assert outcomes[0] is not outcomes[1]
        assert await seqs(log, "r") == [1, 2]
        assert (await log.read("s", 0, 1)).tail == 0

        await asyncio.to_thread(connection.execute, "PRAGMA max_page_count = 1000000")
        await log.append("r", 3, words(3, 3), closed=True)
        assert await seqs(log, "r") == [1, 2, 3]

    async def test_a_hole_in_the_file_is_an_error_and_not_a_shorter_log(self, path) -> None:
        log = await SqliteLog.open(path)
        for seq in range(1, 10):
            await log.append("r", seq, words(seq, seq))
        await log.close()
        await asyncio.to_thread(delete_fifth_segment, path)

        log = await SqliteLog.open(path)
        assert await seqs(log, "r", limit=4) == [1, 2, 3, 4]
        for after in (0, 3, 4):
            with pytest.raises(StoreUnavailable, match="hole"):
                await log.read("r", after, 10)
        assert [entry.seq for entry in (await log.read("r", 5, 10)).entries] == [6, 7, 8, 9]
        await log.close()


def delete_fifth_segment(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DELETE FROM segments WHERE key & 0xffffffff = 5")


class TestSharing:
    async def test_a_thousand_followers_get_the_same_pages(self, log) -> None:
        async def follow() -> list[int]:
            pages = []
            async with Cursor(log, "r") as cursor:
                while (page := await cursor.next()) is not None:
                    pages.append(page)
            return pages

        followers = [asyncio.create_task(follow()) for _ in range(1000)]
        await log.runs()
        for seq in range(1, 6):
            await log.append("r", seq, words(seq, seq), closed=seq == 5)
        seen = await asyncio.gather(*followers)

        assert [entry.seq for page in seen[0] for entry in page.entries] == [1, 2, 3, 4, 5]
        pages = {id(page): page for pages in seen for page in pages}.values()
        # How many appends a page holds depends on who ran when; that nobody has a copy of his own does not.
        assert len(pages) == len({(page.entries[0].seq, page.entries[-1].seq, page.tail) for page in pages})
        assert len(pages) < 50

    async def test_an_answer_from_before_an_append_is_not_given_to_those_who_ask_after_it(self, log, path) -> None:
        class Late(SegmentReader):
            read, answer = Event(), Event()

            def page(self, run_id, after, limit):
                found = super().page(run_id, after, limit)
                self.read.set()
                self.answer.wait(5)
                return found

        await log.append("r", 1, words(1, 1))
        log._windows.clear()
        prompt = log._files.readers
        late: SimpleQueue = SimpleQueue()
        late.put(await asyncio.to_thread(Late, path))
        log._files = evolve(log._files, readers=late)
        before = asyncio.create_task(log.read("r", 0, 10))
        await asyncio.sleep(0)
        await asyncio.to_thread(Late.read.wait, 5)
        log._files = evolve(log._files, readers=prompt)

        await log.append("r", 2, words(2, 2))
        log._windows.clear()
        after = await log.read("r", 0, 10)
        Late.answer.set()

        assert (after.tail, (await before).tail) == (2, 1)
        await asyncio.to_thread((await asyncio.to_thread(late.get)).close)

    async def test_a_thousand_that_come_back_at_once_read_the_file_once(self, log) -> None:
        await log.append("r", 1, words(1, 5000))
        await log.append("r", 5001, words(5001, 9500))
        assert not log._windows.get("r").covers(0)

        pages = await asyncio.gather(*(log.read("r", 0, 512) for _ in range(1000)))

        assert len({id(page) for page in pages}) == 1
