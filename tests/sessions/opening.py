"""Every store that keeps sessions, behind an address: what the tests of the port run over."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from app.sessions.base import SessionStore
from app.sessions.sql import open_sessions
from tests.postgres import postgres_server
from tests.simulation.memory_sessions import MemorySessions, Tables

NewAddress = Callable[[Path], str]


def _sqlite(folder: Path) -> str:
    return f"sqlite+aiosqlite:///{folder / 'sessions.db'}"


DATABASES: Final[dict[str, NewAddress]] = {"sqlite": _sqlite, "postgresql": lambda _: postgres_server().empty()}
STORES: Final[dict[str, NewAddress]] = {
    "sqlite": _sqlite,
    "postgresql": lambda _: postgres_server().migrated(),
    "memory": lambda folder: f"memory:{folder}",
}
"""The databases, and what the simulations use in their place."""

_tables: dict[str, Tables] = {}


async def open_store(url: str) -> SessionStore:
    """Open the store at an address; again, for another process's view of the same."""
    if url.startswith("memory:"):
        return MemorySessions(_tables.setdefault(url, Tables()))
    return await open_sessions(url)
