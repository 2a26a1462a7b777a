"""Why a run was cancelled, and the runs of everybody in their order."""
# ruff: noqa: INP001

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_NAME = sa.String().with_variant(sa.String(collation="C"), "postgresql")


def upgrade() -> None:
    op.add_column("runs", sa.Column("reason", _NAME))
    op.create_index("runs_by_creation", "runs", ["created_at", "id"])
