"""What an operator looks at: the runs of everybody."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, desc, select, true, tuple_, union_all

from app.sessions.base import RunStatus
from app.sessions.paging import by_creation, decode_cursor
from app.sessions.tables import active, runs, sessions, unsuccessful

_COLUMNS: Final = (
    *(runs.c.id, runs.c.session_id, runs.c.number, runs.c.status, runs.c.host, runs.c.last_seq),
    *(runs.c.created_at, runs.c.started_at, runs.c.ended_at, runs.c.error_code, runs.c.reason),
    *(sessions.c.principal, sessions.c.profile),
)

_AGE: Final = (runs.c.created_at, runs.c.id)
_ACTIVE: Final = frozenset((RunStatus.QUEUED, RunStatus.RUNNING))


def runs_of_all(statuses: Collection[RunStatus], limit: int, cursor: str | None) -> Select[*tuple[Any, ...]]:
    """The query of `SessionStore.every_run`, for `limit` rows.

    Raises:
        InvalidMessage: the cursor is none of this list.
    """
    following = true() if cursor is None else tuple_(*_AGE) < decode_cursor(cursor, by_creation)
    query = select(*_COLUMNS).join(sessions, sessions.c.id == runs.c.session_id)
    query = query.where(runs.c.status.in_([status.value for status in statuses]), following)
    if RunStatus.COMPLETED not in statuses:
        # What did not complete is rare, and in indexes of its own; by age, all that completed would be looked through.
        kinds = [_newest(status, limit, following) for status in statuses if status not in _ACTIVE]
        if not _ACTIVE.isdisjoint(statuses):
            kinds.append(select(runs.c.id).where(active).correlate(None))
        query = query.where(runs.c.id.in_(union_all(*kinds)))
    return query.order_by(*map(desc, _AGE)).limit(limit)


def _newest(status: RunStatus, limit: int, following: ColumnElement[bool]) -> Select[tuple[str]]:
    """The ids of the newest runs of one kind that did not succeed."""
    query = select(runs.c.id).where(runs.c.status == status.value, unsuccessful, following)
    newest = query.order_by(*map(desc, _AGE)).limit(limit).correlate(None).subquery()
    return select(newest.c.id)
