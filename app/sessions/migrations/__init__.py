"""The tables' history, applied at start-up. Alembic reads `env.py` and `versions/` from this folder."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

from alembic import command
from alembic.config import Config
from attrs import frozen
from sqlalchemy.exc import DBAPIError

from app.errors import ConfigurationError
from app.sessions.engine import shown
from app.sessions.postgresql import failures

# Alembic keeps the migration that is going on in module globals.
_one_at_a_time = threading.Lock()


@frozen
class Migrated:
    """What `migrate` did: the version that it found, None if there were no tables, and the newest."""

    before: str | None
    after: str


async def migrate(url: str) -> Migrated:
    """Bring the database at `url` to the newest version that this code knows; safe while others do the same.

    Raises:
        ConfigurationError: the URL is unusable, the database can't be opened, or it is newer than this code.
    """
    try:
        return await asyncio.to_thread(_upgrade, url)
    except failures() as error:
        reason = error.orig if isinstance(error, DBAPIError) else error
        raise ConfigurationError(f"the database {shown(url)} can't be opened: {reason}") from error
    except ValueError:  # the driver's, about the URL; its text may hold the password
        raise ConfigurationError("the database URL can't be read") from None


def configuration(url: str) -> Config:
    """What Alembic's own commands need to work on these migrations."""
    config = Config(attributes={"url": url})
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def _upgrade(url: str) -> Migrated:
    config = configuration(url)
    with _one_at_a_time:
        command.upgrade(config, "head")
    return Migrated(config.attributes["before"], config.attributes["after"])
