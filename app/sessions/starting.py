"""The transaction that starts a run: who may, under which number, or which run a retry meets."""

from __future__ import annotations

from sqlalchemy import Select, case, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.errors import IdempotencyMismatch, RunActive, SessionNotFound
from app.sessions.base import NewRun, Run, Started
from app.sessions.rows import RUN_COLUMNS, of_new_run, to_run
from app.sessions.tables import active, running, runs, sessions

_TITLE_LENGTH = 80


async def start_run(connection: AsyncConnection, session_id: str, new: NewRun) -> Started:
    """Carry out `SessionStore.start_run` in the connection's transaction."""
    # The row lock makes the starts of one session wait for each other on PostgreSQL; in SQLite the transaction does.
    locked = select(sessions.c.title).where(sessions.c.id == session_id).with_for_update()
    session = (await connection.execute(locked)).one_or_none()
    if session is None:
        raise SessionNotFound("no such session")
    if new.idempotency_key is not None and (run := await _seen(connection, session_id, new)) is not None:
        return Started(run=run, created=False)
    number = await _next_number(connection, session_id)
    inserted = insert(runs).values(of_new_run(session_id, number, new)).returning(*RUN_COLUMNS)
    run = to_run((await connection.execute(inserted)).one())
    title = title_of(new.content) if session.title is None else session.title
    await connection.execute(update(sessions).where(sessions.c.id == session_id).values(title=title, updated_at=new.at))
    return Started(run=run, created=True)


def active_runs() -> Select[tuple[str]]:
    """The ids of the sessions' active runs: the one that runs comes before any that wait."""
    return select(runs.c.id).where(active).order_by(case((running, 0), else_=1), runs.c.number).limit(1)


def title_of(content: str) -> str | None:
    """A session's title from its first message: the first line, cut between words at 80 characters; None if blank."""
    line = " ".join(content.strip().partition("\n")[0].split())
    if len(line) > _TITLE_LENGTH:
        end = line.rfind(" ", 0, _TITLE_LENGTH + 1)
        line = line[: end if end > 0 else _TITLE_LENGTH]
    return line or None


async def _seen(connection: AsyncConnection, session_id: str, new: NewRun) -> Run | None:
    query = select(*RUN_COLUMNS, runs.c.body_hash).where(
        runs.c.session_id == session_id, runs.c.idempotency_key == new.idempotency_key
    )
    row = (await connection.execute(query)).one_or_none()
    if row is None:
        return None
    if row.body_hash != new.body_hash:
        raise IdempotencyMismatch("this idempotency key was used with another body")
    return to_run(row)


async def _next_number(connection: AsyncConnection, session_id: str) -> int:
    last = select(func.max(runs.c.number)).where(runs.c.session_id == session_id)
    query = select(
        active_runs().where(runs.c.session_id == session_id).scalar_subquery().label("active_run"),
        func.coalesce(last.scalar_subquery(), 0).label("last"),
    )
    row = (await connection.execute(query)).one()
    if row.active_run is not None:
        raise RunActive(f"run {row.active_run} is in progress")
    return int(row.last) + 1
