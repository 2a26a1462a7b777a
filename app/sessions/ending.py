"""The transactions after a run: deciding how it ended, and keeping its log's archive."""

from __future__ import annotations

from typing import Any

from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.errors import RunNotFound
from app.sessions.base import Outcome
from app.sessions.rows import of_outcome
from app.sessions.tables import active, archives, runs, sessions


async def finish_run(connection: AsyncConnection, run_id: str, outcome: Outcome) -> bool:
    """Carry out `SessionStore.finish_run` in the connection's transaction."""
    # Whoever changes both a session and its runs locks the session first, so that no two wait for each other.
    locked = select(sessions.c.id).join(runs).where(runs.c.id == run_id).with_for_update(of=sessions)
    session_id = await connection.scalar(locked)
    ended = await connection.execute(update(runs).where(runs.c.id == run_id, active).values(of_outcome(outcome)))
    if ended.rowcount == 0:
        return False
    changes: dict[str, Any] = {"updated_at": outcome.at}
    if outcome.state is not None:
        changes["state"] = outcome.state
    await connection.execute(update(sessions).where(sessions.c.id == session_id).values(changes))
    return True


async def put_archive(connection: AsyncConnection, run_id: str, body: bytes) -> None:
    """Carry out `SessionStore.put_archive` in the connection's transaction."""
    # The update comes first: it locks the run, so that of two archivings the later one replaces.
    marked = await connection.execute(update(runs).where(runs.c.id == run_id).values(archived=True))
    if marked.rowcount == 0:
        raise RunNotFound("no such run")
    await connection.execute(delete(archives).where(archives.c.run_id == run_id))
    await connection.execute(insert(archives).values(run_id=run_id, body=body))
