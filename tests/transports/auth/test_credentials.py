"""What a caller shows, and where (P6.2)."""

from typing import Any

import pytest

from app.errors import Unauthenticated
from app.transports.auth.credentials import answer_to, bearer_of, ticket_of


def scope(*headers: tuple[str, str], offered: tuple[str, ...] = (), query: str = "") -> Any:
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    return {"type": "websocket", "headers": raw, "subprotocols": list(offered), "query_string": query.encode("latin-1")}


@pytest.mark.parametrize("header", ["Bearer abc", "bearer abc", "BEARER  abc", "Bearer abc "])
def test_the_header_shows_a_token(header: str):
    assert bearer_of(scope(("authorization", header))) == "abc"


def test_a_subprotocol_shows_a_token():
    assert bearer_of(scope(offered=("runcast.v1", "bearer.a.b-c_d"))) == "a.b-c_d"


@pytest.mark.parametrize("headers", [(), (("authorization", "Basic YTpi"),), (("authorization", ""),)])
def test_without_a_bearer_token_none_is_shown(headers: Any):
    assert bearer_of(scope(*headers, offered=("runcast.v1",))) is None


@pytest.mark.parametrize(
    "header", ["Bearer", "Bearer ", "Bearer a b", "Bearer a,b", "Bearer a\tb", "Bearer é", "Bearer " + "x" * 8193]
)
def test_a_malformed_token_is_refused(header: str):
    with pytest.raises(Unauthenticated, match="malformed"):
        bearer_of(scope(("authorization", header)))


def test_two_different_tokens_are_refused_and_one_shown_twice_is_not():
    with pytest.raises(Unauthenticated, match="more than one"):
        bearer_of(scope(("authorization", "Bearer a"), ("authorization", "Bearer b")))
    with pytest.raises(Unauthenticated, match="more than one"):
        bearer_of(scope(("authorization", "Bearer a"), offered=("bearer.b",)))
    assert bearer_of(scope(("authorization", "Bearer a"), offered=("bearer.a",))) == "a"


@pytest.mark.parametrize("query", ["ticket=a.b.c", "after=1-2&ticket=a.b.c", "ticket=a.b.c&after=1-2&"])
def test_the_query_shows_a_ticket(query: str):
    assert ticket_of(scope(query=query)) == "a.b.c"


@pytest.mark.parametrize("query", ["", "after=1-2", "tickets=a", "xticket=a", "Ticket=a"])
def test_without_a_ticket_none_is_shown(query: str):
    assert ticket_of(scope(query=query)) is None


@pytest.mark.parametrize(
    "query", ["ticket=", "ticket=a&ticket=a", "ticket=a%20b", "ticket=\xe9", "ticket=" + "x" * 8193]
)
def test_a_malformed_ticket_is_refused(query: str):
    with pytest.raises(Unauthenticated, match="malformed"):
        ticket_of(scope(query=query))


@pytest.mark.parametrize(
    ("offered", "answer"),
    [
        ((), None),
        (("bearer.a",), None),
        (("runcast.v1",), "runcast.v1"),
        (("runcast.v1", "bearer.a"), "runcast.v1"),
        (("bearer.a", "other", "runcast.v1"), "runcast.v1"),
        (("runcast.v2", "RUNCAST.V1"), None),
    ],
)
def test_the_answer_is_our_subprotocol_where_it_was_offered_and_never_a_token(
    offered: tuple[str, ...], answer: str | None
):
    assert answer_to(scope(offered=offered)) == answer
