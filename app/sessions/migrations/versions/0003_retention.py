"""When a run's log was trimmed."""
# ruff: noqa: INP001

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("runs", sa.Column("trimmed_at", sa.DateTime(timezone=True)))
    condition = sa.text("trimmed_at IS NULL")
    op.create_index(
        "runs_untrimmed", "runs", ["session_id", "number"], sqlite_where=condition, postgresql_where=condition
    )
