"""The reading of a `profiles.toml`: every wrong key or type is refused with its path."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

import cattrs
from attrs import frozen

from app.agents.profile_tables import CodeTable, DemoTable, LocalTable, ModelTable, Table
from app.errors import ConfigurationError

_NAME = re.compile(r"[A-Za-z0-9_-]{1,48}")


@frozen
class ProfilesFile:
    """A whole file: the tables in their order, and the name of the default one."""

    tables: Mapping[str, Table]
    default: str

    def build_order(self) -> tuple[str, ...]:
        """The names, every profile after its subagents.

        Raises:
            ConfigurationError: a subagent is unknown, or is reached from itself.
        """
        graph = {name: getattr(table, "subagents", ()) for name, table in self.tables.items()}
        for name, subagents in graph.items():
            for position, subagent in enumerate(subagents):
                if subagent not in graph:
                    raise ConfigurationError(f"profiles.{name}.subagents[{position}]: there is no profile {subagent!r}")
        try:
            return tuple(TopologicalSorter(graph).static_order())
        except CycleError as error:
            cycle = error.args[1]
            raise ConfigurationError(
                f"profiles.{cycle[-1]}.subagents: the profiles call each other in a circle: {' <- '.join(cycle)}"
            ) from None


def read_profiles(path: Path) -> ProfilesFile:
    """Read and check a profiles file.

    Raises:
        ConfigurationError: it can't be read, or something in it is wrong; the message begins with the file and the key.
    """
    try:
        return _profiles(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror or type(error).__name__}") from error
    except ValueError as error:  # tomllib's and the decoder's errors both are
        raise ConfigurationError(f"{path}: not valid TOML: {error}") from error
    except ConfigurationError as error:
        raise ConfigurationError(f"{path}: {error}") from None


def _profiles(document: Mapping[str, Any]) -> ProfilesFile:
    for key in document.keys() - {"default", "profiles"}:
        raise ConfigurationError(f"{key}: unknown key; the file holds `default` and [profiles.NAME] tables")
    tables = document.get("profiles")
    if not isinstance(tables, dict) or not tables:
        raise ConfigurationError("profiles: there must be at least one [profiles.NAME] table")
    default = document.get("default", next(iter(tables)))
    if not isinstance(default, str) or default not in tables:
        raise ConfigurationError(f"default: there is no profile {default!r}")
    file = ProfilesFile({name: _table(name, table) for name, table in tables.items()}, default)
    file.build_order()
    return file


def _table(name: str, table: Any) -> Table:
    path = f"profiles.{name}"
    if not _NAME.fullmatch(name):
        raise ConfigurationError(f"{path}: a profile's name has 1 to 48 letters, digits, `_` or `-`")
    if not isinstance(table, dict):
        raise ConfigurationError(f"{path}: expected a table")
    agent = table.get("agent")
    if not isinstance(agent, str):
        raise ConfigurationError(f'{path}.agent: expected "demo", "local", "pydantic-ai" or "package.module:attribute"')
    if agent.startswith("pydantic-ai:"):
        raise ConfigurationError(f'{path}.agent: write agent = "pydantic-ai" and model = "{agent.partition(":")[2]}"')
    kinds: dict[str, type[Table]] = {"demo": DemoTable, "local": LocalTable, "pydantic-ai": ModelTable}
    kind = kinds.get(agent, CodeTable)
    try:
        return _converter.structure(table, kind)
    except cattrs.BaseValidationError as error:
        reasons = cattrs.transform_error(error, path=path, format_exception=_reason)
        raise ConfigurationError("; ".join(map(_path_first, reasons))) from None


def _reason(error: BaseException, _type: type[Any] | None) -> str:
    match error:
        case cattrs.ForbiddenExtraKeysError():
            return f"unknown key for this agent: {', '.join(sorted(error.extra_fields))}"
        case KeyError():
            return "missing"
        case _:
            return str(error.args[0] if error.args else error)


def _path_first(reason: str) -> str:
    text, _, path = reason.rpartition(" @ ")
    return f"{path}: {text}"


def _strict(kind: type[Any], said: str) -> Any:
    def structure(value: Any, _: Any) -> Any:
        if type(value) is not kind:
            raise TypeError(f"expected {said}")
        return value

    return structure


def _number(value: Any, _: Any) -> float:
    if type(value) not in {int, float}:
        raise TypeError("expected a number")
    return float(value)


def _strings(value: Any, _: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise TypeError("expected an array of strings")
    return tuple(value)


def _make_converter() -> cattrs.Converter:
    converter = cattrs.Converter(forbid_extra_keys=True)
    converter.register_structure_hook(str, _strict(str, "a string"))
    converter.register_structure_hook(int, _strict(int, "an integer"))
    converter.register_structure_hook(float, _number)
    converter.register_structure_hook_func(lambda kind: kind == tuple[str, ...], _strings)
    converter.register_structure_hook_func(lambda kind: kind == dict[str, Any], _strict(dict, "a table"))
    return converter


_converter = _make_converter()
