"""The environment -> Settings."""

import re
from pathlib import Path

import pytest

from app.errors import ConfigurationError
from app.settings import Settings, names, variable


def test_without_variables_everything_is_at_its_default():
    assert Settings.from_environment({}) == Settings()


def test_other_variables_are_none_of_its_business():
    assert Settings.from_environment({"PATH": "/bin", "XRUNCAST_PORT": "x", "runcast_port": "x"}) == Settings()


def test_an_empty_variable_is_as_good_as_none():
    assert Settings.from_environment({variable(name): "" for name in names()}) == Settings()


def test_every_variable_is_read():
    assert Settings.from_environment(
        {
            "RUNCAST_HOST": "::1",
            "RUNCAST_PORT": "0",
            "RUNCAST_WORKERS": "4",
            "RUNCAST_DATA_DIR": "/srv/runcast",
            "RUNCAST_REDIS_URL": "valkey://a.example,rediss://b.example:6380/1",
            "RUNCAST_DATABASE_URL": "postgres://runcast@db.example/runcast?sslmode=require",
            "RUNCAST_DATABASE_POOL": "20",
            "RUNCAST_AGENT": "my.module:agent",
            "RUNCAST_PROFILES": "profiles.toml",
            "RUNCAST_BASE_PATH": "runcast/v1/",
            "RUNCAST_ALLOWED_ORIGINS": "https://App.example, http://localhost:3000,",
            "RUNCAST_ALLOW_ANONYMOUS": "Yes",
            "RUNCAST_AUTH": "jwt",
            "RUNCAST_API_KEYS": "ada:0, bob:1",
            "RUNCAST_API_KEYS_FILE": "/etc/runcast/keys",
            "RUNCAST_JWT_SECRET": "an HS256 secret that is long enough to be one",
            "RUNCAST_JWT_KEYS_FILE": "jwks.json",
            "RUNCAST_JWT_AUDIENCE": "runcast",
            "RUNCAST_JWT_ISSUER": "https://id.example",
            "RUNCAST_SECRET": "a secret for tickets, as long as it has to be",
            "RUNCAST_METRICS_TOKEN": "a-token-for-metrics-as-long-as-it-has-to-be",
            "RUNCAST_TOKEN": "rc_token",
            "RUNCAST_MAX_MESSAGE_BYTES": "1024",
            "RUNCAST_SEND_TIMEOUT": "0.5",
            "RUNCAST_DISCONNECT_GRACE": "0",
            "RUNCAST_RUN_DEADLINE": "0",
            "RUNCAST_IDLE_TIMEOUT": "60",
            "RUNCAST_MAX_RUN_EVENTS": "1000",
            "RUNCAST_MAX_RUN_BYTES": "65536",
            "RUNCAST_DRAIN_TIMEOUT": "1e1",
            "RUNCAST_SQLITE_SYNC": "full",
            "RUNCAST_LOG_FORMAT": "json",
            "RUNCAST_LOG_LEVEL": "debug",
        }
    ) == Settings(
        host="::1",
        port=0,
        workers=4,
        data_dir=Path("/srv/runcast"),
        database_url="postgres://runcast@db.example/runcast?sslmode=require",
        redis_url="valkey://a.example,rediss://b.example:6380/1",
        database_pool=20,
        agent="my.module:agent",
        profiles=Path("profiles.toml"),
        base_path="/runcast/v1",
        allowed_origins=("https://app.example", "http://localhost:3000"),
        allow_anonymous=True,
        auth="jwt",
        api_keys=("ada:0", "bob:1"),
        api_keys_file=Path("/etc/runcast/keys"),
        jwt_secret="an HS256 secret that is long enough to be one",
        jwt_keys_file=Path("jwks.json"),
        jwt_audience="runcast",
        jwt_issuer="https://id.example",
        secret="a secret for tickets, as long as it has to be",
        metrics_token="a-token-for-metrics-as-long-as-it-has-to-be",
        token="rc_token",
        max_message_bytes=1024,
        send_timeout=0.5,
        disconnect_grace=0.0,
        run_deadline=0.0,
        idle_timeout=60.0,
        max_run_events=1000,
        max_run_bytes=65536,
        drain_timeout=10.0,
        sqlite_sync="full",
        log_format="json",
        log_level="debug",
    )


def test_a_path_may_begin_at_home(monkeypatch):
    monkeypatch.setenv("HOME", "/home/ada")
    assert Settings.from_environment({"RUNCAST_DATA_DIR": "~/runs"}).data_dir == Path("/home/ada/runs")


