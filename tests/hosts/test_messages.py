"""What processes say to each other comes out as it went in, and what is not understood is nothing."""

import pytest

from app.errors import NoSuchApproval, NotReady
from app.hosts.base import Approve, Began, Begin, Cancel, Deleted, Ended, Missed, Waits
from app.hosts.messages import Answer, Envelope, decode, encode
from app.sessions.base import Waiting

SAID = [
    Approve("r", "c", approved=True, comment="ü"),
    Approve("r", "c", approved=False),
    Begin("s", "r"),
    Cancel("r", "because"),
    Began(3, "r"),
    Deleted(("r1", "r2")),
    Ended(),
    Missed(),
    Waits((Waiting("r", 2, 1), Waiting("q", 3, 2))),
]


@pytest.mark.parametrize("what", SAID, ids=repr)
@pytest.mark.parametrize("number", [None, 7])
def test_an_order_or_news_comes_out_as_it_went_in(what, number):
    assert decode(encode(Envelope("host", what, number))) == Envelope("host", what, number)


@pytest.mark.parametrize(
    ("refusal", "kind"), [(None, type(None)), (NoSuchApproval("why"), NoSuchApproval), (NotReady("why"), NotReady)]
)
def test_an_answer_says_why_an_order_was_refused(refusal, kind):
    answer = decode(encode(Answer.of(7, refusal)))
    assert isinstance(answer, Answer)
    assert (answer.number, type(answer.refusal), str(answer.refusal or "")) == (7, kind, "why" if refusal else "")


def test_a_refusal_of_a_later_version_is_one_that_may_be_repeated():
    assert type(Answer(1, "new_code", "why").refusal) is NotReady


@pytest.mark.parametrize(
    "text", [b"", b"{", b"[]", b"7", b'["New","h",1,{}]', b'["Cancel","h",1,{}]', b'["Cancel","h"]', b'["Answer",{}]']
)
def test_what_a_later_version_says_is_passed_over(text):
    assert decode(text) is None


def test_what_is_new_in_a_message_is_passed_over():
    assert decode(b'["Cancel","h",1,{"run_id":"r","reason":"x","new":1}]') == Envelope("h", Cancel("r", "x"), 1)
