"""The SessionStore in a SQL database: SQLite by default, PostgreSQL at scale; the queries are the same."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Select, delete, func, insert, or_, select, tuple_, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from app.errors import SessionNotFound
from app.inspection import inspect
from app.sessions import ending, expiring, filing, overseeing, starting
from app.sessions.base import (
    BegunRun,
    Ended,
    Expired,
    Listing,
    NewRun,
    Outcome,
    Run,
    RunRecord,
    RunStatus,
    Session,
    SessionStore,
    Started,
    StoredFile,
    Unfinished,
    Waiting,
)
from app.sessions.database import Database
from app.sessions.engine import Synchronous, open_engine
from app.sessions.migrations import migrate
from app.sessions.paging import by_creation, by_number, decode_cursor, page
from app.sessions.rows import RUN_COLUMNS, of_session, to_file, to_record, to_run, to_session, to_unfinished
from app.sessions.tables import active, archives, files, kept, queued, runs, sessions, unarchived


async def open_sessions(url: str, *, synchronous: Synchronous = "normal", pool: int = 10) -> SqlSessionStore:
    """Open the store at a database URL and bring its tables up to date. Close it in the loop that opened it.

    Args:
        url: `sqlite+aiosqlite:///path` or `postgresql://…`.
        synchronous: SQLite only; `full` also survives a loss of power (P7.2).
        pool: PostgreSQL only; how many connections there are.

    Raises:
        ConfigurationError: the database can't be opened, or a newer Runcast has migrated it.
    """
    # In a thread, since making an engine imports its driver and looks at the path.
    engine = await asyncio.to_thread(open_engine, url, synchronous=synchronous, pool=pool)
    if engine.dialect.name == "sqlite":
        await asyncio.to_thread(inspect, Path(engine.url.database or ""))
    await migrate(url)
    return SqlSessionStore(Database(engine))


class SqlSessionStore(SessionStore):
    """Sessions and runs in SQL tables; see the port for what each method promises.

    Cancelling a call does not undo it: what it began is carried out whole.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create_session(self, session: Session) -> None:
        try:
            await self._database.write(AsyncConnection.execute, insert(sessions).values(of_session(session)))
        except IntegrityError:
            if await self.get_session(session.principal, session.id) != session:  # else its commit was not heard of
                raise

    async def get_session(self, principal: str, session_id: str) -> Session | None:
        rows = await self._database.read(_sessions_of(principal).where(sessions.c.id == session_id))
        return to_session(rows[0]) if rows else None

    async def list_sessions(self, principal: str, limit: int, cursor: str | None) -> Listing[Session]:
        key = tuple_(sessions.c.created_at, sessions.c.id)
        query = _sessions_of(principal).order_by(sessions.c.created_at.desc(), sessions.c.id.desc())
        if cursor is not None:
            query = query.where(key < decode_cursor(cursor, by_creation))
        rows = await self._database.read(query.limit(limit + 1))
        return page([to_session(row) for row in rows], limit, lambda session: (session.created_at, session.id))

    async def delete_session(self, principal: str, session_id: str, at: datetime) -> bool:
        # By the very same call, too: its commit may not have been heard of.
        markable = or_(kept, sessions.c.deleted_at == at)
        found = update(sessions).where(sessions.c.principal == principal, sessions.c.id == session_id, markable)
        return (await self._database.write(AsyncConnection.execute, found.values(deleted_at=at))).rowcount == 1

    async def deleted_sessions(self, before: datetime) -> Sequence[str]:
        query = select(sessions.c.id).where(~kept, sessions.c.deleted_at < before).order_by(sessions.c.deleted_at)
        return [row.id for row in await self._database.read(query)]

    async def holds_session(self, session_id: str) -> bool:
        return bool(await self._database.read(select(sessions.c.id).where(sessions.c.id == session_id, kept)))

    async def remove_session(self, session_id: str) -> None:
        await self._database.write(AsyncConnection.execute, delete(sessions).where(sessions.c.id == session_id))

    async def get_state(self, session_id: str) -> dict[str, Any]:
        rows = await self._database.read(select(sessions.c.state).where(sessions.c.id == session_id))
        return rows[0].state if rows else {}

    async def start_run(self, session_id: str, new: NewRun) -> Started:
        return await self._database.write(starting.start_run, session_id, new)

    async def get_run(self, session_id: str, run_id: str) -> Run | None:
        return await self._run(runs.c.session_id == session_id, runs.c.id == run_id)

    async def get_active_run(self, session_id: str) -> Run | None:
        first = starting.active_runs().where(runs.c.session_id == session_id)
        return await self._run(runs.c.id == first.scalar_subquery())

    async def list_runs(self, session_id: str, limit: int, cursor: str | None) -> Listing[Run]:
        query = select(*RUN_COLUMNS).where(runs.c.session_id == session_id).order_by(runs.c.number)
        if cursor is not None:
            query = query.where(runs.c.number > decode_cursor(cursor, by_number)[0])
        rows = await self._database.read(query.limit(limit + 1))
        return page([to_run(row) for row in rows], limit, lambda run: (run.number,))

    async def every_run(self, statuses: Collection[RunStatus], limit: int, cursor: str | None) -> Listing[RunRecord]:
        rows = await self._database.read(overseeing.runs_of_all(statuses, limit + 1, cursor))
        return page([to_record(row) for row in rows], limit, lambda run: (run.created_at, run.id))

    async def run_numbers(self, session_id: str) -> Sequence[tuple[int, str]]:
        return await self._numbers(runs.c.session_id == session_id)

    async def unarchived_runs(self, session_id: str) -> Sequence[str]:
        return [run_id for _, run_id in await self._numbers(runs.c.session_id == session_id, unarchived)]

    async def begun_runs(self, session_id: str) -> Sequence[BegunRun]:
        first = select(func.min(runs.c.number)).where(runs.c.session_id == session_id, active).scalar_subquery()
        has_come = runs.c.number <= func.coalesce(first, runs.c.number)
        query = select(runs.c.number, runs.c.id, runs.c.trimmed_at).order_by(runs.c.number)
        rows = await self._database.read(query.where(runs.c.session_id == session_id, ~queued, has_come))
        return [BegunRun(row.number, row.id, row.trimmed_at is not None) for row in rows]

    async def latest_numbers(self, session_ids: Collection[str]) -> Mapping[str, int]:
        of_its_own = runs.c.session_id == sessions.c.id
        latest = select(func.max(runs.c.number)).where(of_its_own, ~queued).scalar_subquery()
        query = select(sessions.c.id, func.coalesce(latest, 0).label("latest")).where(sessions.c.id.in_(session_ids))
        return {row.id: row.latest for row in await self._database.read(query)}

    async def waiting_runs(self, session_id: str) -> Sequence[Waiting]:
        rows = await self._database.read(starting.kept_line_of(session_id))
        if not rows:
            raise SessionNotFound("no such session")
        return starting.waiting_in(rows)

    async def finish_run(self, run_id: str, outcome: Outcome, *, promote: bool = True) -> Ended | None:
        return await self._database.write(ending.finish_run, run_id, outcome, promote=promote)

    async def unfinished_runs(
        self, hosts: Collection[str] | None = None, *, ended_before: datetime | None = None
    ) -> Sequence[Unfinished]:
        query = select(*RUN_COLUMNS, runs.c.terminal).where(unarchived).order_by(runs.c.created_at, runs.c.id)
        if hosts is not None:
            query = query.where(runs.c.host.in_(hosts))
        if ended_before is not None:
            query = query.where(runs.c.ended_at < ended_before)
        return [to_unfinished(row) for row in await self._database.read(query)]

    async def hosts_with_unfinished_runs(self) -> frozenset[str]:
        return frozenset(
            row.host for row in await self._database.read(select(runs.c.host).where(unarchived).distinct())
        )

    async def put_archive(self, run_id: str, body: bytes, *, trimmed: bool = False) -> None:
        await self._database.write(ending.put_archive, run_id, body, datetime.now(UTC) if trimmed else None)

    async def awaits_archive(self, run_id: str) -> bool:
        return bool(await self._database.read(select(runs.c.id).where(runs.c.id == run_id, unarchived)))

    async def get_archive(self, run_id: str) -> bytes | None:
        rows = await self._database.read(select(archives.c.body).where(archives.c.run_id == run_id))
        return rows[0].body if rows else None

    async def expired_runs(self, before: datetime, limit: int, after: Expired | None = None) -> Sequence[Expired]:
        rows = await self._database.read(expiring.runs_to_trim(before, limit, after))
        return [Expired(row.session_id, row.number, row.id) for row in rows]

    async def expired_files(self, before: datetime, limit: int) -> Sequence[StoredFile]:
        return [to_file(row) for row in await self._database.read(expiring.files_to_remove(before, limit))]

    async def remove_files(self, ids: Sequence[str]) -> None:
        await self._database.write(AsyncConnection.execute, delete(files).where(files.c.id.in_(ids)))

    async def add_file(self, file: StoredFile, *, most_files: int, most_bytes: int) -> None:
        try:
            await self._database.write(filing.add_file, file, most_files=most_files, most_bytes=most_bytes)
        except IntegrityError:
            if file not in await self.list_files(file.session_id):  # else its commit was not heard of
                raise

    async def list_files(self, session_id: str) -> Sequence[StoredFile]:
        query = select(files).where(files.c.session_id == session_id).order_by(files.c.created_at, files.c.id)
        return [to_file(row) for row in await self._database.read(query)]

    async def kept_files(self, ids: Sequence[str]) -> frozenset[str]:
        return frozenset(row.id for row in await self._database.read(select(files.c.id).where(files.c.id.in_(ids))))

    async def check(self) -> None:
        await self._database.read(select(sessions.c.id).limit(1))

    async def close(self) -> None:
        await self._database.close()

    async def _numbers(self, *conditions: ColumnElement[bool]) -> list[tuple[int, str]]:
        query = select(runs.c.number, runs.c.id).where(*conditions).order_by(runs.c.number)
        return [(row.number, row.id) for row in await self._database.read(query)]

    async def _run(self, *conditions: ColumnElement[bool]) -> Run | None:
        rows = await self._database.read(select(*RUN_COLUMNS).where(*conditions))
        return to_run(rows[0]) if rows else None


def _sessions_of(principal: str) -> Select[*tuple[Any, ...]]:
    """A principal's sessions, as `to_session` reads them."""
    columns = (column for column in sessions.c if column.name not in {"state", "deleted_at"})
    first = starting.active_runs().where(runs.c.session_id == sessions.c.id)
    query = select(*columns, first.scalar_subquery().label("active_run"))
    return query.where(sessions.c.principal == principal, kept)
