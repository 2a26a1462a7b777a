"""A real database for every test of the sessions, in each kind that they run on."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.sessions.base import SessionStore
from tests.sessions.opening import DATABASES, open_store


@pytest.fixture(params=DATABASES)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a new, empty database is."""
    return DATABASES[request.param](tmp_path)


@pytest.fixture
async def store(url: str) -> AsyncIterator[SessionStore]:
    store = await open_store(url)
    yield store
    await store.close()


@pytest.fixture
async def other_store(url: str, store: SessionStore) -> AsyncIterator[SessionStore]:
    """Another process's view of the same database: connections and all of its own."""
    other = await open_store(url)
    yield other
    await other.close()