@pytest.mark.parametrize("text", ["1", "true", "TRUE", "yes", "on", "0", "false", "no", "Off"])
def test_a_flag_has_several_spellings(text):
    flag = Settings.from_environment({"RUNCAST_ALLOW_ANONYMOUS": text}).allow_anonymous
    assert flag == (text.lower() in ("1", "true", "yes", "on"))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("port", "http"),
        ("port", "80.5"),
        ("port", "-1"),
        ("port", "65536"),
        ("data_dir", "~nobody-of-that-name/runs"),
        ("database_url", "sqlite:///sessions.db"),
        ("database_url", "db.example/runcast"),
        ("database_url", "postgresql://runcast@db.example:abc/runcast"),
        ("database_url", "postgresql://runcast@db.example:5432,db.example:/runcast"),
        ("redis_url", "localhost:6379"),
        ("redis_url", "redis://a.example:abc/0"),
        ("redis_url", "redis://a.example/x"),
        ("redis_url", "redis://a.example/0,redis://b.example/0/1"),
        ("redis_url", "redis://a.example,http://b.example"),
        ("workers", "0"),
        ("workers", "257"),
        ("database_pool", "1"),
        ("profiles", "~nobody-of-that-name/profiles.toml"),
        ("base_path", "/with space"),
        ("base_path", "/a//b"),
        ("base_path", "/{id}"),
        ("base_path", "/a?b"),
        ("allowed_origins", "*"),
        ("allowed_origins", "app.example"),
        ("allowed_origins", "https://app.example/"),
        ("allowed_origins", "https://*.example"),
        ("allowed_origins", "https://app.example, ftp://files.example"),
        ("allowed_origins", "null"),
        ("allow_anonymous", "maybe"),
        ("auth", "basic"),
        ("api_keys", "ada:0"),
        ("api_keys_file", "keys"),
        ("jwt_secret", "an HS256 secret that is long enough to be one"),
        ("jwt_keys_file", "keys.pem"),
        ("jwt_secret", "short"),
        ("jwt_secret", "x" * 64),
        ("jwt_secret", "é" * 15 + "x"),
        ("secret", "15 bytes aren't"),
        ("secret", "ab" * 20),
        ("metrics_token", "a-token-that-is-too-short"),
        ("metrics_token", "a token with blanks, though it is long enough"),
        ("max_message_bytes", "8MiB"),
        ("max_message_bytes", "1023"),
        ("send_timeout", "0"),
        ("send_timeout", "nan"),
        ("send_timeout", "inf"),
        ("disconnect_grace", "-1"),
        ("disconnect_grace", "nan"),
        ("drain_timeout", "-inf"),
        ("drain_timeout", "ten"),
        ("sqlite_sync", "FULL"),
        ("sqlite_sync", "off"),
        ("log_format", "xml"),
        ("log_level", "trace"),
    ],
)
def test_a_bad_value_is_refused_by_the_name_of_its_variable(name, text):
    with pytest.raises(ConfigurationError, match=rf"^{variable(name)} .*"):
        Settings.from_environment({variable(name): text})


@pytest.mark.parametrize(
    ("missing", "why"), [("DATABASE_URL", "they need RUNCAST_DATABASE_URL"), ("SECRET", "need the same RUNCAST_SECRET")]
)
def test_several_processes_need_a_database_and_a_secret_in_common(missing, why):
    given = {
        "RUNCAST_REDIS_URL": "redis://localhost",
        "RUNCAST_DATABASE_URL": "postgresql://localhost/runcast",
        "RUNCAST_SECRET": "a secret for tickets, as long as it has to be",
    }
    assert Settings.from_environment(given).redis_url == "redis://localhost"
    del given[f"RUNCAST_{missing}"]
    with pytest.raises(ConfigurationError, match=why):
        Settings.from_environment(given)


@pytest.mark.parametrize("password", ["can#ary", "can/ary", "can?ary"])
@pytest.mark.parametrize(("name", "scheme"), [("database_url", "postgresql"), ("redis_url", "rediss")])
def test_a_password_that_has_to_be_quoted_is_refused_and_not_shown(name, scheme, password):
    given = {variable(name): f"{scheme}://runcast:{password}@a.example:1/0"}
    with pytest.raises(ConfigurationError, match=f"{variable(name)} .* percent sign") as refused:
        Settings.from_environment(given)
    assert not {"can", "ary"} & set(re.split(r"\W+", str(refused.value)))


@pytest.mark.parametrize(
    "url",
    [
        "postgresql:///runcast",
        "postgresql://a.example:5432,b.example/runcast?target_session_attrs=primary",
        "postgresql://runcast:p%2Fw%40@[::1]:5432/runcast",
        "postgresql://runcast:p:w@a.example/runcast",
    ],
)
def test_what_libpq_takes_is_taken(url):
    assert Settings.from_environment({"RUNCAST_DATABASE_URL": url}).database_url == url


_CANARIES = {"database_url": "postgresql://canary", "redis_url": "redis://canary"}


@pytest.mark.parametrize("name", ["database_url", "redis_url", "jwt_secret", "secret", "metrics_token"])
def test_a_secret_is_shown_neither_in_a_refusal_nor_in_a_representation(name):
    with pytest.raises(ConfigurationError) as refused:
        Settings.from_environment({variable(name): "canary"})
    assert "canary" not in str(refused.value)
    secrets = {
        "auth": "keys",
        "api_keys": "canary",
        "token": "canary",
        "database_url": "postgresql://canary",
        "secret": "canary-and-enough-letters-to-be-a-secret",
        name: _CANARIES.get(name, "canary-and-enough-letters-to-be-a-secret"),
    }
    settings = Settings.from_environment({variable(name): text for name, text in secrets.items()})
    assert "canary" not in repr(settings)


def test_a_bad_choice_is_told_the_good_ones():
    with pytest.raises(ConfigurationError, match="one of normal, full, not 'off'"):
        Settings.from_environment({"RUNCAST_SQLITE_SYNC": "off"})


def test_variables_that_name_no_setting_are_refused_all_at_once():
    given = {"RUNCAST_PROT": "1", "RUNCAST_": "x", "RUNCAST_host": "x", "RUNCAST_HOST": "::1"}
    with pytest.raises(
        ConfigurationError, match=re.escape("there is no setting RUNCAST_, RUNCAST_PROT, RUNCAST_host;")
    ):
        Settings.from_environment(given)
