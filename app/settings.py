"""The environment -> one frozen Settings; read by the composition root alone.

Every setting is a variable `RUNCAST_<NAME>`; `.env.example` lists them all with their defaults.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Literal, get_args, get_origin, get_type_hints

from attrs import Attribute, field, fields, frozen
from attrs.validators import optional

from app.errors import ConfigurationError

PREFIX: Final = "RUNCAST_"
_NUMBERS: Final[dict[Any, tuple[Callable[[str], float], str]]] = {
    int: (int, "a whole number"),
    float: (float, "a number"),
    float | None: (float, "a number"),
}


def _at_least(low: float) -> Callable[[Any, Attribute[Any], float], None]:
    def check(_: Any, attribute: Attribute[Any], value: float) -> None:
        if value < low:
            raise ValueError(f"{PREFIX}{attribute.name.upper()} must be at least {low:g}, not {value:g}")

    return check


def _at_most(high: float) -> Callable[[Any, Attribute[Any], float], None]:
    def check(_: Any, attribute: Attribute[Any], value: float) -> None:
        if value > high:
            raise ValueError(f"{PREFIX}{attribute.name.upper()} must be at most {high:g}, not {value:g}")

    return check


_FEWEST_CHARACTERS: Final = 4


def _secret(shortest: int) -> Callable[[Any, Attribute[Any], str | None], None]:
    def check(_: Any, attribute: Attribute[Any], value: str | None) -> None:
        if value is None:
            return
        if len(value.encode()) < shortest or len(set(value)) < _FEWEST_CHARACTERS:  # and it is not shown
            name = f"{PREFIX}{attribute.name.upper()}"
            raise ValueError(f"{name} must be {shortest} bytes of random text or more: `openssl rand -hex 32`")

    return check


def _is_bearer(_: Any, attribute: Attribute[Any], value: str | None) -> None:
    if value is not None and re.fullmatch(r"[A-Za-z0-9._~+/-]+=*", value) is None:  # and it is not shown
        raise ValueError(
            f"{PREFIX}{attribute.name.upper()} may hold letters, digits and -._~+/ only, to be sent as a token"
        )


_SERVER: Final = re.compile(r"(\[[0-9a-fA-F:.%]+\]|[^\[\]:]*)(:\d+)?")


def _path_of(name: str, url: str) -> str:
    """The path of a URL; one whose password ends the name of the server too early is refused, and not shown."""
    authority, _, path = re.split("[?#]", url.partition("://")[2], maxsplit=1)[0].partition("/")
    servers = authority.rpartition("@")[2]
    if not all(_SERVER.fullmatch(server) for server in servers.split(",")):
        raise ValueError(
            f"{name} names a port that is no number; in a password, each of : / ? # [ ] @ is written with a percent"
            " sign, as %2F for /"
        )
    return path


def _is_postgresql(_: Any, attribute: Attribute[Any], value: str | None) -> None:
    if value is None:
        return
    name = f"{PREFIX}{attribute.name.upper()}"
    if re.match(r"postgres(ql(\+asyncpg)?)?://", value) is None:  # and it is not shown
        raise ValueError(f"{name} must look like postgresql://user:password@server/database")
    _path_of(name, value)


def _is_redis(_: Any, attribute: Attribute[Any], value: str | None) -> None:
    name = f"{PREFIX}{attribute.name.upper()}"
    for url in map(str.strip, value.split(",")) if value is not None else ():
        if re.match(r"(redis|rediss|valkey|valkeys|unix)://", url) is None:  # and it is not shown
            raise ValueError(f"{name} must look like redis://user:password@server:6379/0")
        if not url.startswith("unix:") and re.fullmatch(r"\d*", _path_of(name, url)) is None:
            raise ValueError(f"{name} ends with the number of a database, as redis://server:6379/0")


def _base_path(text: str) -> str:
    path = "/" + text.strip("/") if text.strip("/") else ""
    if re.fullmatch(r"(/[A-Za-z0-9._~-]+)*", path) is None:
        raise ValueError(f"{PREFIX}BASE_PATH must look like /runcast, not {text!r}")
    return path


def _origin(text: str) -> str:
    if re.fullmatch(r"https?://[^/?#\s*]+", text) is None:
        raise ValueError(f"{PREFIX}ALLOWED_ORIGINS lists origins such as https://app.example, not {text!r}")
    return text.lower()


def _origins(texts: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(_origin(text) for text in texts)


@frozen(kw_only=True)
class Settings:
    """How one process is set up. Times are seconds, sizes bytes.

    Attributes:
        host, port: where it listens; port 0 takes a free one.
        workers: how many processes `runcast serve` starts to serve there.
        data_dir: where everything is kept.
        database_url: a PostgreSQL database for sessions, runs and archives, instead of a SQLite file.
        redis_url: a Valkey or Redis server for the events of runs in progress, or several, separated by commas: all
            processes that name the same, and the same database, are one gateway.
        database_pool: how many connections to that database there are.
        agent: the agent of the only profile, unless there is a file of profiles.
        profiles: a TOML file of profiles.
        base_path: a prefix of every route, as `/runcast`.
        allowed_origins: foreign origins whose pages may connect (P6.4).
        allow_anonymous: listen on an address that others can reach although nobody has to authenticate (P6.1).
        auth: how callers are told: not at all, by API keys, or by JWT (P6.1).
        api_keys: `principal:sha256` entries.
        api_keys_file: a file of them, one a line, read again when it changes.
        jwt_secret: the key of HS256 tokens.
        jwt_keys_file: a JWK set, or public keys as PEM, for RS256 and ES256 tokens; read again when it changes.
        jwt_audience: what the `aud` of a token must name.
        jwt_issuer: what the `iss` of a token must be.
        secret: what tickets are signed with (P6.2); without it, a secret is made and kept in the data directory.
        metrics_token: what `/metrics` and `/operator/runs` want to be shown; without it, both are open, or closed to
            everybody where callers have to authenticate.
        token: what `runcast tail` shows to the gateway; the gateway itself has no use for it.
        max_message_bytes: the longest WebSocket frame and HTTP body that is read (P4.2).
        max_json_depth: how deep the JSON of commands and bodies may be nested (P6.6).
        commands_per_minute: how many commands a WebSocket may send in a minute (P6.6).
        max_viewers, max_principal_viewers: how many streams, sockets and long polls may be open (P6.6).
        max_runs, max_principal_runs: how many sessions may have a run in progress (P6.6).
        max_upload_bytes: the largest file that is taken in (P6.6).
        max_session_files: how many files a session may have.
        max_session_file_bytes: how large they may be together.
        retention_days: how many days after its end a run's log is trimmed, and after its last sign of life a session
            loses its files; None keeps everything (P3.6).
        send_timeout: how long a viewer may take nothing before it is cut (P3.9).
        disconnect_grace: how long a run that asked for it goes on without a viewer (P3.11).
        run_deadline: how long a run may take; 0 is no limit (P7.1).
        idle_timeout: how long its agent may say nothing; 0 is no limit (P7.1).
        max_run_events, max_run_bytes: what a run's log may hold (P6.6).
        drain_timeout: how long runs have to end after SIGTERM (P7.3).
        sqlite_sync: `normal` survives a crash of the process, `full` a loss of power too (P7.2).
        log_format: `auto` is readable on a terminal and JSON elsewhere.
        log_level: the least important lines that are logged.
    """

    host: str = "127.0.0.1"
    port: int = field(default=8000, validator=[_at_least(0), _at_most(65535)])
    workers: int = field(default=1, validator=[_at_least(1), _at_most(256)])
    data_dir: Path = Path("data")
    database_url: str | None = field(default=None, repr=False, validator=_is_postgresql)
    redis_url: str | None = field(default=None, repr=False, validator=_is_redis)
    database_pool: int = field(default=10, validator=[_at_least(2), _at_most(1000)])
    agent: str = "demo"
    profiles: Path | None = None
    base_path: str = field(default="", converter=_base_path)
    allowed_origins: tuple[str, ...] = field(factory=tuple, converter=_origins)
    allow_anonymous: bool = False
    auth: Literal["none", "keys", "jwt"] = "none"
    api_keys: tuple[str, ...] = field(factory=tuple, repr=False)
    api_keys_file: Path | None = None
    jwt_secret: str | None = field(default=None, repr=False, validator=_secret(32))
    jwt_keys_file: Path | None = None
    jwt_audience: str | None = None
    jwt_issuer: str | None = None
    secret: str | None = field(default=None, repr=False, validator=_secret(16))
    metrics_token: str | None = field(default=None, repr=False, validator=[_secret(32), _is_bearer])
    token: str | None = field(default=None, repr=False)
    max_message_bytes: int = field(default=8 * 1024 * 1024, validator=_at_least(1024))
    max_json_depth: int = field(default=32, validator=_at_least(4))
    commands_per_minute: int = field(default=120, validator=_at_least(1))
    max_viewers: int = field(default=10_000, validator=_at_least(1))
    max_principal_viewers: int = field(default=100, validator=_at_least(1))
    max_runs: int = field(default=500, validator=_at_least(1))
    max_principal_runs: int = field(default=10, validator=_at_least(1))
    max_upload_bytes: int = field(default=20 * 1024 * 1024, validator=_at_least(1024))
    max_session_files: int = field(default=100, validator=_at_least(0))
    max_session_file_bytes: int = field(default=200 * 1024 * 1024, validator=_at_least(0))
    retention_days: float | None = field(default=None, validator=optional(_at_least(0.00001)))
    send_timeout: float = field(default=20.0, validator=_at_least(0.1))
    disconnect_grace: float = field(default=30.0, validator=_at_least(0))
    run_deadline: float = field(default=1800.0, validator=_at_least(0))
    idle_timeout: float = field(default=300.0, validator=_at_least(0))
    max_run_events: int = field(default=100_000, validator=_at_least(100))
    max_run_bytes: int = field(default=32 * 1024 * 1024, validator=_at_least(1024))
    drain_timeout: float = field(default=10.0, validator=_at_least(0))
    sqlite_sync: Literal["normal", "full"] = "normal"
    log_format: Literal["auto", "json", "console"] = "auto"
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    def __attrs_post_init__(self) -> None:
        """Refuse keys that nobody is asked for: whoever set them believes that the door is locked."""
        self._check_what_is_shared()
        given = [name for name in ("api_keys", "api_keys_file", "jwt_secret", "jwt_keys_file") if getattr(self, name)]
        if self.auth == "none" and given:
            raise ValueError(f"{variable(given[0])} is set, but RUNCAST_AUTH is none: say keys or jwt")

    def _check_what_is_shared(self) -> None:
        if self.redis_url is None:
            return
        if self.database_url is None:
            raise ValueError("RUNCAST_REDIS_URL is for several processes: they need RUNCAST_DATABASE_URL as well")
        if self.secret is None:
            raise ValueError(
                "RUNCAST_REDIS_URL is for several processes: all of them need the same RUNCAST_SECRET, as made by"
                " `openssl rand -hex 32`, so that a ticket of one is good at any other"
            )

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Settings:
        """Read the variables that are set and not empty.

        Raises:
            ConfigurationError: a value cannot be read, or a variable with our prefix names no setting.
        """
        kinds = get_type_hints(cls)
        given = {name: value for name, value in environment.items() if name.startswith(PREFIX)}
        if unknown := sorted(set(given) - {variable(name) for name in kinds}):
            raise ConfigurationError(f"there is no setting {', '.join(unknown)}; .env.example lists them all")
        try:
            values = {name: _read(name, kinds[name], text) for name in kinds if (text := given.get(variable(name)))}
            return cls(**values)
        except ValueError as error:
            raise ConfigurationError(str(error)) from error


def variable(name: str) -> str:
    """The environment variable of a setting."""
    return PREFIX + name.upper()


def names() -> list[str]:
    """Every setting, in the order in which they are documented."""
    return [attribute.name for attribute in fields(Settings)]


def _read(name: str, kind: Any, text: str) -> Any:
    if kind is bool:
        return _flag(name, text)
    if kind in _NUMBERS:
        read, said = _NUMBERS[kind]
        try:
            number = read(text)
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            raise ValueError(f"{variable(name)} must be {said}, not {text!r}")
        return number
    if kind in (Path, Path | None):
        return _path(name, text)
    if kind == tuple[str, ...]:
        return tuple(part.strip() for part in text.split(",") if part.strip())
    choices = get_args(kind) if get_origin(kind) is Literal else ()
    if choices and text not in choices:
        raise ValueError(f"{variable(name)} must be one of {', '.join(choices)}, not {text!r}")
    return text


def _path(name: str, text: str) -> Path:
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise ValueError(f"{variable(name)} names the home of a user who has none: {text!r}") from None


def _flag(name: str, text: str) -> bool:
    match text.lower():
        case "1" | "true" | "yes" | "on":
            return True
        case "0" | "false" | "no" | "off":
            return False
        case _:
            raise ValueError(f"{variable(name)} must be true or false, not {text!r}")
