"""Sessions, runs and outcomes that tests of the store put into it."""

from datetime import UTC, datetime, timedelta
from typing import Any

from app.sessions.base import NewRun, OnConflict, Outcome, Run, RunStatus, Session, SessionStore

AT = datetime(2026, 3, 4, 5, 6, 7, 891011, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def a_session(session_id: str = "s", principal: str = "ann", title: str | None = None, at: datetime = AT) -> Session:
    return Session(id=session_id, principal=principal, profile="demo", title=title, created_at=at, updated_at=at)


def a_run(
    run_id: str = "r1",
    content: str = "Hello",
    key: str | None = None,
    body_hash: str = "",
    at: datetime = AT,
    on_conflict: OnConflict = "reject",
) -> NewRun:
    return NewRun(
        id=run_id,
        content=content,
        images=0,
        files=(),
        host="h",
        at=at,
        idempotency_key=key,
        body_hash=body_hash,
        on_conflict=on_conflict,
    )


def an_outcome(status: RunStatus = RunStatus.COMPLETED, at: datetime = AT + SECOND, **more: Any) -> Outcome:
    return Outcome(status=status, terminal=b"\x00end\xff", last_seq=7, output="Hi", at=at, **more)


async def finished(store: SessionStore, session_id: str, new: NewRun) -> Run:
    run = (await store.start_run(session_id, new)).run
    assert await store.finish_run(run.id, an_outcome())
    return run
