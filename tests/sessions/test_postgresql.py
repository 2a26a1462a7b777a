"""What becomes of the store when its PostgreSQL server is lost, stalls, or answers too late."""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.errors import ConfigurationError, StoreUnavailable
from app.sessions import postgresql
from app.sessions.base import Ended
from app.sessions.migrations import migrate
from app.sessions.sql import SqlSessionStore, open_sessions
from tests.postgres import PASSWORD, PostgresServer, postgres_server
from tests.sessions.between import Between, between
from tests.sessions.samples import AT, SECOND, a_run, a_session, an_outcome

pytestmark = pytest.mark.anyio


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    server = postgres_server()
    yield server
    server.start_again()


@pytest.fixture
def url(server: PostgresServer) -> str:
    return server.migrated()


@pytest.fixture
async def relayed(url: str) -> AsyncIterator[tuple[Between, SqlSessionStore]]:
    """A store with something between itself and its server."""
    with tempfile.TemporaryDirectory() as folder:
        async with between(url, Path(folder)) as (relay, through):
            store = await open_sessions(through, pool=3)
            yield relay, store
            await store.close()


def terminate(server: PostgresServer) -> None:
    server.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'runcast'")


async def test_connections_that_the_server_ended_are_replaced_and_nobody_notices(
    server: PostgresServer, store: SqlSessionStore
) -> None:
    await asyncio.gather(*(store.create_session(a_session(f"s{n}")) for n in range(10)))
    await asyncio.to_thread(terminate, server)
    assert await store.get_session("ann", "s0") is not None
    await asyncio.to_thread(terminate, server)
    await store.start_run("s0", a_run())
    assert list(await store.run_numbers("s0")) == [(1, "r1")]


async def test_work_during_which_connections_are_ended_again_and_again_is_done_once(
    server: PostgresServer, store: SqlSessionStore
) -> None:
    async def turns(session_id: str) -> None:
        await store.create_session(a_session(session_id))
        for n in range(5):
            run = (await store.start_run(session_id, a_run(f"{session_id}-{n}"))).run
            assert await store.finish_run(run.id, an_outcome(at=AT + n * SECOND)) == Ended()

    working = asyncio.gather(*(turns(f"s{n}") for n in range(4)))
    async with asyncio.timeout(30):
        for _ in range(3):
            await asyncio.to_thread(terminate, server)
        await working
    for n in range(4):
        assert [number for number, _ in await store.run_numbers(f"s{n}")] == [1, 2, 3, 4, 5]


async def test_a_commit_whose_answer_was_lost_is_recognised(relayed: tuple[Between, SqlSessionStore]) -> None:
    relay, store = relayed
    relay.commits_to_lose = 1
    await store.create_session(a_session())
    relay.commits_to_lose = 1
    started = await store.start_run("s", a_run())
    assert (started.created, started.run.number) == (True, 1)
    waits = await store.start_run("s", a_run("r2", on_conflict="queue"))
    relay.commits_to_lose = 1
    ended = await store.finish_run("r1", an_outcome())
    assert ended is not None
    assert ended.next is not None
    assert ended.next.id == waits.run.id
    relay.commits_to_lose = 1
    await store.put_archive("r1", b"log")
    assert await store.get_archive("r1") == b"log"
    relay.commits_to_lose = 1
    assert await store.delete_session("ann", "s", AT)
    assert relay.commits_to_lose == 0


async def test_a_server_that_is_gone_is_said_so_in_time_and_used_again_when_it_is_back(
    server: PostgresServer, store: SqlSessionStore
) -> None:
    await store.create_session(a_session())
    await asyncio.to_thread(server.stop)
    began = time.monotonic()
    with pytest.raises(StoreUnavailable):
        await store.get_session("ann", "s")
    with pytest.raises(StoreUnavailable):
        await store.start_run("s", a_run())
    assert time.monotonic() - began < 10
    await asyncio.to_thread(server.start)
    assert await store.get_session("ann", "s") == a_session()
    assert (await store.start_run("s", a_run())).created


async def test_a_server_that_stalls_holds_nobody_up_for_ever(relayed: tuple[Between, SqlSessionStore]) -> None:
    relay, store = relayed
    await store.check()
    relay.stall()
    with pytest.raises(StoreUnavailable):
        async with asyncio.timeout(10):
            await store.check()
    relay.cut()
    await store.check()


@pytest.fixture(autouse=True)
def _impatience(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "forever" in request.node.name or "for_ever" in request.node.name:
        monkeypatch.setattr(postgresql, "_ANSWERS", 0.5)
        monkeypatch.setattr(postgresql, "_CONNECTS", 0.5)


async def test_when_all_connections_are_in_use_nobody_waits_for_ever(url: str) -> None:
    store = await open_sessions(url, pool=1)
    let_go, holds = asyncio.Event(), asyncio.Event()

    async def hold(connection: AsyncConnection) -> None:
        await connection.execute(text("SELECT 1"))
        holds.set()
        await let_go.wait()

    holding = asyncio.create_task(store._database.write(hold))
    await holds.wait()
    with pytest.raises(StoreUnavailable, match="all connections"):
        await store.check()
    let_go.set()
    await holding
    await store.check()
    await store.close()


async def test_a_lock_that_is_not_given_is_not_waited_for_for_ever(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(postgresql._SETTINGS, "lock_timeout", "100ms")
    store = await open_sessions(url)
    await store.create_session(a_session())
    let_go, holds = asyncio.Event(), asyncio.Event()

    async def hold(connection: AsyncConnection) -> None:
        await connection.execute(text("SELECT 1 FROM sessions FOR UPDATE"))
        holds.set()
        await let_go.wait()

    holding = asyncio.create_task(store._database.write(hold))
    await holds.wait()
    with pytest.raises(StoreUnavailable, match="lock timeout"):
        await store.start_run("s", a_run())
    let_go.set()
    await holding
    assert (await store.start_run("s", a_run())).created
    await store.close()


async def test_transactions_read_what_was_committed_whatever_the_databases_default_is(
    server: PostgresServer, url: str
) -> None:
    name = url.rpartition("/")[0].rpartition("?")[0].rpartition("/")[2]
    server.sql(f"ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'")
    store = await open_sessions(url)
    ((level,),) = await store._database.read(text("SHOW transaction_isolation"))
    assert level == "read committed"
    await store.close()


async def test_a_role_that_may_only_read_and_write_rows_is_enough_once_the_tables_are_up_to_date(
    server: PostgresServer, url: str
) -> None:
    name = url.partition("?")[0].rpartition("/")[2]
    allowed = "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO clerk"
    server.sql("CREATE ROLE clerk LOGIN", allowed, database=name)
    try:
        store = await open_sessions(url.replace("://postgres:", "://clerk:"))
        await store.create_session(a_session())
        assert (await store.start_run("s", a_run())).created
        await store.close()
    finally:
        server.sql("DROP OWNED BY clerk", "DROP ROLE clerk", database=name)


async def test_a_database_that_is_not_there_is_named_without_the_password(server: PostgresServer) -> None:
    with pytest.raises(ConfigurationError, match=r"the database nowhere on .* can't be opened: .*does not exist") as no:
        await migrate(server.url("nowhere"))
    assert PASSWORD not in str(no.value)
