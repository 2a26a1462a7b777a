"""What the `runcast` command prints for people to keep."""

from click.testing import CliRunner

from app.__main__ import main
from app.transports.auth.keys import ApiKeys


def test_key_prints_a_key_and_the_entry_that_knows_it():
    lines = dict(line.split(None, 1) for line in CliRunner().invoke(main, ["key", "ada"]).stdout.splitlines())

    assert ApiKeys([lines["entry:"]], None).principal(lines["key:"]) == "ada"


def test_key_refuses_a_name_that_nobody_can_have():
    refused = CliRunner().invoke(main, ["key", "two words"])

    assert refused.exit_code == 1
    assert "can't name a principal" in refused.output
