"""A start whose commit was carried out, and nobody heard of it for longer than the store tries."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.errors import StoreUnavailable
from app.hosting.conversation import NewMessage
from app.sessions.base import RunStatus
from tests.house import ME, PATIENCE
from tests.postgres import postgres_server
from tests.sessions.between import Between, between

pytestmark = pytest.mark.anyio


@pytest.fixture
def url() -> str:
    return postgres_server().migrated()


@pytest.fixture
async def relayed(url: str) -> AsyncIterator[tuple[Between, str]]:
    with tempfile.TemporaryDirectory() as folder:
        async with between(url, Path(folder)) as relay_and_url:
            yield relay_and_url


async def test_a_run_that_nobody_knows_was_started_ends_and_lets_the_next_one_begin(relayed, open_house, puppet):
    relay, through = relayed
    house = await open_house(puppet, url=through)
    session = await house.session()
    relay.commits_to_lose, relay.then_refuses = 1, True
    with pytest.raises(StoreUnavailable):
        await house.registry.start(ME, session, NewMessage("one"))
    relay.refuses = False
    async with asyncio.timeout(PATIENCE):
        async with house.watch(session, after="0") as watch:
            ended = (await watch.until("error"))[-1]
        assert (ended["id"], ended["code"], puppet.turns) == ("1-2", "run_interrupted", [])
        puppet.returns()
        started = await house.registry.start(ME, session, NewMessage("two"))
    assert (started.run.number, started.run.status) == (2, RunStatus.RUNNING)
