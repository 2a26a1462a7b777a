"""The tables' history: every way in which a start-up may find a database."""

import asyncio
import logging
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.errors import ConfigurationError
from app.sessions.engine import transact
from app.sessions.migrations import Migrated, configuration, migrate
from app.sessions.sql import SqlSessionStore, open_sessions
from app.sessions.tables import metadata

T = TypeVar("T")

pytestmark = pytest.mark.anyio


def differences(connection: Connection) -> list[object]:
    context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
    return compare_metadata(context, metadata)


async def looked_at(url: str, look: Callable[[Connection], T]) -> T:
    seen = []
    await asyncio.to_thread(transact, url, lambda connection: seen.append(look(connection)))
    return seen[0]


async def test_migrating_makes_exactly_the_tables_that_the_code_knows(url: str) -> None:
    await migrate(url)
    assert await looked_at(url, differences) == []


async def test_the_comparison_sees_a_difference(url: str, store: SqlSessionStore) -> None:
    await store._database.write(AsyncConnection.execute, text("DROP INDEX runs_by_key"))
    assert await looked_at(url, differences) != []


async def test_the_migrated_indexes_cover_the_same_rows_as_the_codes(url: str) -> None:
    """The comparison above does not look at the conditions of partial indexes."""

    def conditions(connection: Connection) -> dict[str | None, str]:
        where = f"{connection.dialect.name}_where"
        indexes = inspect(connection).get_indexes("runs")
        found = {index["name"]: str(index.get("dialect_options", {}).get(where)) for index in indexes}
        return {name: condition.replace("runs.", "") for name, condition in found.items()}

    def make_anew(connection: Connection) -> None:
        metadata.drop_all(connection)
        metadata.create_all(connection)

    await migrate(url)
    migrated = await looked_at(url, conditions)
    await looked_at(url, make_anew)
    assert migrated == await looked_at(url, conditions)
    assert len(migrated) == 8


async def test_names_are_in_order_by_their_bytes_whatever_the_locale_of_the_database(url: str) -> None:
    """A server with another locale can't be had everywhere, so the columns are asked."""

    def collations(connection: Connection) -> dict[str, str]:
        asked = "SELECT table_name || '.' || column_name, collation_name FROM information_schema.columns"
        asked += " WHERE table_schema = current_schema() AND data_type = 'character varying'"
        return {name: collation for name, collation in connection.execute(text(asked)) if "alembic" not in name}

    await migrate(url)
    if url.startswith("sqlite"):
        pytest.skip("SQLite compares bytes")
    found = await looked_at(url, collations)
    assert {"sessions.id", "sessions.principal", "runs.session_id", "runs.status", "files.id"} <= set(found)
    assert set(found.values()) == {"C"}


async def test_it_is_told_what_migrating_did(url: str) -> None:
    newest = ScriptDirectory.from_config(configuration(url)).get_current_head()
    assert await migrate(url) == Migrated(before=None, after=newest)
    assert await migrate(url) == Migrated(before=newest, after=newest)


async def test_migrating_again_changes_nothing(url: str, store: SqlSessionStore) -> None:
    await migrate(url)
    await store.check()
    assert await looked_at(url, differences) == []


async def test_many_start_ups_at_once_migrate_once(url: str) -> None:
    stores = await asyncio.gather(*(open_sessions(url) for _ in range(5)))
    for store in stores:
        await store.check()
        await store.close()


async def test_start_ups_of_several_processes_at_once_migrate_once(url: str) -> None:
    program = "import asyncio, sys; from app.sessions.migrations import migrate; asyncio.run(migrate(sys.argv[1]))"
    arguments = [sys.executable, "-W", "error", "-c", program, url]
    async with asyncio.timeout(60):
        processes = [
            await asyncio.create_subprocess_exec(*arguments, stderr=subprocess.PIPE, stdout=subprocess.PIPE)
            for _ in range(4)
        ]
        said = [await process.communicate() for process in processes]
    assert said == [(b"", b"")] * 4
    assert [process.returncode for process in processes] == [0] * 4
    assert await looked_at(url, differences) == []


async def test_a_database_that_is_newer_than_the_code_is_refused_and_left_alone(
    url: str, store: SqlSessionStore
) -> None:
    await store._database.write(AsyncConnection.execute, text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(ConfigurationError, match=r"version 9999.*newer Runcast"):
        await open_sessions(url)
    (row,) = await store._database.read(text("SELECT version_num FROM alembic_version"))
    assert row.version_num == "9999"


async def test_logging_is_left_as_it_was(url: str) -> None:
    root, other = logging.getLogger(), logging.getLogger("runcast.something")
    before = (root.level, list(root.handlers), other.disabled, logging.getLogger("alembic").level)
    await migrate(url)
    assert (root.level, list(root.handlers), other.disabled, logging.getLogger("alembic").level) == before


def test_every_migration_is_found_beside_the_package() -> None:
    script = ScriptDirectory.from_config(configuration("sqlite+aiosqlite:///unused"))
    assert script.get_current_head() is not None
    assert script.get_bases() == ["0001"]


def test_a_new_migration_can_be_written_from_the_template(tmp_path: Path) -> None:
    config = configuration("sqlite+aiosqlite:///unused")
    config.set_main_option("version_locations", str(tmp_path))
    script = command.revision(config, message="More", rev_id="0001x", head="base")
    compile(Path(script.path).read_text(), script.path, "exec")


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("", "can't be read"),
        ("nonsense", "can't be read"),
        ("mysql://localhost/x", "must be sqlite"),
        ("sqlite:///file.db", "must be sqlite"),
        ("sqlite+aiosqlite://", "must be sqlite"),
        ("sqlite+aiosqlite:///:memory:", "must be sqlite"),
        ("postgresql+psycopg://ann:secret@localhost/x", "must be sqlite"),
        ("postgresql://ann:secret@127.0.0.1:1/x", "the database x on 127.0.0.1:1 can't be opened: .*"),
        ("postgresql://ann:sec/secret@127.0.0.1/x", "can't be read"),
        ("postgresql://ann:secret@127.0.0.1:secret/x", "can't be read"),
        ("postgresql://ann:secret@127.0.0.1:1/x?sslmode=never", "`sslmode` parameter must be one of"),
        ("sqlite+aiosqlite:////nowhere/at/all.db", "unable to open"),
    ],
)
async def test_a_url_that_cannot_be_used_is_refused_with_the_reason(url: str, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason) as refused:
        await open_sessions(url)
    assert "secret" not in str(refused.value)


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    path = tmp_path / "notes.txt"
    path.write_text("These are notes, and long enough to be seen as no database. " * 50)
    return path


async def test_a_file_that_is_no_database_is_refused_with_the_reason(notes: Path) -> None:
    with pytest.raises(ConfigurationError, match="not a database"):
        await open_sessions(f"sqlite+aiosqlite:///{notes}")
