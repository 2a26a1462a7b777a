"""Every store that keeps sessions, behind an address: what the tests of the port run over."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from app.sessions.base import SessionStore
from app.sessions.sql import open_sessions
from tests.simulation.memory_sessions import MemorySessions, Tables

NewAddress = Callable[[Path], str]

DATABASES: Final[dict[str, NewAddress]] = {"sqlite": lambda folder: f"sqlite+aiosqlite:///{folder / 'sessions.db'}"}
STORES: Final[dict[str, NewAddress]] = {**DATABASES, "memory": lambda folder: f"memory:{folder}"}
"""The databases, and what the simulations use in their place."""

_tables: dict[str, Tables] = {}


async def open_store(url: str) -> SessionStore:
    """Open the store at an address; again, for another process's view of the same."""
    if url.startswith("memory:"):
        return MemorySessions(_tables.setdefault(url, Tables()))
    return await open_sessions(url)
