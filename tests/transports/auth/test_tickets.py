"""Tickets: signed, for one principal, one session and five minutes (P6.2)."""

import base64
import json
from pathlib import Path
from typing import Any

import jwt
import pytest

from app.errors import ConfigurationError, Unauthenticated
from app.transports.auth.jwt_tokens import JwtTokens
from app.transports.auth.tickets import LIFETIME, Tickets, kept_secret
from tests.callers import SECRET


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.25

    def __call__(self) -> float:
        return self.now


@pytest.fixture(name="clock")
def _clock() -> Clock:
    return Clock()


@pytest.fixture(name="tickets")
def _tickets(clock: Clock) -> Tickets:
    return Tickets(b"secret", clock)


def test_a_ticket_tells_its_principal_at_its_session(tickets: Tickets):
    assert tickets.principal(tickets.issue("ada", "ses_1"), "ses_1") == "ada"


@pytest.mark.parametrize("session", ["ses_2", "", "ses_1 ", "SES_1"])
def test_it_is_good_for_no_other_session(tickets: Tickets, session: str):
    with pytest.raises(Unauthenticated, match="session"):
        tickets.principal(tickets.issue("ada", "ses_1"), session)


def test_it_is_good_for_five_minutes(tickets: Tickets, clock: Clock):
    ticket = tickets.issue("ada", "ses_1")
    clock.now += LIFETIME - 1
    assert tickets.principal(ticket, "ses_1") == "ada"
    clock.now += 1
    with pytest.raises(Unauthenticated, match="expired"):
        tickets.principal(ticket, "ses_1")


def test_the_same_secret_tells_it_in_another_process_and_no_other_secret_does(tickets: Tickets, clock: Clock):
    ticket = tickets.issue("ada", "ses_1")
    assert Tickets(b"secret", clock).principal(ticket, "ses_1") == "ada"
    with pytest.raises(Unauthenticated):
        Tickets(b"Secret", clock).principal(ticket, "ses_1")


def altered(ticket: str, **claims: Any) -> str:
    head, body, signature = ticket.split(".")
    said = json.loads(base64.urlsafe_b64decode(body + "==")) | claims
    return f"{head}.{base64.urlsafe_b64encode(json.dumps(said).encode()).decode().rstrip('=')}.{signature}"


def test_nothing_of_it_can_be_changed(tickets: Tickets):
    ticket = tickets.issue("ada", "ses_1")
    head, body, signature = ticket.split(".")
    unsigned = jwt.encode({"sub": "ada", "sid": "ses_1", "exp": 9e9}, None, "none")
    forged = [
        altered(ticket, sub="eve"),
        altered(ticket, sid="ses_2"),
        altered(ticket, exp=9_999_999_999),
        f"{head}.{body}.",
        f"{head}.{body}",
        f"{head}.{body}.{signature[:-1]}",
        f".{body}.{signature}",
        unsigned,
        jwt.encode({"sub": "ada", "sid": "ses_1", "exp": 9e9}, b"secret" * 8, "HS256"),
        "",
        "..",
        "x" * 5000,
    ]
    for text in forged:
        for session in ("ses_1", "ses_2"):
            with pytest.raises(Unauthenticated):
                tickets.principal(text, session)


def test_a_ticket_is_no_token_though_both_have_the_same_secret():
    ticket = Tickets(SECRET.encode()).issue("ada", "ses_1")
    with pytest.raises(Unauthenticated):
        JwtTokens(SECRET, None).principal(ticket)


def test_a_token_is_no_ticket_though_both_have_the_same_secret(clock: Clock):
    token = jwt.encode({"sub": "ada", "sid": "ses_1", "exp": int(clock.now) + 60}, SECRET, "HS256")
    with pytest.raises(Unauthenticated):
        Tickets(SECRET.encode(), clock).principal(token, "ses_1")


def test_the_kept_secret_is_made_once_and_for_its_owner_alone(tmp_path: Path):
    path = tmp_path / "ticket-secret"
    made = kept_secret(path)
    assert len(made) == 32
    assert kept_secret(path) == made
    assert path.stat().st_mode & 0o777 == 0o600
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_a_secret_that_was_left_half_written_is_no_obstacle(tmp_path: Path):
    (tmp_path / "ticket-secret.new").write_bytes(b"half")
    assert len(kept_secret(tmp_path / "ticket-secret")) == 32


def test_a_damaged_or_unreadable_secret_is_no_start(tmp_path: Path):
    path = tmp_path / "ticket-secret"
    path.write_bytes(b"short")
    with pytest.raises(ConfigurationError, match="damaged"):
        kept_secret(path)
    with pytest.raises(ConfigurationError, match="can't be used"):
        kept_secret(tmp_path / "nowhere" / "ticket-secret")
