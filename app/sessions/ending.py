"""The transactions after a run: deciding how it ended, and keeping its log's archive."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BindParameter, bindparam, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.errors import RunNotFound
from app.sessions.base import Ended, Outcome, Run, RunStatus
from app.sessions.rows import RUN_COLUMNS, of_outcome, to_run
from app.sessions.starting import active_runs
from app.sessions.tables import active, archives, queued, running, runs, sessions

# Made once: to make them anew costs as much as to execute them. What is set is what they are executed with.
_RUN: BindParameter[str] = bindparam("run")
_SESSION: BindParameter[str] = bindparam("session")
# Whoever changes both a session and its runs locks the session first, so that no two wait for each other.
_LOCK = select(sessions.c.id, sessions.c.deleted_at).join(runs).where(runs.c.id == _RUN).with_for_update(of=sessions)
_END = update(runs).where(runs.c.id == _RUN, active)
_TOUCH = update(sessions).where(sessions.c.id == _SESSION)
_FIRST = active_runs().where(runs.c.session_id == _SESSION).scalar_subquery()
_PROMOTE = update(runs).where(runs.c.id == _FIRST, queued).returning(*RUN_COLUMNS)


async def finish_run(connection: AsyncConnection, run_id: str, outcome: Outcome, *, promote: bool) -> Ended | None:
    """Carry out `SessionStore.finish_run` in the connection's transaction."""
    session = (await connection.execute(_LOCK, {"run": run_id})).one_or_none()
    ended = await connection.execute(_END, {"run": run_id, **of_outcome(outcome)})
    if session is None:
        return None
    if ended.rowcount == 0:
        return await _ended_before(connection, session.id, run_id, outcome, promote=promote)
    changes: dict[str, Any] = {"updated_at": outcome.at}
    if outcome.state is not None:
        changes["state"] = outcome.state
    await connection.execute(_TOUCH, {"session": session.id, **changes})
    promote = promote and session.deleted_at is None
    return Ended(await _promote(connection, session.id, outcome.at) if promote else None)


async def _ended_before(
    connection: AsyncConnection, session_id: str, run_id: str, outcome: Outcome, *, promote: bool
) -> Ended | None:
    """The answer to a run's very outcome once more: the transaction was committed, and nobody heard of it."""
    kept_as = (runs.c.terminal == outcome.terminal, runs.c.ended_at == outcome.at, runs.c.last_seq == outcome.last_seq)
    if await connection.scalar(select(runs.c.id).where(runs.c.id == run_id, *kept_as)) is None:
        return None
    begun = select(*RUN_COLUMNS).where(runs.c.session_id == session_id, running, runs.c.started_at == outcome.at)
    row = (await connection.execute(begun)).one_or_none() if promote else None
    return Ended(to_run(row) if row else None)


async def _promote(connection: AsyncConnection, session_id: str, at: datetime) -> Run | None:
    """The session's first waiting run, running from now on; None while another runs, or if none waits."""
    begins = {"session": session_id, "status": RunStatus.RUNNING.value, "started_at": at}
    row = (await connection.execute(_PROMOTE, begins)).one_or_none()
    return to_run(row) if row else None


async def put_archive(connection: AsyncConnection, run_id: str, body: bytes, trimmed_at: datetime | None) -> None:
    """Carry out `SessionStore.put_archive` in the connection's transaction."""
    # The update comes first: it locks the run, so that of two archivings the later one replaces.
    marked = await connection.execute(
        update(runs).where(runs.c.id == run_id).values(archived=True, trimmed_at=trimmed_at)
    )
    if marked.rowcount == 0:
        raise RunNotFound("no such run")
    await connection.execute(delete(archives).where(archives.c.run_id == run_id))
    await connection.execute(insert(archives).values(run_id=run_id, body=body))
