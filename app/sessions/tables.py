"""The tables, as SQLAlchemy Core metadata, in types that SQLite and PostgreSQL share.

What is true here by constraint: a session runs one run at a time (P4.4), a run's number is its session's own, an
idempotency key belongs to one run of its session (P4.5), and nothing outlives its session.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    TypeDecorator,
    literal_column,
)
from sqlalchemy.types import TypeEngine

from app.sessions.base import RunStatus


class UtcDateTime(TypeDecorator[datetime]):
    """An aware time in UTC with microseconds, also where the database keeps no zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        if value is not None and value.tzinfo is None:
            raise ValueError(f"{value!r} has no time zone")
        return value and value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Name(TypeDecorator[str]):
    """A short text that is looked up or ordered by: an id, a key, a code. Any text is kept, and ordered by its bytes.

    What PostgreSQL's text can't hold (NUL, and lone surrogates, which no database takes) is written in hexadecimal
    behind a mark; and so is what begins with the mark.
    """

    impl = String
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[str]:
        # By bytes as in SQLite, whatever the locale of the database is: cursors and indexes rely on it.
        return dialect.type_descriptor(String(collation="C") if dialect.name == "postgresql" else String())

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        if value is None or not (_AWKWARD.search(value) or value.startswith(_MARK)):
            return value
        return _MARK + value.encode("utf-8", "surrogatepass").hex()

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        if value is None or not value.startswith(_MARK):
            return value
        return bytes.fromhex(value[1:]).decode("utf-8", "surrogatepass")


_MARK: Final = "\ue000"  # of the private use area: nothing is called so
_AWKWARD: Final = re.compile("[\x00\ud800-\udfff]")

Prose = JSON(none_as_null=True)
"""Text that people and models wrote. It is kept as a JSON string: PostgreSQL's text can't hold NUL, and no database
takes a lone surrogate."""

metadata = MetaData()

sessions = Table(
    "sessions",
    metadata,
    Column("id", Name, primary_key=True),
    Column("principal", Name, nullable=False),
    Column("profile", Name, nullable=False),
    Column("title", Prose),
    Column("state", JSON, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Column("deleted_at", UtcDateTime),
    Index("sessions_by_creation", "principal", "created_at", "id"),
)

runs = Table(
    "runs",
    metadata,
    Column("id", Name, primary_key=True),
    Column("session_id", Name, ForeignKey("sessions.id", ondelete="CASCADE"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("status", Name, nullable=False),
    Column("host", Name, nullable=False),
    Column("content", Prose, nullable=False),
    Column("images", Integer, nullable=False),
    Column("files", JSON, nullable=False),
    Column("idempotency_key", Name),
    Column("body_hash", Name, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("started_at", UtcDateTime),
    Column("ended_at", UtcDateTime),
    Column("last_seq", Integer, nullable=False),
    Column("output", Prose),
    Column("error_code", Name),
    Column("error_message", Prose),
    Column("reason", Name),
    Column("terminal", LargeBinary),
    Column("archived", Boolean, nullable=False),
    Column("trimmed_at", UtcDateTime),
    Index("runs_by_number", "session_id", "number", unique=True),
    Index("runs_by_creation", "created_at", "id"),
)

archives = Table(
    "archives",
    metadata,
    Column("run_id", Name, ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
    Column("body", LargeBinary, nullable=False),
)

files = Table(
    "files",
    metadata,
    Column("id", Name, primary_key=True),
    Column("session_id", Name, ForeignKey("sessions.id", ondelete="CASCADE"), nullable=False),
    Column("name", Prose, nullable=False),
    Column("stored_as", Name, nullable=False),
    Column("media_type", Name, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Index("files_by_session", "session_id", "created_at", "id"),
)

# Literals, not parameters: a planner uses a partial index only where it can read that the query's condition is the
# index's own.
_QUEUED = literal_column(f"'{RunStatus.QUEUED}'", String)
_RUNNING = literal_column(f"'{RunStatus.RUNNING}'", String)
running = runs.c.status == _RUNNING
queued = runs.c.status == _QUEUED
active = runs.c.status.in_([_QUEUED, _RUNNING])
unsuccessful = runs.c.status.in_(
    [literal_column(f"'{each}'", String) for each in (RunStatus.FAILED, RunStatus.CANCELLED, RunStatus.INTERRUPTED)]
)
unarchived = ~runs.c.archived
untrimmed = runs.c.trimmed_at.is_(None)
kept = sessions.c.deleted_at.is_(None)
keyed = runs.c.idempotency_key.is_not(None)

Index("sessions_deleted", sessions.c.deleted_at, sqlite_where=~kept, postgresql_where=~kept)
Index("runs_one_running", runs.c.session_id, unique=True, sqlite_where=running, postgresql_where=running)
Index("runs_active", runs.c.session_id, runs.c.number, sqlite_where=active, postgresql_where=active)
Index(
    "runs_unsuccessful",
    *(runs.c.status, runs.c.created_at, runs.c.id),
    sqlite_where=unsuccessful,
    postgresql_where=unsuccessful,
)
Index("runs_unarchived", runs.c.created_at, runs.c.id, sqlite_where=unarchived, postgresql_where=unarchived)
Index("runs_untrimmed", runs.c.session_id, runs.c.number, sqlite_where=untrimmed, postgresql_where=untrimmed)
Index("runs_by_key", runs.c.session_id, runs.c.idempotency_key, unique=True, sqlite_where=keyed, postgresql_where=keyed)
