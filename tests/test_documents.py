"""Documents that must not fall behind the code."""

import ast
import re
from pathlib import Path
from urllib.parse import unquote

import pytest
from attrs import fields_dict

from app.settings import Settings, names, variable
from tests.documents.pages import anchors, blocks, claims, pages, text_of

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


@pytest.mark.parametrize("page", pages())
def test_every_code_block_is_claimed_by_a_test_that_executes_or_checks_it(page):
    claimed = [claim for claim in claims() if claim.page == page]
    nobody = [f"{page}:{block.line}" for block in blocks(page) if not any(claim.holds(block) for claim in claimed)]

    assert nobody == [], "mark the test that executes it: @pytest.mark.executes(page, language), see CONTRIBUTING.md"


def test_no_test_claims_a_block_that_is_not_there():
    assert [claim for claim in claims() if not any(claim.holds(block) for block in blocks(claim.page))] == []


@pytest.mark.parametrize("page", pages())
def test_every_code_block_says_what_language_it_is_in(page):
    assert [f"{page}:{block.line}" for block in blocks(page) if not block.language] == []


def links(page):
    """The targets of a page's links that lead to this repository."""
    text = re.sub(r"^ *```.*?^ *```$", "", text_of(page), flags=re.MULTILINE | re.DOTALL)
    return re.findall(r"(?:\]\(|src=\")(?![a-z]+:)([^)\s\"]+)[)\"]", text)


@pytest.mark.parametrize("page", pages())
def test_every_link_leads_to_a_file_and_to_a_heading_that_are_there(page):
    for target in links(page):
        path, _, anchor = unquote(target).partition("#")
        file = (ROOT / page).parent.joinpath(path).resolve() if path else ROOT / page
        assert file.exists(), target
        if anchor:
            assert anchor in anchors(str(file.relative_to(ROOT))), target


def test_every_page_of_docs_is_linked_from_the_readme():
    near = {(ROOT / target.partition("#")[0]).resolve() for target in links("README.md")}

    assert [page for page in pages() if page.startswith("docs/") and (ROOT / page) not in near] == []


def test_the_makefile_has_every_target_that_a_page_names():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = {name for page in pages() for name in re.findall(r"(?:`|\$ )make ([a-z]+)\b", text_of(page))}

    assert {"run", "test", "lint"} <= named <= targets


LEVELS = ("debug", "info", "warning", "error", "exception")
LOG_TABLE = [
    line.split("|")[1:3] for line in text_of("docs/how-to/monitoring.md").splitlines() if line.startswith("| `")
]
LOGGED = {name: level for names, level in LOG_TABLE for name in re.findall(r"`(\w+[._]\w+)`", names)}


def log_lines():
    """Every event that the code logs under a name that stands there, and at which level."""
    for file in (ROOT / "app").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args):
                continue
            level, (event, *_) = node.func.attr.removeprefix("a"), node.args
            if level in LEVELS and isinstance(event, ast.Constant) and " " not in str(event.value):
                yield event.value, level.replace("exception", "error")


def test_the_page_on_monitoring_has_every_event_of_the_log_at_its_level():
    assert [line for line in log_lines() if line[1] not in LOGGED.get(line[0], "")] == []


def test_the_page_on_monitoring_has_no_event_that_is_not_logged():
    source = "".join(file.read_text(encoding="utf-8") for file in (ROOT / "app").rglob("*.py"))
    events = {name for name, level in LOGGED.items() if re.search("info|warning|error", level)}

    assert len(events) > 25
    assert [name for name in events if f'"{name}"' not in source] == []
