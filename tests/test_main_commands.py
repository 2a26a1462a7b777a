"""What the `runcast` command prints for people to keep."""

import os
import re

import pytest
from click.testing import CliRunner

from app.__main__ import main
from app.transports.auth.keys import ApiKeys
from tests.postgres import PASSWORD, postgres_server


@pytest.fixture(autouse=True)
def nothing_is_set(monkeypatch):
    """What tests themselves are told in variables is no setting."""
    for name in [name for name in os.environ if name.startswith("RUNCAST_")]:
        monkeypatch.delenv(name)


def test_key_prints_a_key_and_the_entry_that_knows_it():
    lines = dict(line.split(None, 1) for line in CliRunner().invoke(main, ["key", "ada"]).stdout.splitlines())

    assert ApiKeys([lines["entry:"]], None).principal(lines["key:"]) == "ada"


def test_key_refuses_a_name_that_nobody_can_have():
    refused = CliRunner().invoke(main, ["key", "two words"])

    assert refused.exit_code == 1
    assert "can't name a principal" in refused.output


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_migrate_says_what_it_did_and_does_it_once(kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    url = postgres_server().empty() if kind == "postgresql" else ""
    given = {"RUNCAST_DATA_DIR": str(tmp_path / "data"), "RUNCAST_DATABASE_URL": url}
    first, second = (CliRunner().invoke(main, ["migrate"], env=given) for _ in range(2))

    assert re.fullmatch(r"migrated: no tables -> version \d{4}\n", first.output)
    assert re.fullmatch(r"up to date: version \d{4}\n", second.output)
    assert first.exit_code == second.exit_code == 0


def test_migrate_refuses_a_database_that_is_newer_in_one_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    url = postgres_server().migrated()
    name = url.partition("?")[0].rpartition("/")[2]
    postgres_server().sql("UPDATE alembic_version SET version_num = '9999'", database=name)
    refused = CliRunner().invoke(main, ["migrate"], env={"RUNCAST_DATABASE_URL": url})

    assert refused.exit_code == 1
    assert re.fullmatch(r"Error: the database is at version 9999, .*\n", refused.output)
    assert PASSWORD not in refused.output


def test_a_data_directory_with_sessions_of_its_own_is_not_used_beside_postgresql(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = {"RUNCAST_DATA_DIR": str(tmp_path)}
    CliRunner().invoke(main, ["migrate"], env=given)
    given["RUNCAST_DATABASE_URL"] = f"postgresql://ann:{PASSWORD}@127.0.0.1:1/x"
    refused = CliRunner().invoke(main, ["migrate"], env=given)

    assert "sessions.sqlite3 holds sessions: choose another RUNCAST_DATA_DIR" in refused.output
    assert PASSWORD not in refused.output
