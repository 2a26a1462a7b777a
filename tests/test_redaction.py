"""What a log line must not hold, and what it must keep."""

import json

import pytest

from app.redaction import Redaction
from app.transports.auth.tickets import Tickets
from tests.callers import ADA, token

PLAIN = Redaction({})
TICKET = Tickets(b"secret").issue("ada", "ses_1")


@pytest.mark.parametrize(
    "name", ["OPENAI_API_KEY", "AWS_SECRET_ACCESS_KEY", "RUNCAST_JWT_SECRET", "GH_TOKEN", "PGPASSWORD", "db_password"]
)
def test_the_value_of_a_variable_that_is_named_as_a_secret_is(name: str):
    assert Redaction({name: "s3cr3t value"})("401: wrong key s3cr3t value!") == "401: wrong key [redacted]!"


@pytest.mark.parametrize("environment", [{"PATH": "/usr/bin:/bin"}, {"MY_KEY": "short"}, {"KEYBOARD": "qwertyuiop"}])
def test_other_values_stay(environment: dict[str, str]):
    [value] = environment.values()
    assert Redaction(environment)(f"it says {value}.") == f"it says {value}."


def test_a_secret_is_known_as_it_stands_in_json_too():
    secret = 'p"w\\d é\nx'
    assert secret not in Redaction({"A_PASSWORD": secret})(json.dumps({"error": f"no {secret}!"}))
    assert Redaction({"A_PASSWORD": secret})(json.dumps({"error": f"no {secret}!"})) == '{"error": "no [redacted]!"}'


def test_of_two_secrets_that_begin_alike_nothing_is_left():
    assert Redaction({"A_KEY": "abcdefgh", "B_KEY": "abcdefghijkl"})("abcdefghijkl abcdefgh") == "[redacted] [redacted]"


@pytest.mark.parametrize(
    ("line", "left"),
    [
        (f"authorization: Bearer {ADA.key}", "authorization: Bearer [redacted]"),
        ("{'authorization': 'bearer abc-def-ghi'}", "{'authorization': 'bearer [redacted]'}"),
        (f"protocols: runcast.v1, bearer.{ADA.key}", "protocols: runcast.v1, bearer.[redacted]"),
        (f"GET /ws/sessions/s?after=1-2&ticket={TICKET}&x=y", "GET /ws/sessions/s?after=1-2&ticket=[redacted]&x=y"),
        (f"the token {token()} has expired", "the token [redacted] has expired"),
        (f"({TICKET})", "([redacted])"),
        (f"no such key: {ADA.key}.", "no such key: [redacted]."),
        ("Incorrect API key provided: sk-proj-abcdefghijklmnop123.", "Incorrect API key provided: [redacted]."),
        ("postgresql://ada:pass@db.example/x", "postgresql://ada:[redacted]@db.example/x"),
    ],
    ids=range(9),
)
def test_what_looks_like_a_credential_goes(line: str, left: str):
    assert PLAIN(line) == left


@pytest.mark.parametrize(
    "line",
    [
        '{"path": "/sessions/ses_0123456789abcdef0123456789abcdef/runs/run_0123456789abcdef0123456789abcdef/log"}',
        "http://127.0.0.1:8000/metrics answered, mail ada@example.org",
        "the bearer of bad news; a ticket for the concert; desk-top-publishing-is-fun",
        "loop.blocked seconds=1.5 stack=File /app/host.py, line 3",
    ],
)
def test_ordinary_lines_stay_as_they_are(line: str):
    assert PLAIN(line) == line


def test_a_known_secret_in_a_known_place_is_told_once():
    line = "401 from https://ada:canary-key@api.example with ticket=canary-key&after=1"
    assert Redaction({"API_KEY": "canary-key"})(line) == (
        "401 from https://ada:[redacted]@api.example with ticket=[redacted]&after=1"
    )
