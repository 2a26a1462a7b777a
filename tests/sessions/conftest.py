"""A real database for every test of the sessions, in each kind that they run on."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from app.sessions.sql import SqlSessionStore, open_sessions

NewDatabase = Callable[[Path], str]

DATABASES: dict[str, NewDatabase] = {"sqlite": lambda folder: f"sqlite+aiosqlite:///{folder / 'sessions.db'}"}


@pytest.fixture(params=DATABASES)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a new, empty database is."""
    return DATABASES[request.param](tmp_path)


@pytest.fixture
async def store(url: str) -> AsyncIterator[SqlSessionStore]:
    store = await open_sessions(url)
    yield store
    await store.close()


@pytest.fixture
async def other_store(url: str, store: SqlSessionStore) -> AsyncIterator[SqlSessionStore]:
    """Another process's view of the same database: connections and all of its own."""
    other = await open_sessions(url)
    yield other
    await other.close()
