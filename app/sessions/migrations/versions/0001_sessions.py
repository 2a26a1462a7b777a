"""Sessions, their runs, and the archives of closed logs."""
# ruff: noqa: INP001

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_NAME = sa.String().with_variant(sa.String(collation="C"), "postgresql")
_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    _create_sessions()
    _create_runs()
    _index_runs()
    op.create_table(
        "archives",
        sa.Column("run_id", _NAME, sa.ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("body", sa.LargeBinary, nullable=False),
    )


def _create_sessions() -> None:
    op.create_table(
        "sessions",
        sa.Column("id", _NAME, primary_key=True),
        sa.Column("principal", _NAME, nullable=False),
        sa.Column("profile", _NAME, nullable=False),
        sa.Column("title", sa.JSON),
        sa.Column("state", sa.JSON, nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("updated_at", _TIME, nullable=False),
    )
    op.create_index("sessions_by_creation", "sessions", ["principal", "created_at", "id"])


def _create_runs() -> None:
    op.create_table(
        "runs",
        sa.Column("id", _NAME, primary_key=True),
        sa.Column("session_id", _NAME, sa.ForeignKey("sessions.id", ondelete="CASCADE"), nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("status", _NAME, nullable=False),
        sa.Column("host", _NAME, nullable=False),
        sa.Column("content", sa.JSON, nullable=False),
        sa.Column("images", sa.Integer, nullable=False),
        sa.Column("files", sa.JSON, nullable=False),
        sa.Column("idempotency_key", _NAME),
        sa.Column("body_hash", _NAME, nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("started_at", _TIME),
        sa.Column("ended_at", _TIME),
        sa.Column("last_seq", sa.Integer, nullable=False),
        sa.Column("output", sa.JSON),
        sa.Column("error_code", _NAME),
        sa.Column("error_message", sa.JSON),
        sa.Column("terminal", sa.LargeBinary),
        sa.Column("archived", sa.Boolean, nullable=False),
    )


def _index_runs() -> None:
    op.create_index("runs_by_number", "runs", ["session_id", "number"], unique=True)
    _create_partial_index("runs_one_running", ["session_id"], "status = 'running'", unique=True)
    _create_partial_index("runs_active", ["session_id", "number"], "status IN ('queued', 'running')")
    _create_partial_index("runs_unarchived", ["created_at", "id"], ~sa.column("archived", sa.Boolean))
    _create_partial_index("runs_by_key", ["session_id", "idempotency_key"], "idempotency_key IS NOT NULL", unique=True)


def _create_partial_index(
    name: str, columns: list[str], where: str | sa.ColumnElement[bool], *, unique: bool = False
) -> None:
    condition = sa.text(where) if isinstance(where, str) else where
    op.create_index(name, "runs", columns, unique=unique, sqlite_where=condition, postgresql_where=condition)
