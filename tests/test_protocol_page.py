"""docs/protocol.md against the code: every message, field, code and route is there, and none that isn't so."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import attrs
import pytest
from msgspec import UNSET

from app import errors
from app.dialects import messages
from app.hosting.ending import INTERRUPTED, unexpected
from app.hosting.limits import RunLimits
from app.transports.cattrs_plugin import tag_of
from app.transports.commands import Command
from app.transports.problems import _FRAMEWORK

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")
MESSAGES = {tag_of(cls): cls for cls in get_args(messages.StreamMessage | messages.ReplyMessage)}

CONTRACTS = {f"GET /schema/{name}.json" for name in ("openapi", "asyncapi", "messages")}

Field = tuple[str, bool]


def tables(head: str) -> Iterator[list[str]]:
    """The rows, as cells, of every table whose first column has that heading."""
    inside = False
    for line in PAGE.splitlines():
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        if not cells:
            inside = False
        elif inside and not set(cells[0]) <= {"-"}:
            yield cells
        else:
            inside = inside or cells[0] == head


def names(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def documented_fields(head: str) -> dict[str, set[Field]]:
    """By type: each field's name, and whether it may be absent."""
    found: dict[str, set[Field]] = {}
    for kind, fields, *_ in tables(head):
        written = re.findall(r"`(\w+)`(\??)", fields)
        found.setdefault(names(kind)[0], set()).update((name, bool(mark)) for name, mark in written)
    return found


def fields_of(cls: type, *, besides: set[str]) -> set[Field]:
    found = attrs.fields(cls)
    return {(field.name, field.default is not attrs.NOTHING) for field in found if field.name not in besides}


def test_the_tables_hold_exactly_the_messages_there_are() -> None:
    assert set(documented_fields("`type`")) == set(MESSAGES)


@pytest.mark.parametrize("kind", sorted(set(MESSAGES) - {"error"}))
def test_a_message_has_the_fields_that_are_documented(kind: str) -> None:
    assert documented_fields("`type`")[kind] == fields_of(MESSAGES[kind], besides={"type", "id"})


def test_an_error_has_an_id_in_one_table_and_none_in_the_other() -> None:
    by_meaning = {
        meaning.startswith("**terminal**"): fields for kind, fields, meaning in tables("`type`") if "error" in kind
    }

    assert set(names(by_meaning[True])) | set(names(by_meaning[False])) == {
        name for name, _ in fields_of(messages.Error, besides={"type"})
    }
    assert "id" in names(by_meaning[True])
    assert "id" not in names(by_meaning[False])


def test_terminal_messages_are_marked() -> None:
    marked = {names(kind)[0] for kind, _, meaning in tables("`type`") if meaning.startswith("**terminal**")}

    assert marked == {"stream_end", "stream_cancelled", "error"}


def test_optional_fields_are_absent_and_not_null() -> None:
    for cls in MESSAGES.values():
        optional = [field for field in attrs.fields(cls) if field.name != "type" and field.default is not attrs.NOTHING]
        assert all(field.default is UNSET for field in optional)


def test_the_table_of_commands_holds_exactly_the_commands_there_are() -> None:
    expected = {tag_of(cls): fields_of(cls, besides={"type"}) for cls in get_args(Command)}

    assert documented_fields("command") == expected


def refusals(root: type[errors.Refusal]) -> Iterator[type[errors.Refusal]]:
    for cls in root.__subclasses__():
        yield cls
        yield from refusals(cls)


def test_every_code_is_documented_with_its_status() -> None:
    rows = list(tables("code"))
    ends = {names(row[0])[0] for row in rows if len(row) == 2}
    refused = {names(row[0])[0]: int(row[1]) for row in rows if len(row) == 3}
    framework = {
        code: status for status, (code, _) in _FRAMEWORK.items() if code in ("not_found", "method_not_allowed")
    }
    unexpected_code = unexpected(RuntimeError()).code

    assert refused == {cls.code: cls.status for cls in refusals(errors.Refusal)} | framework | {unexpected_code: 500}
    assert ends == {
        errors.AgentError("").code,
        errors.MaxIterationsReached().code,
        INTERRUPTED.code,
        unexpected_code,
        *(end.code for end in (RunLimits().too_late, RunLimits().silent, RunLimits().full)),
    }


def test_every_close_code_is_documented() -> None:
    documented = {int(row[0]) for row in tables("close code")}

    assert {cls.close_code for cls in refusals(errors.Refusal)} | {1000, 1009, 1011, 1012, 4508} == documented


def test_the_table_of_routes_holds_exactly_the_routes_there_are() -> None:
    document: dict[str, Any] = json.loads((ROOT / "openapi" / "openapi.json").read_text(encoding="utf-8"))
    exported = {f"{method.upper()} {path}" for path, methods in document["paths"].items() for method in methods}

    assert {names(row[0])[0] for row in tables("route")} == exported | CONTRACTS


def test_what_is_not_yet_there_is_not_there() -> None:
    missing = {name for row in tables("rule") for name in names(row[1])}
    there = set(MESSAGES) | {cls.code for cls in refusals(errors.Refusal)} | {tag_of(cls) for cls in get_args(Command)}

    assert list(tables("rule"))
    assert not missing & there


def test_every_rule_has_its_number() -> None:
    last = {2: 4, 3: 11, 4: 6, 6: 7, 7: 5}
    numbers = {f"P{section}.{number}" for section, count in last.items() for number in range(1, count + 1)}

    assert numbers <= set(re.findall(r"\*\*(P\d\.\d+)\*\*", PAGE))
