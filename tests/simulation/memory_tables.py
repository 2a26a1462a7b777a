"""What MemorySessions keeps, whoever asks: a store that is opened on it again finds it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from attrs import define, evolve, field

from app.sessions.base import NewRun, Run, RunStatus, Session, StoredFile, Waiting

ACTIVE = (RunStatus.QUEUED, RunStatus.RUNNING)


@define
class Row:
    """A run's row: what is told of it, and what is not."""

    run: Run
    new: NewRun
    terminal: bytes | None = None
    archive: bytes | None = None
    reason: str | None = None


@define
class Tables:
    """Sessions, runs and files, as rows."""

    sessions: dict[str, Session] = field(factory=dict)
    deleted: dict[str, datetime] = field(factory=dict)
    states: dict[str, str] = field(factory=dict)
    runs: dict[str, Row] = field(factory=dict)
    files: dict[str, StoredFile] = field(factory=dict)

    def kept(self, session_id: str) -> Session | None:
        """The session, unless it is deleted."""
        return self.sessions.get(session_id) if session_id not in self.deleted else None

    def of(self, session_id: str) -> list[Row]:
        rows = (row for row in self.runs.values() if row.run.session_id == session_id)
        return sorted(rows, key=lambda row: row.run.number)

    def files_of(self, session_id: str) -> list[StoredFile]:
        theirs = (file for file in self.files.values() if file.session_id == session_id)
        return sorted(theirs, key=lambda file: (file.created_at, file.id))

    def expired(self, session_id: str, before: datetime) -> Iterator[Row]:
        """The runs of a session whose logs may be trimmed: those at its beginning that ended before a time."""
        for row in self.of(session_id):
            if row.run.trimmed:
                continue
            if row.archive is None or row.run.ended_at is None or row.run.ended_at >= before:
                return
            yield row

    def is_left(self, file: StoredFile, before: datetime) -> bool:
        quiet = self.sessions[file.session_id].updated_at < before and not self.line(file.session_id)
        return quiet and file.created_at < before

    def ends(self, session_id: str) -> list[datetime]:
        """When the session's runs ended."""
        ends = [row.run.ended_at for row in self.runs.values() if row.run.session_id == session_id]
        return [end for end in ends if end is not None]

    def line(self, session_id: str) -> list[Run]:
        """The session's active runs, in the order in which they run."""
        return [row.run for row in self.of(session_id) if row.run.status in ACTIVE]

    def waiting(self, session_id: str) -> list[Waiting]:
        line = enumerate(self.line(session_id))
        return [Waiting(run.id, run.number, ahead) for ahead, run in line if run.status is RunStatus.QUEUED]

    def active(self, session_id: str) -> Run | None:
        return min(self.line(session_id), key=lambda run: run.status is not RunStatus.RUNNING, default=None)

    def shown(self, session: Session) -> Session:
        active = self.active(session.id)
        return evolve(session, active_run=active.id if active else None)
