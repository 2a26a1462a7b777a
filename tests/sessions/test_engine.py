"""How SQLite is set up."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import aiosqlite
import anyio
import pytest
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncEngine

from app.sessions.engine import open_engine, transact, writing

pytestmark = pytest.mark.anyio


Open = Callable[..., Awaitable[AsyncEngine]]


@pytest.fixture
async def opened(tmp_path: Path) -> AsyncIterator[Open]:
    """Opens the engine of a database file; closed after the test."""
    engines = []

    async def open_(**options: str) -> AsyncEngine:
        url = f"sqlite+aiosqlite:///{tmp_path / 's.db'}"
        await asyncio.to_thread(transact, url, nothing)
        engines.append(await asyncio.to_thread(open_engine, url, **options))
        return engines[-1]

    yield open_
    for engine in engines:
        await engine.dispose()


def nothing(_connection: Connection) -> None:
    """Work that leaves only what `transact` itself does."""


async def setting(engine: AsyncEngine, name: str) -> object:
    async with engine.connect() as connection:
        return await connection.scalar(text(f"PRAGMA {name}"))


@pytest.mark.parametrize(
    ("name", "value"), [("journal_mode", "wal"), ("synchronous", 1), ("foreign_keys", 1), ("busy_timeout", 10_000)]
)
async def test_a_connection_is_set_up_for_many_processes(opened: Open, name: str, value: object) -> None:
    assert await setting(await opened(), name) == value


async def test_it_can_be_asked_to_survive_a_loss_of_power(opened: Open) -> None:
    assert await setting(await opened(synchronous="full"), "synchronous") == 2


async def test_a_writing_transaction_that_read_first_waits_instead_of_failing(opened: Open) -> None:
    """A transaction that is begun deferred would fail here with `database is locked`."""
    engine = await opened()
    async with writing(engine).begin() as setup:
        await setup.execute(text("CREATE TABLE t (n INTEGER)"))
        await setup.execute(text("INSERT INTO t VALUES (0)"))

    async def add_one() -> None:
        async with writing(engine).begin() as connection:
            n = await connection.scalar(text("SELECT n FROM t"))
            await connection.execute(text("UPDATE t SET n = :n"), {"n": n + 1})

    async with anyio.create_task_group() as tasks:
        for _ in range(10):
            tasks.start_soon(add_one)
    async with engine.connect() as connection:
        assert await connection.scalar(text("SELECT n FROM t")) == 10


async def test_a_reader_does_not_wait_for_a_writer(opened: Open) -> None:
    engine = await opened()
    async with writing(engine).begin() as writer:
        await writer.execute(text("CREATE TABLE t (n INTEGER)"))
        async with engine.connect() as reader:
            assert await reader.scalar(text("SELECT count(*) FROM sqlite_schema")) == 0


async def test_a_first_start_waits_while_another_process_writes(tmp_path: Path) -> None:
    """SQLite itself would refuse at once to change the journal's mode."""
    path = tmp_path / "s.db"
    async with aiosqlite.connect(path, isolation_level=None) as other:
        await other.execute("CREATE TABLE t (n INTEGER)")
        await other.execute("BEGIN IMMEDIATE")
        start = asyncio.create_task(asyncio.to_thread(transact, f"sqlite+aiosqlite:///{path}", nothing))
        ended, _ = await asyncio.wait({start}, timeout=0.3)
        assert not ended
        await other.execute("COMMIT")
        async with asyncio.timeout(5):
            await start
