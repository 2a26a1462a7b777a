"""Rows to domain objects and back."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Column, Row

from app.events import FileRef
from app.sessions.base import NewRun, Outcome, Run, RunError, RunRecord, RunStatus, Session, StoredFile, Unfinished
from app.sessions.tables import runs

AnyRow = Row[*tuple[Any, ...]]

RUN_COLUMNS: tuple[Column[Any], ...] = tuple(
    column for column in runs.c if column.name not in {"idempotency_key", "body_hash", "terminal", "archived", "reason"}
)
"""What `to_run` reads."""


def to_session(row: AnyRow) -> Session:
    """A session, from its row and `active_run`."""
    return Session(
        id=row.id,
        principal=row.principal,
        profile=row.profile,
        title=row.title,
        created_at=row.created_at,
        updated_at=row.updated_at,
        active_run=row.active_run,
    )


def to_run(row: AnyRow) -> Run:
    """A run, from `RUN_COLUMNS`."""
    return Run(
        id=row.id,
        session_id=row.session_id,
        number=row.number,
        status=RunStatus(row.status),
        content=row.content,
        images=row.images,
        files=tuple(FileRef(**file) for file in row.files),
        created_at=row.created_at,
        started_at=row.started_at,
        ended_at=row.ended_at,
        last_seq=row.last_seq,
        output=row.output,
        error=None if row.error_code is None else RunError(row.error_code, row.error_message),
        host=row.host,
        trimmed=row.trimmed_at is not None,
    )


def to_unfinished(row: AnyRow) -> Unfinished:
    """A run that is not archived, from `RUN_COLUMNS` and `terminal`."""
    return Unfinished(run=to_run(row), terminal=row.terminal)


def to_record(row: AnyRow) -> RunRecord:
    """A run as its operator sees it, from what `overseeing.runs_of_all` reads."""
    return RunRecord(
        id=row.id,
        session_id=row.session_id,
        number=row.number,
        status=RunStatus(row.status),
        principal=row.principal,
        profile=row.profile,
        host=row.host,
        created_at=row.created_at,
        started_at=row.started_at,
        ended_at=row.ended_at,
        last_seq=row.last_seq,
        code=row.error_code,
        reason=row.reason,
    )


def to_file(row: AnyRow) -> StoredFile:
    """An uploaded file, from its row."""
    return StoredFile(
        id=row.id,
        session_id=row.session_id,
        name=row.name,
        stored_as=row.stored_as,
        media_type=row.media_type,
        size=row.size,
        created_at=row.created_at,
    )


def of_session(session: Session) -> dict[str, Any]:
    """A new session's row."""
    return {
        "id": session.id,
        "principal": session.principal,
        "profile": session.profile,
        "title": session.title,
        "state": {},
        "created_at": session.created_at,
        "updated_at": session.updated_at,
    }


def of_new_run(session_id: str, number: int, new: NewRun, status: RunStatus, begins: datetime) -> dict[str, Any]:
    """The row of a run that is running since `begins`, or queued."""
    return {
        "id": new.id,
        "session_id": session_id,
        "number": number,
        "status": status.value,
        "host": new.host,
        "content": new.content,
        "images": new.images,
        "files": [{"id": file.id, "name": file.name} for file in new.files],
        "idempotency_key": new.idempotency_key,
        "body_hash": new.body_hash,
        "created_at": new.at,
        "started_at": begins if status is RunStatus.RUNNING else None,
        "last_seq": 0,
        "archived": False,
    }


def of_outcome(outcome: Outcome) -> dict[str, Any]:
    """What ending a run changes in its row."""
    return {
        "status": outcome.status.value,
        "ended_at": outcome.at,
        "last_seq": outcome.last_seq,
        "output": outcome.output,
        "error_code": outcome.error and outcome.error.code,
        "error_message": outcome.error and outcome.error.message,
        "terminal": outcome.terminal,
        "reason": outcome.reason,
    }
