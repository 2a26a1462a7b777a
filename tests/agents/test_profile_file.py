"""A profiles file: everything wrong in it is refused with the path of the key."""

import pytest

from app.agents.profile_file import read_profiles
from app.agents.profile_tables import DemoTable, ModelTable
from app.errors import ConfigurationError

DEMO = '[profiles.one]\nagent = "demo"\n'
MODEL = '[profiles.one]\nagent = "pydantic-ai"\nmodel = "test"\n'


@pytest.fixture
def read(tmp_path):
    def write_and_read(text: str):
        path = tmp_path / "profiles.toml"
        path.write_text(text)
        return read_profiles(path)

    return write_and_read


def test_tables_keep_their_order_and_the_first_is_the_default(read):
    file = read('[profiles.zoe]\nagent = "demo"\nlength = 3\n[profiles.adam]\nagent = "demo"\n')
    assert list(file.tables) == ["zoe", "adam"]
    assert file.default == "zoe"
    assert file.tables["zoe"] == DemoTable(length=3)


def test_the_default_can_be_named(read):
    assert read('default = "b"\n[profiles.a]\nagent = "demo"\n[profiles.b]\nagent = "demo"\n').default == "b"


def test_every_key_of_a_model_is_read(read):
    file = read(
        MODEL
        + 'base_url = "http://x"\napi_key_env = "K"\ninstructions = "I"\ntools = ["a:b"]\nsubagents = []\n'
        + 'max_iterations = 3\nmax_context_tokens = 9\nsettings = { temperature = 0, thinking = "low" }\n'
    )
    assert file.tables["one"] == ModelTable(
        model="test",
        base_url="http://x",
        api_key_env="K",
        instructions="I",
        tools=("a:b",),
        max_iterations=3,
        max_context_tokens=9,
        settings={"temperature": 0, "thinking": "low"},
    )


def test_subagents_are_built_before_who_asks_them(read):
    file = read(
        '[profiles.a]\nagent = "pydantic-ai"\nmodel = "test"\nsubagents = ["b", "c"]\n'
        '[profiles.b]\nagent = "pydantic-ai"\nmodel = "test"\nsubagents = ["c"]\n[profiles.c]\nagent = "demo"\n'
    )
    assert file.build_order() == ("c", "b", "a")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("not toml", "not valid TOML"),
        ("", "profiles: there must be at least one"),
        ("[profiles]\n", "profiles: there must be at least one"),
        ("profiles = 3", "profiles: there must be at least one"),
        (f"colour = 1\n{DEMO}", "colour: unknown key"),
        (f'default = "two"\n{DEMO}', "default: there is no profile 'two'"),
        (f"default = []\n{DEMO}", "default: there is no profile"),
        ("[profiles]\none = 3", "profiles.one: expected a table"),
        ('[profiles."a b"]\nagent = "demo"', "profiles.a b: a profile's name"),
        ("[profiles.one]\n", "profiles.one.agent: expected"),
        ("[profiles.one]\nagent = 3", "profiles.one.agent: expected"),
        ('[profiles.one]\nagent = "pydantic-ai:test"', 'model = "test"'),
        ('[profiles.one]\nagent = "pydantic-ai"', "profiles.one.model: missing"),
        (f"{DEMO}colour = 1", "profiles.one: unknown key for this agent: colour"),
        (f'{DEMO}model = "x"', "profiles.one: unknown key for this agent: model"),
        (f'{DEMO}length = "x"', "profiles.one.length: expected an integer"),
        (f"{DEMO}length = true", "profiles.one.length: expected an integer"),
        (f"{DEMO}length = 1.5", "profiles.one.length: expected an integer"),
        (f"{DEMO}length = 50001", "'length' must be <= 50000"),
        (f"{DEMO}tokens_per_second = -1", "'tokens_per_second' must be >= 0"),
        (f"{DEMO}tokens_per_second = nan", "'tokens_per_second' must be"),
        (f"{DEMO}tokens_per_second = true", "profiles.one.tokens_per_second: expected a number"),
        (f"{DEMO}description = 3", "profiles.one.description: expected a string"),
        (f"{MODEL}max_iterations = 0", "'max_iterations' must be >= 1"),
        (f'{MODEL}tools = "a:b"', "profiles.one.tools: expected an array of strings"),
        (f"{MODEL}tools = [1]", "profiles.one.tools: expected an array of strings"),
        (f"{MODEL}settings = 3", "profiles.one.settings: expected a table"),
        (f'{MODEL}subagents = ["two"]', "profiles.one.subagents[0]: there is no profile 'two'"),
        (f'{MODEL}subagents = ["one"]', "profiles.one.subagents: the profiles call each other in a circle"),
    ],
)
def test_what_is_wrong_is_refused_with_its_path(read, text, said):
    with pytest.raises(ConfigurationError) as caught:
        read(text)
    assert said in str(caught.value)
    assert "profiles.toml: " in str(caught.value)


def test_longer_circles_are_found_too(read):
    with pytest.raises(ConfigurationError, match="circle"):
        read(
            '[profiles.a]\nagent = "pydantic-ai"\nmodel = "test"\nsubagents = ["b"]\n'
            '[profiles.b]\nagent = "pydantic-ai"\nmodel = "test"\nsubagents = ["a"]\n'
        )


def test_a_file_that_is_not_there_is_a_configuration_error(tmp_path):
    with pytest.raises(ConfigurationError, match="No such file"):
        read_profiles(tmp_path / "none.toml")
