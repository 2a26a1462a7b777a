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


def test_cors_answers_name_the_allowed_origins_and_nobody_else():
    assert cors(()) is None
    config = cors(("https://app.example",))
    assert config is not None
    assert config.allow_origins == ["https://app.example"]
    assert not config.allow_credentials
