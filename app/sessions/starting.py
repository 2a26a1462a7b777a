"""The transaction that starts a run: who may, under which number, or which run a retry meets.

Runs start in the order of their numbers. One that is put ahead of those that wait therefore takes the number of the
first of them, and each of them the number of the one behind it; nobody holds a position in them yet.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from attrs import frozen
from sqlalchemy import BindParameter, Select, and_, bindparam, case, func, insert, select, true, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.errors import IdempotencyMismatch, QueueFull, RunActive, SessionNotFound
from app.sessions.base import MAX_WAITING, NewRun, Run, RunStatus, Started, Waiting
from app.sessions.rows import RUN_COLUMNS, AnyRow, of_new_run, to_run
from app.sessions.tables import active, kept, running, runs, sessions

_TITLE_LENGTH = 80

# Made once: to make them anew costs as much as to execute them.
_SESSION: BindParameter[str] = bindparam("session")
# The row lock makes the starts of one session wait for each other on PostgreSQL; in SQLite the transaction does.
_LOCK = select(sessions.c.title).where(sessions.c.id == _SESSION, kept).with_for_update()
_KEYED = select(*RUN_COLUMNS, runs.c.body_hash).where(
    runs.c.session_id == _SESSION, runs.c.idempotency_key == bindparam("key")
)
_LINE = (
    select(runs.c.id, runs.c.number, runs.c.status).where(runs.c.session_id == _SESSION, active).order_by(runs.c.number)
)
_PAST = select(func.coalesce(func.max(runs.c.number), 0).label("last"), func.max(runs.c.ended_at).label("ended")).where(
    runs.c.session_id == _SESSION
)
_INSERT = insert(runs).returning(*RUN_COLUMNS)
_TOUCH = (
    update(sessions).where(sessions.c.id == _SESSION).values(title=bindparam("first_words"), updated_at=bindparam("at"))
)


def _past_and_line() -> Select[*tuple[Any, ...]]:
    # One statement for what was and what is: the last number and end beside each active run, or beside nothing.
    past, line = _PAST.subquery(), _LINE.subquery()
    return select(past, line).outerjoin_from(past, line, true()).order_by(line.c.number)


_PAST_AND_LINE = _past_and_line()


async def start_run(connection: AsyncConnection, session_id: str, new: NewRun) -> Started:
    """Carry out `SessionStore.start_run` in the connection's transaction."""
    session = (await connection.execute(_LOCK, {"session": session_id})).one_or_none()
    if session is None:
        raise SessionNotFound("no such session")
    seen = await _seen(connection, session_id, new) if new.idempotency_key is not None else None
    if seen is not None and seen.id != new.id:
        return Started(run=seen, created=False)
    line = await _line(connection, session_id)
    if line.holds(new.id):  # this transaction was committed before, and nobody heard of it
        return await _started(connection, session_id, new, line.running)
    _admit(line, new)
    number = await _make_room(connection, line, new)
    status = RunStatus.QUEUED if line.active else RunStatus.RUNNING
    # Its request may have come before the last run had ended: it begins after that all the same.
    begins = max(new.at, line.ended) if line.ended is not None else new.at
    row = of_new_run(session_id, number, new, status, begins)
    run = to_run((await connection.execute(_INSERT, row)).one())
    title = title_of(new.content) if session.title is None else session.title
    await connection.execute(_TOUCH, {"session": session_id, "first_words": title, "at": new.at})
    if not line.active:
        return Started(run=run, created=True)
    return _answer(run, new, line.running, waiting_in((await connection.execute(_LINE, {"session": session_id})).all()))


def line_of(session_id: str) -> Select[*tuple[Any, ...]]:
    """The rows of a session's active runs, in the order in which they run."""
    return _LINE.params(session=session_id)


def kept_line_of(session_id: str) -> Select[*tuple[Any, ...]]:
    """As `line_of`; one row without a run if there is none, no row at all if the session is gone."""
    joined = sessions.outerjoin(runs, and_(runs.c.session_id == sessions.c.id, active))
    line = select(runs.c.id, runs.c.number, runs.c.status).select_from(joined)
    return line.where(sessions.c.id == session_id, kept).order_by(runs.c.number)


def waiting_in(line: Sequence[AnyRow]) -> list[Waiting]:
    """Those of the rows of `line_of` that wait."""
    return [
        Waiting(row.id, row.number, ahead) for ahead, row in enumerate(line) if row.status == RunStatus.QUEUED.value
    ]


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


async def _started(connection: AsyncConnection, session_id: str, new: NewRun, at_work: str | None) -> Started:
    run = to_run((await connection.execute(select(*RUN_COLUMNS).where(runs.c.id == new.id))).one())
    return _answer(run, new, at_work, waiting_in((await connection.execute(_LINE, {"session": session_id})).all()))


def _answer(run: Run, new: NewRun, at_work: str | None, waiting: Sequence[Waiting]) -> Started:
    waits = run.status is RunStatus.QUEUED
    return Started(
        run=run,
        created=True,
        waiting=tuple(each for each in waiting if each.number >= run.number) if waits else (),
        interrupts=at_work if waits and new.on_conflict == "interrupt" else None,
    )


async def _seen(connection: AsyncConnection, session_id: str, new: NewRun) -> Run | None:
    row = (await connection.execute(_KEYED, {"session": session_id, "key": new.idempotency_key})).one_or_none()
    if row is None:
        return None
    if row.body_hash != new.body_hash:
        raise IdempotencyMismatch("this idempotency key was used with another body")
    return to_run(row)


@frozen
class _Line:
    """A session's runs in line: the running one, those that wait, the last number that was given, the last end."""

    running: str | None
    waiting: Sequence[Waiting]
    last: int
    ended: datetime | None

    @property
    def active(self) -> str | None:
        return self.running or (self.waiting[0].run_id if self.waiting else None)

    def holds(self, run_id: str) -> bool:
        """Whether the run is one of them."""
        return run_id == self.running or any(run_id == each.run_id for each in self.waiting)


async def _line(connection: AsyncConnection, session_id: str) -> _Line:
    rows = (await connection.execute(_PAST_AND_LINE, {"session": session_id})).all()
    found = [row for row in rows if row.id is not None]
    at_work = next((row.id for row in found if row.status == RunStatus.RUNNING.value), None)
    return _Line(at_work, waiting_in(found), rows[0].last, rows[0].ended)


def _admit(line: _Line, new: NewRun) -> None:
    if line.active is None:
        return
    if new.on_conflict == "reject":
        raise RunActive(f"run {line.active} is in progress")
    # An interrupting run waits only until the one in progress has stopped: a full queue does not shut it out.
    if len(line.waiting) >= MAX_WAITING + (new.on_conflict == "interrupt"):
        raise QueueFull(f"{len(line.waiting)} runs are waiting already")


async def _make_room(connection: AsyncConnection, line: _Line, new: NewRun) -> int:
    """The new run's number; those that it goes ahead of move up."""
    free = line.last + 1
    if new.on_conflict == "interrupt":
        for each in reversed(line.waiting):
            await connection.execute(update(runs).where(runs.c.id == each.run_id).values(number=free))
            free = each.number
    return free
