"""What retention looks for: logs and files whose time is over."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Select, exists, or_, select, tuple_

from app.sessions.base import Expired
from app.sessions.tables import active, files, runs, sessions, untrimmed


def runs_to_trim(before: datetime, limit: int, after: Expired | None) -> Select[*tuple[Any, ...]]:
    """The query of `SessionStore.expired_runs`."""
    key = tuple_(runs.c.session_id, runs.c.number)
    earlier = runs.alias("earlier")
    held_up = exists().where(
        earlier.c.session_id == runs.c.session_id,
        earlier.c.number < runs.c.number,
        earlier.c.trimmed_at.is_(None),
        or_(~earlier.c.archived, earlier.c.ended_at >= before),
    )
    query = select(runs.c.session_id, runs.c.number, runs.c.id)
    query = query.where(untrimmed, runs.c.archived, runs.c.ended_at < before, ~held_up)
    if after is not None:
        query = query.where(key > (after.session_id, after.number))
    return query.order_by(runs.c.session_id, runs.c.number).limit(limit)


def files_to_remove(before: datetime, limit: int) -> Select[*tuple[Any, ...]]:
    """The query of `SessionStore.expired_files`."""
    in_use = exists().where(runs.c.session_id == sessions.c.id, active)
    quiet = select(sessions.c.id).where(sessions.c.updated_at < before, ~in_use)
    return select(files).where(files.c.created_at < before, files.c.session_id.in_(quiet)).limit(limit)
