"""Who may call from a browser (P6.4)."""

import pytest

from app.errors import ForbiddenOrigin
from app.transports.origins import Origins, cors

ORIGINS = Origins(("https://app.example", "http://localhost:3000"))


def scope(**headers: str) -> dict[str, object]:
    return {"type": "http", "headers": [(name.encode(), value.encode()) for name, value in headers.items()]}


def test_a_request_without_an_origin_is_no_pages():
    ORIGINS.check(scope(host="runcast.example"))
    ORIGINS.check(scope())


@pytest.mark.parametrize("origin", ["https://app.example", "HTTPS://App.Example", "http://localhost:3000"])
def test_a_listed_origin_passes(origin):
    ORIGINS.check(scope(host="runcast.example", origin=origin))


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://runcast.example", "runcast.example"),
        ("https://runcast.example", "runcast.example"),
        ("https://runcast.example", "RunCast.example:443"),
        ("http://runcast.example", "runcast.example:80"),
        ("http://runcast.example:80", "runcast.example"),
        ("http://127.0.0.1:8000", "127.0.0.1:8000"),
        ("http://[::1]:8000", "[::1]:8000"),
        ("http://[::1]", "[::1]"),
    ],
)
def test_the_servers_own_origin_passes(origin, host):
    ORIGINS.check(scope(host=host, origin=origin))


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("https://evil.example", "runcast.example"),
        ("https://app.example.evil.example", "runcast.example"),
        ("https://app.example:444", "runcast.example"),
        ("http://app.example", "runcast.example"),
        ("http://runcast.example:8080", "runcast.example"),
        ("http://runcast.example", "runcast.example:8080"),
        ("http://runcast.example", "runcast.example:443"),
        ("http://runcast.example.evil.example", "runcast.example"),
        ("http://localhost:3001", "runcast.example"),
        ("null", "runcast.example"),
        ("null", "null"),
        ("", ""),
        ("http://", ""),
        ("file://", ""),
        ("runcast.example", "runcast.example"),
        ("ftp://runcast.example", "runcast.example"),
        ("https://runcast.example@evil.example", "runcast.example"),
    ],
)
def test_every_other_origin_is_forbidden(origin, host):
    with pytest.raises(ForbiddenOrigin):
        ORIGINS.check(scope(host=host, origin=origin))


def test_without_a_host_no_origin_is_the_servers_own():
    with pytest.raises(ForbiddenOrigin):
        ORIGINS.check(scope(origin="http://runcast.example"))


LOCAL = Origins(("https://app.example", "http://10.0.0.5:3000"), only_local=True)


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "localhost:8000",
        "LocalHost:8000",
        "a.localhost",
        "127.0.0.1",
        "127.8.9.10:80",
        "[::1]:8000",
        "[::1]",
        "app.example",
        "App.Example",
        "10.0.0.5:3000",
    ],
)
def test_where_nobody_authenticates_local_and_listed_names_are_answered(host):
    LOCAL.check_host(scope(host=host))
    LOCAL.check(scope(host=host))


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8000",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "10.0.0.5",
        "0.0.0.0:8000",
        "evillocalhost",
        "127.0.0.1:8000@evil.example",
        "localhost:x",
        "[::1].evil.example",
        "app.example:8000",
    ],
)
def test_where_nobody_authenticates_no_other_name_is_answered(host):
    with pytest.raises(ForbiddenOrigin):
        LOCAL.check_host(scope(host=host))
    with pytest.raises(ForbiddenOrigin):
        LOCAL.check(scope(host=host, origin=f"http://{host}"))


def test_a_request_that_names_no_server_is_no_browsers():
    LOCAL.check_host(scope())


def test_where_callers_authenticate_the_servers_names_are_its_operators_business():
    ORIGINS.check_host(scope(host="runcast.example"))


def test_cors_answers_name_the_allowed_origins_and_nobody_else():
    assert cors(()) is None
    config = cors(("https://app.example",))
    assert config is not None
    assert config.allow_origins == ["https://app.example"]
    assert not config.allow_credentials
