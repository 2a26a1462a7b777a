"""The disks of a simulated process: in memory, or the real stores on real files without their threads."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, Protocol, Self
from unittest import mock

from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

from app.runlog import sqlite
from app.runlog.base import RunLog
from app.runlog.memory import MemoryLog
from app.runlog.sqlite import SqliteLog
from app.sessions.base import SessionStore
from app.sessions.database import Database
from app.sessions.engine import open_engine
from app.sessions.sql import SqlSessionStore, open_sessions
from tests.simulation.memory_log import DistantLog, SharedLog
from tests.simulation.memory_sessions import MemorySessions, Tables
from tests.simulation.writing import Ledger, Life, LoopCommit


class Disks(Protocol):
    """What a process finds when it starts, and leaves when it dies."""

    ledger: Ledger
    files: Path

    async def open(self, life: Life) -> tuple[RunLog, SessionStore]:
        """The live log and the sessions, as they were left."""

    def numbers(self, session: str) -> dict[int, str]:
        """The session's runs by number, as they are kept now."""

    def die(self) -> None:
        """Let go of everything that the process of now holds, finishing nothing."""


class MemoryDisks:
    def __init__(self) -> None:
        self.files = Path(tempfile.gettempdir()) / "nothing-is-uploaded-in-simulations"
        self.ledger = Ledger()
        self.tables = Tables()

    async def open(self, life: Life) -> tuple[RunLog, SessionStore]:
        def admit() -> None:
            if life.dead:
                raise asyncio.CancelledError
            if life.strikes():
                raise OSError("the disk is full")

        return await DistantLog.open(life, self.ledger), MemorySessions(self.tables, life.schedule.loop.pause, admit)

    def numbers(self, session: str) -> dict[int, str]:
        return {row.run.number: row.run.id for row in self.tables.of(session)}

    def die(self) -> None:
        pass


class SharedDisks(MemoryDisks):
    """What several processes have in common: a store and a log, as servers keep them."""

    def __init__(self) -> None:
        super().__init__()
        self._log = MemoryLog()
        self._tails: dict[str, tuple[int, bool]] = {}

    async def open(self, life: Life) -> tuple[RunLog, SessionStore]:
        def admit() -> None:
            if life.dead:
                raise asyncio.CancelledError

        log = SharedLog(life, self.ledger, self._log, self._tails)
        return log, MemorySessions(self.tables, life.schedule.loop.pause, admit)


class SqliteDisks:
    """SqliteLog and SqlSessionStore on files; their connections work in the loop's own thread.

    Args:
        engine: an engine at `folder`, shared by all schedules: what it learns of statements is worth keeping.
    """

    def __init__(self, folder: Path, engine: AsyncEngine) -> None:
        self.ledger = Ledger()
        self.files = folder / "files"
        self._folder = folder
        self._engine = engine
        self._connections: set[InlineConnection] = set()
        self._log: SqliteLog | None = None
        _wipe(folder)
        shutil.copyfile(folder / "template", folder / "sessions.sqlite3")

    async def open(self, life: Life) -> tuple[RunLog, SessionStore]:
        commit = partial(LoopCommit, life=life, ledger=self.ledger)
        with mock.patch.object(sqlite, "GroupCommit", commit):
            self._log = await SqliteLog.open(self._folder / "events.sqlite3")
        self._engine.sync_engine.dispose(close=False)
        InlineConnection.of = partial(InlineConnection, life=life, all_of_them=self._connections)
        return self._log, SqlSessionStore(Database(self._engine))

    def numbers(self, session: str) -> dict[int, str]:
        with closing(sqlite3.connect(self._folder / "sessions.sqlite3")) as connection:
            return dict(connection.execute("SELECT number, id FROM runs WHERE session_id = ?", (session,)).fetchall())

    def die(self) -> None:
        for connection in list(self._connections):
            connection.die()
        if self._log is not None and not self._log._closed:
            self._log._files.close()
            self._log = None


def make_template(folder: Path) -> AsyncEngine:
    """Migrate an empty database once, for every schedule to begin with; the answer is the engine of them all."""

    async def migrate() -> None:
        store = await open_sessions(f"sqlite+aiosqlite:///{folder / 'template'}")
        await store.close()

    asyncio.run(migrate())
    engine = open_engine(f"sqlite+aiosqlite:///{folder / 'sessions.sqlite3'}")

    @event.listens_for(engine.sync_engine, "do_connect")
    def connect(_dialect: Any, _record: Any, _arguments: Any, options: dict[str, Any]) -> None:
        options["async_creator_fn"] = _connect

    return engine


def _wipe(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_file() and path.name != "template":
            path.unlink()


async def _connect(path: str, **options: Any) -> InlineConnection:
    # Nobody else is there to wait for: who meets a lock has met a bug.
    return InlineConnection.of(sqlite3.connect(path, **{**options, "timeout": 0}))


class InlineConnection:
    """What SQLAlchemy needs of an aiosqlite connection, without its thread."""

    of: Callable[[sqlite3.Connection], InlineConnection]

    def __init__(self, connection: sqlite3.Connection, *, life: Life, all_of_them: set[InlineConnection]) -> None:
        self._connection: sqlite3.Connection | None = connection
        self._life = life
        self._all = all_of_them
        all_of_them.add(self)
        connection.execute("PRAGMA synchronous = OFF")

    def cursor(self) -> InlineCursor:
        return InlineCursor(self)

    async def carry_out(self, work: Callable[[sqlite3.Connection], Any]) -> Any:
        await self._life.schedule.loop.pause()
        connection = self._open()
        if self._life.strikes():
            raise sqlite3.OperationalError("database or disk is full")
        return work(connection)

    def _open(self) -> sqlite3.Connection:
        if self._life.dead:
            raise asyncio.CancelledError
        if self._connection is None:
            raise sqlite3.ProgrammingError("Cannot operate on a closed database.")
        return self._connection

    async def commit(self) -> None:
        await self.carry_out(sqlite3.Connection.commit)
        await self._life.schedule.loop.pause()

    async def rollback(self) -> None:
        if self._connection is not None:
            self._connection.rollback()

    async def create_function(self, *arguments: Any, **options: Any) -> None:
        self._open().create_function(*arguments, **options)

    async def close(self) -> None:
        self.die()

    def stop(self) -> None:
        self.die()

    def die(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
            self._all.discard(self)


class InlineCursor:
    def __init__(self, connection: InlineConnection) -> None:
        self._connection = connection
        self._rows: list[Any] = []
        self.description: Any = None
        self.rowcount = -1
        self.lastrowid: int | None = None
        self.arraysize = 1

    async def __aenter__(self) -> Self:
        return self

    async def execute(self, statement: str, parameters: Any = ()) -> InlineCursor:
        def work(connection: sqlite3.Connection) -> None:
            cursor = connection.execute(statement, parameters)
            self._rows = cursor.fetchall()
            self.description, self.rowcount, self.lastrowid = cursor.description, cursor.rowcount, cursor.lastrowid
            cursor.close()

        await self._connection.carry_out(work)
        return self

    async def fetchall(self) -> list[Any]:
        rows, self._rows = self._rows, []
        return rows

    async def close(self) -> None:
        self._rows = []
