"""What an operator looks at: the runs of everybody."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

from sqlalchemy import Select, select, tuple_

from app.sessions.base import RunStatus
from app.sessions.paging import by_creation, decode_cursor
from app.sessions.tables import active, runs, sessions

_COLUMNS: Final = (
    *(runs.c.id, runs.c.session_id, runs.c.number, runs.c.status, runs.c.host, runs.c.last_seq),
    *(runs.c.created_at, runs.c.started_at, runs.c.ended_at, runs.c.error_code, runs.c.reason),
    *(sessions.c.principal, sessions.c.profile),
)

_ACTIVE: Final = frozenset((RunStatus.QUEUED, RunStatus.RUNNING))


def runs_of_all(statuses: Collection[RunStatus], cursor: str | None) -> Select[*tuple[Any, ...]]:
    """The query of `SessionStore.every_run`.

    Raises:
        InvalidMessage: the cursor is none of this list.
    """
    query = select(*_COLUMNS).join(sessions, sessions.c.id == runs.c.session_id)
    query = query.where(runs.c.status.in_([status.value for status in statuses]))
    if _ACTIVE.issuperset(statuses):
        # The few that are active are an index of their own; by age, all that ever ended would be looked through.
        query = query.where(runs.c.id.in_(select(runs.c.id).where(active).correlate(None)))
    if cursor is not None:
        query = query.where(tuple_(runs.c.created_at, runs.c.id) < decode_cursor(cursor, by_creation))
    return query.order_by(runs.c.created_at.desc(), runs.c.id.desc())
