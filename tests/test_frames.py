"""That frames are held against the schemas: what the check finds, and that it sees what tests say and hear."""

import json
from collections.abc import Iterator

import pytest

from tests import frames
from tests.frames import Talk
from tests.gateway import Gateway, gateway, log_of, new_session
from tests.watching import watch_sse, watch_ws

__all__ = ["gateway"]

REFUSED = json.dumps({"type": "error", "code": "invalid_message", "message": "$.content: expected a string"})
DONE = json.dumps({"type": "ack", "request_id": "r"})


@pytest.fixture
def wrong() -> Iterator[list[str]]:
    """What was found wrong, which is what the test wants."""
    yield frames.wrong
    frames.wrong.clear()


def frame(**fields: object) -> str:
    return json.dumps(fields)


@pytest.mark.parametrize(
    "message",
    [
        {"type": "news"},
        {"type": "stream_delta", "delta": "no id"},
        {"type": "stream_delta", "id": "1-2", "delta": "x", "agent": None},
        {"type": "ack", "request_id": 5},
    ],
)
def test_a_message_that_no_schema_knows_is_found(wrong: list[str], message: dict[str, object]):
    Talk().received(frame(**message))
    assert len(wrong) == 1


def test_a_refusal_of_a_good_command_is_found(wrong: list[str]):
    talk = Talk()
    talk.sent(frame(type="message", content="x"))
    talk.received(REFUSED)
    assert len(wrong) == 1


@pytest.mark.parametrize(
    "sent", ["{", '{"type": "message"}', "[]", b"{}", frame(type="message", content="x", images=["?"])]
)
def test_a_refusal_of_what_may_be_refused_is_none(wrong: list[str], sent: str | bytes):
    talk = Talk()
    talk.sent(sent)
    talk.received(REFUSED)
    assert wrong == []
    talk.received(REFUSED)
    assert len(wrong) == 1


def test_a_bad_command_that_is_carried_out_is_found(wrong: list[str]):
    talk = Talk()
    talk.sent(frame(type="message", content="", request_id="r"))
    talk.received(DONE)
    assert len(wrong) == 1


@pytest.mark.anyio
async def test_what_goes_over_every_transport_is_counted(gateway: Gateway):
    before = frames.counted.copy()
    async with gateway.client() as http, watch_ws(gateway, session := await new_session(http)) as viewer:
        assert viewer.socket is not None
        await viewer.socket.send(frame(type="message", content="/quiet /length 3 /rate 0"))
        heard = await viewer.until_terminal()
        run = heard[-1].message
        runs = (await http.get(f"/sessions/{session}/runs")).json()["items"]
        async with watch_sse(gateway, f"/sessions/{session}/runs/{runs[0]['id']}/events") as again:
            told = await again.rest()
        logged = await log_of(http, session, runs[0]["id"])

    assert run["type"] == "stream_end"
    assert frames.counted - before == {
        "ClientMessage": 1,
        "ServerMessage": len(heard),
        "RunEvent": len(told) + len(logged),
    }
