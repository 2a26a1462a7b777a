"""A database that only one process may use at a time."""

import asyncio
import sys
from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs

from app.errors import ConfigurationError
from app.sessions.claim import claimed
from tests.postgres import PASSWORD, PostgresServer, postgres_server

pytestmark = pytest.mark.anyio


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    return postgres_server()


@pytest.fixture
def url(server: PostgresServer) -> str:
    return server.empty()


async def test_a_second_process_is_refused_while_the_first_is_there(url: str) -> None:
    async with claimed(url):
        with pytest.raises(ConfigurationError, match="in use by another Runcast process") as refused:
            async with claimed(url, patience=0):
                pass
        assert PASSWORD not in str(refused.value)
    async with claimed(url, patience=0):
        pass


async def test_processes_of_one_fleet_share_a_database_with_nobody_else(url: str) -> None:
    async with claimed(url, "a", patience=0), claimed(url, "a", patience=0):
        for stranger in (None, "b"):
            with pytest.raises(ConfigurationError, match="is in use by"):
                async with claimed(url, stranger, patience=0):
                    pass
    async with claimed(url, "b", patience=0):
        pass
    async with claimed(url, patience=0):
        with pytest.raises(ConfigurationError, match="without the same RUNCAST_REDIS_URL"):
            async with claimed(url, "a", patience=0):
                pass


async def test_fleets_in_other_databases_are_no_strangers(server: PostgresServer, url: str) -> None:
    async with claimed(url, "a", patience=0), claimed(server.empty(), "b", patience=0):
        pass


async def test_without_the_driver_the_way_to_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    with pytest.raises(ConfigurationError, match=r"needs asyncpg, which is not installed: .*EXTRA=scale"):
        async with claimed("postgresql://ann@127.0.0.1:1/x"):
            pass


async def test_a_successor_waits_for_its_predecessor_to_leave(url: str) -> None:
    async with asyncio.timeout(20):
        async with claimed(url):
            successor = claimed(url, patience=15)
            entering = asyncio.create_task(successor.__aenter__())
            ended, _ = await asyncio.wait({entering}, timeout=0.3)
            assert not ended
        await entering
        await successor.__aexit__(None, None, None)


async def test_a_claim_whose_connection_is_lost_is_made_again(server: PostgresServer, url: str) -> None:
    ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'runcast claim'"
    with capture_logs() as logs:
        async with claimed(url, looks=0.02), asyncio.timeout(20):
            await asyncio.to_thread(server.sql, ended)
            while await is_free(url) or not any(line["event"] == "database.claim_lost" for line in logs):
                pass


async def is_free(url: str) -> bool:
    try:
        async with claimed(url, patience=0):
            return True
    except ConfigurationError:
        return False


async def test_a_database_that_cannot_be_reached_is_refused_by_name() -> None:
    with pytest.raises(ConfigurationError, match=r"the database x on 127.0.0.1:1 can't be opened") as refused:
        async with claimed(f"postgresql://ann:{PASSWORD}@127.0.0.1:1/x"):
            pass
    assert PASSWORD not in str(refused.value)
