"""A gateway whose sessions are in PostgreSQL: what it kept outlives its own crash, and its server's."""

import asyncio
import json
from collections.abc import Iterator

import pytest

from tests.gateway import Launch, every_event, log_pages, new_session, start
from tests.postgres import PASSWORD, PostgresServer, postgres_server

pytestmark = pytest.mark.anyio


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    server = postgres_server()
    yield server
    server.start_again()


@pytest.mark.slow
async def test_what_is_in_postgresql_outlives_the_gateway_and_a_restart_of_the_server(
    launch: Launch, server: PostgresServer
) -> None:
    gateway = launch(database_url=server.migrated(), asked_for=("storage.failed", "database.claim_lost"))
    async with gateway.client() as http:
        session = await new_session(http)
        run = await start(http, session, "/length 400 /rate 200 to be continued")
        seen = 0
        async for page in log_pages(http, session, run):
            seen += len(page.events)
            if seen > 1:
                break
        await asyncio.to_thread(server.stop)
        await asyncio.to_thread(server.start)
        told = await every_event(http, session, run)
        assert json.loads(told[-1])["type"] == "stream_end"
    gateway.kill()
    gateway.start()
    async with gateway.client() as http:
        assert await every_event(http, session, run) == told
    assert not (gateway.data_dir / "sessions.sqlite3").exists()
    assert PASSWORD not in gateway.stderr
