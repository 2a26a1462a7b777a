"""When a session was deleted, which is before it is removed."""
# ruff: noqa: INP001

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.add_column("sessions", sa.Column("deleted_at", sa.DateTime(timezone=True)))
    condition = sa.text("deleted_at IS NOT NULL")
    op.create_index("sessions_deleted", "sessions", ["deleted_at"], sqlite_where=condition, postgresql_where=condition)
