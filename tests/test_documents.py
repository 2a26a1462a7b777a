"""Documents that must not fall behind the code."""

import re
from configparser import ConfigParser
from pathlib import Path

import pytest
from attrs import fields_dict

from app.settings import Settings, names, variable

ROOT = Path(__file__).parent.parent
ENV_EXAMPLE = (ROOT / ".env.example").read_text().splitlines()
LISTED = {found[1]: found[2] for line in ENV_EXAMPLE if (found := re.fullmatch(r"#(RUNCAST_\w+)=(.*)", line))}


def test_env_example_lists_every_setting_and_no_other_in_the_order_of_the_class():
    assert list(LISTED) == [variable(name) for name in names()]


def test_env_example_sets_nothing():
    assert [line for line in ENV_EXAMPLE if line and not line.startswith("#")] == []


@pytest.mark.parametrize("name", names())
def test_env_example_shows_the_default_of(name):
    shown, default = LISTED[variable(name)], getattr(Settings(), name)
    if shown:
        assert getattr(Settings.from_environment({variable(name): shown}), name) == default
    else:
        assert default in (None, "", ())


@pytest.mark.parametrize("name", names())
def test_env_example_explains(name):
    above = ENV_EXAMPLE[ENV_EXAMPLE.index(f"#{variable(name)}={LISTED[variable(name)]}") - 1]
    assert re.fullmatch(r"# [A-Z].{15,}\.", above)


def test_every_setting_is_explained_in_its_class():
    explained = re.findall(r"^ {8}([\w, ]+): ", Settings.__doc__ or "", re.MULTILINE)
    assert [name for line in explained for name in line.split(", ")] == list(fields_dict(Settings))


@pytest.mark.parametrize("page", sorted((ROOT / "docs").rglob("*.md")), ids=lambda page: page.stem)
def test_a_page_names_no_setting_that_there_is_not(page):
    named = set(re.findall(r"RUNCAST_[A-Z_]+[A-Z]", page.read_text(encoding="utf-8")))
    assert named <= {variable(name) for name in names()}


def test_the_unit_of_systemd_waits_for_a_drain_and_has_files_for_every_viewer():
    page = (ROOT / "docs" / "how-to" / "systemd.md").read_text(encoding="utf-8")
    (unit,) = re.findall(r"```ini\n(.*?)```", page, re.DOTALL)
    parser = ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(unit)
    service = parser["Service"]

    assert service.getint("TimeoutStopSec") >= Settings().drain_timeout + 15 + 2
    assert service.getint("LimitNOFILE") > Settings().max_viewers + 1024
