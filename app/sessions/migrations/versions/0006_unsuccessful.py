"""The runs of everybody that failed, were cancelled or were interrupted, each kind in its order."""
# ruff: noqa: INP001

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    condition = sa.text("status IN ('failed', 'cancelled', 'interrupted')")
    columns = ["status", "created_at", "id"]
    op.create_index("runs_unsuccessful", "runs", columns, sqlite_where=condition, postgresql_where=condition)
