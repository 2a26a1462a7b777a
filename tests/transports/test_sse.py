"""Server-sent events as they are on the wire (P2.1, P3.4, P3.8)."""

import json
import re

import pytest

from tests.gateway import Gateway, Launch, log_of, new_session, start
from tests.raw_http import body, chunk, exchange, request
from tests.watching import Item, logged, story, watch_sse

pytestmark = pytest.mark.anyio

OPENING = re.compile(rb": connected\nretry: (\d+)\n\n")
FRAMES = re.compile(rb"(?:(?:id: \d+-\d+\n)?data: \{[^\n]*\}\n\n)+")
SMALL = "/length 12 /rate 0 line one \u2028 and more"


async def finished(gateway: Gateway, content: str) -> tuple[str, str, list[Item]]:
    async with gateway.client() as http:
        session = await new_session(http)
        run = await start(http, session, content)
        return session, run, [Item.of(raw) for raw in await log_of(http, session, run)]


@pytest.mark.parametrize("of_run", [True, False])
async def test_the_response_has_the_headers_of_a_stream_and_is_never_compressed(gateway: Gateway, of_run: bool) -> None:
    session, run, _ = await finished(gateway, SMALL)
    path = f"/sessions/{session}/runs/{run}/events" if of_run else f"/sessions/{session}/events"
    accepting = ("accept-encoding: gzip, br, zstd", "accept: text/event-stream")
    async with exchange(gateway, request(gateway, path, *accepting)) as (status, headers, reader):
        opening = await chunk(reader)

    assert status == "HTTP/1.1 200 OK"
    assert "content-encoding" not in headers
    assert (
        headers.items()
        >= {
            "content-type": "text/event-stream",
            "cache-control": "no-cache, no-transform",
            "x-accel-buffering": "no",
            "transfer-encoding": "chunked",
        }.items()
    )
    assert OPENING.fullmatch(opening)


async def test_the_body_is_unnamed_events_of_one_data_line_with_lf_line_ends(gateway: Gateway) -> None:
    session, run, log = await finished(gateway, SMALL)
    async with exchange(gateway, request(gateway, f"/sessions/{session}/runs/{run}/events")) as (_, _, reader):
        whole = await body(reader)

    opening = OPENING.match(whole)
    assert opening
    assert FRAMES.fullmatch(whole, opening.end())
    assert b"\r" not in whole
    frames = [frame.split(b"\n") for frame in whole[opening.end() :].removesuffix(b"\n\n").split(b"\n\n")]
    for *ids, data in frames:
        message = json.loads(data.removeprefix(b"data: "))
        assert [line.decode() for line in ids] == ([f"id: {message['id']}"] if "id" in message else [])
    assert story([Item.of(frame[-1].removeprefix(b"data: ").decode()) for frame in frames]) == story(log)


async def test_retry_is_random_between_500_and_1500_ms(gateway: Gateway) -> None:
    session, _, _ = await finished(gateway, SMALL)
    seen = set()
    for _ in range(12):
        async with exchange(gateway, request(gateway, f"/sessions/{session}/events")) as (_, _, reader):
            opening = OPENING.fullmatch(await chunk(reader))
            assert opening
            seen.add(int(opening[1]))

    assert min(seen) >= 500
    assert max(seen) <= 1500
    assert len(seen) > 3


@pytest.mark.parametrize("of_run", [True, False])
async def test_last_event_id_wins_over_after(gateway: Gateway, of_run: bool) -> None:
    session, run, log = await finished(gateway, SMALL)
    path = f"/sessions/{session}/runs/{run}/events" if of_run else f"/sessions/{session}/events"
    async with watch_sse(gateway, path, "1-1", headers={"last-event-id": str(log[-2].id)}) as viewer:
        received = await viewer.until_type("caught_up")
    async with gateway.client() as http:
        refused = await http.get(path, params={"after": "1-1"}, headers={"last-event-id": "nonsense"})

    assert logged(received) == log[-1:]
    assert (refused.status_code, refused.json()["code"]) == (400, "bad_position")


async def test_silence_is_broken_by_a_comment_and_a_busy_stream_has_none(launch: Launch) -> None:
    gateway = launch(command=("-m", "fast_heartbeat"))
    async with gateway.client() as http:
        session = await new_session(http)
        async with exchange(gateway, request(gateway, f"/sessions/{session}/events")) as (_, _, reader):
            idle = [await chunk(reader) for _ in range(3)]
            await start(http, session, "/quiet /length 120 /rate 100")
            busy = [await chunk(reader)]
            while b'"stream_end"' not in busy[-1]:
                busy.append(await chunk(reader))
            after = await chunk(reader)

    assert idle[2] == b": ping\n\n"
    assert b": ping\n\n" not in busy[2:]
    assert after == b": ping\n\n"


@pytest.mark.parametrize(
    "framing",
    [
        (b"hello", "content-length: 5"),
        (b"1\r\nx\r\n" * 3000 + b"0\r\n\r\n", "transfer-encoding: chunked"),
    ],
    ids=["whole", "in 3000 chunks"],
)
async def test_a_body_on_a_stream_request_is_refused(gateway: Gateway, framing: tuple[bytes, str]) -> None:
    session, run, _ = await finished(gateway, SMALL)
    sent, header = framing
    message = request(gateway, f"/sessions/{session}/runs/{run}/events", header, body=sent)
    async with exchange(gateway, message) as (status, headers, reader):
        problem = json.loads(await reader.readexactly(int(headers["content-length"])))

    assert status.startswith("HTTP/1.1 400 ")
    assert problem["status"] == 400


@pytest.mark.parametrize("path", ["/sessions/ses_of_nobody/events", "/sessions/ses_of_nobody/runs/run_x/events"])
async def test_a_stream_of_nothing_is_a_problem_and_no_stream(gateway: Gateway, path: str) -> None:
    async with gateway.client() as http:
        answer = await http.get(path, headers={"accept": "text/event-stream"})

    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == "session_not_found"
