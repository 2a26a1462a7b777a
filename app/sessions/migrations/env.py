"""What Alembic executes for every command: all migrations in one transaction, one process at a time.

Logging is left as it is.
"""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection, func, select

from app.errors import ConfigurationError
from app.sessions.engine import transact
from app.sessions.tables import metadata

_ADVISORY_LOCK = 0x52554E43415354  # "RUNCAST"
_LOCK_SECONDS = 120

# Read before the transaction begins; on PostgreSQL a loop runs in it, which reading files would block.
_newest = context.script.get_current_head()
_known = frozenset(version.revision for version in context.script.walk_revisions())


def _run(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":  # SQLite's transaction already keeps others out
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{_LOCK_SECONDS}s'")
        connection.execute(select(func.pg_advisory_xact_lock(_ADVISORY_LOCK)))
    context.configure(connection=connection, target_metadata=metadata)
    heads = context.get_context().get_current_heads()
    context.config.attributes.update(before=next(iter(heads), None), after=_newest)
    if newer := set(heads) - _known:
        raise ConfigurationError(
            f"the database is at version {', '.join(sorted(newer))}, which this version of Runcast does not know: "
            "run the newer Runcast that migrated it, or restore a backup"
        )
    context.run_migrations()


transact(context.config.attributes["url"], _run)
