"""What a client may ask of a connection, and what it may not: bytes on a socket, against a real server."""

import asyncio
import contextlib
import json
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import pytest

from tests.gateway import Gateway, Launch, new_session, start
from tests.raw_http import PATIENCE, body, exchange, request, upgrade
from tests.watching import all_closed

pytestmark = pytest.mark.anyio

HEAD_SECONDS = 5.0
LINE = b"GET /health/live HTTP/1.1\r\nhost: localhost\r\n"


@asynccontextmanager
async def connected(gateway: Gateway) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    address = urlsplit(gateway.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def answer_to(gateway: Gateway, message: bytes) -> bytes:
    """Everything that a server says to some bytes, up to its closing the connection."""
    async with connected(gateway) as (reader, writer), asyncio.timeout(PATIENCE):
        writer.write(message)
        try:
            return await reader.read()
        except ConnectionResetError:
            return b""


def is_refusal(answer: bytes, status: int, code: str) -> bool:
    head, _, document = answer.partition(b"\r\n\r\n")
    lines = head.decode().lower().split("\r\n")
    said = json.loads(document)
    return (
        lines[0].split()[1] == str(status) == str(said["status"])
        and "connection: close" in lines
        and "content-type: application/problem+json" in lines
        and said["code"] == code
        and bool(said["title"] and said["detail"])
    )


# heads that are too much


@pytest.mark.parametrize(
    "head",
    [
        LINE + b"x: " + b"a" * 40_000 + b"\r\n\r\n",
        LINE + b"x: " + b"a" * 33_000,
        b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\nhost: localhost\r\n\r\n",
        LINE + b"".join(b"x%d: 1\r\n" % n for n in range(101)) + b"\r\n",
        LINE + b"x:1\r\n" * 10_000,
        LINE + b"upgrade: websocket\r\nconnection: upgrade\r\nx: " + b"a" * 40_000 + b"\r\n\r\n",
    ],
    ids=["long header", "endless header", "long path", "many headers", "endless headers", "handshake"],
)
async def test_a_head_that_is_too_long_is_refused(gateway: Gateway, head: bytes) -> None:
    assert is_refusal(await answer_to(gateway, head), 431, "too_large")


async def test_a_head_of_just_the_most_bytes_is_taken_and_so_is_what_follows_it(gateway: Gateway) -> None:
    start_line = b"POST /sessions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    rest = b"connection: close\r\ncontent-length: 200000\r\nx: "
    head = start_line + rest + b"a" * (32 * 1024 - len(start_line) - len(rest) - 4) + b"\r\n\r\n"
    assert len(head) == 32 * 1024
    title = b'{"title": "%s"}' % (b"t" * 10)

    answer = await answer_to(gateway, head + title + b" " * (200_000 - len(title)))

    assert answer.startswith(b"HTTP/1.1 201")


async def test_a_refused_head_does_not_grow_the_process(gateway: Gateway) -> None:
    before = gateway.memory
    await asyncio.gather(*(answer_to(gateway, LINE + b"x: " + b"a" * 4_000_000) for _ in range(20)))

    assert gateway.memory - before < 20


# heads that take too long


async def trickle(gateway: Gateway, head: bytes, piece: bytes, *, every: float) -> float:
    """How many seconds a server bears a client that goes on sending a little."""
    began = time.monotonic()
    async with connected(gateway) as (reader, writer), asyncio.timeout(PATIENCE):
        writer.write(head)
        ended = asyncio.create_task(reader.read())
        while not ended.done():
            if piece and not writer.transport.is_closing():
                writer.write(piece)
            await asyncio.wait([ended], timeout=every)
        with contextlib.suppress(ConnectionResetError):
            assert ended.result() == b""
    return time.monotonic() - began


async def second_head(gateway: Gateway) -> float:
    async with connected(gateway) as (reader, writer), asyncio.timeout(PATIENCE):
        writer.write(LINE + b"\r\n")
        await reader.readuntil(b'{"status":"ok"}')
        began = time.monotonic()
        writer.write(LINE)
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read() == b""
    return time.monotonic() - began


@pytest.mark.slow
async def test_a_head_that_does_not_come_is_not_waited_for(gateway: Gateway) -> None:
    handshake = LINE + b"upgrade: websocket\r\nconnection: upgrade\r\n"
    took = await asyncio.gather(
        *(trickle(gateway, beginning, b"", every=1) for beginning in (b"", b"G", LINE, b"\r\n", handshake)),
        *(trickle(gateway, beginning, b"x: 1\r\n", every=0.5) for beginning in (LINE, handshake)),
        second_head(gateway),
    )

    assert all(HEAD_SECONDS - 0.5 < seconds < HEAD_SECONDS + 2 for seconds in took), took


async def test_who_keeps_to_the_time_is_served_as_often_as_it_likes(gateway: Gateway) -> None:
    async with connected(gateway) as (reader, writer), asyncio.timeout(PATIENCE):
        for _ in range(300):
            writer.write(LINE + b"\r\n")
            await reader.readuntil(b'{"status":"ok"}')


# bodies


async def test_a_body_that_hardly_moves_is_cut(launch: Launch) -> None:
    gateway = launch(command=("-m", "quick_pace"))
    head = request(gateway, "/sessions", "content-type: application/json", "content-length: 1000", method="POST")

    assert await trickle(gateway, head, b" ", every=0.1) < 5


async def test_a_body_that_moves_may_take_its_time(launch: Launch) -> None:
    gateway = launch(command=("-m", "quick_pace"))
    head = request(gateway, "/sessions", "content-type: application/json", "content-length: 1000003", method="POST")
    async with connected(gateway) as (reader, writer), asyncio.timeout(PATIENCE):
        writer.write(head + b"{}")
        for _ in range(20):
            writer.write(b" " * 50_000)
            await writer.drain()
            await asyncio.sleep(0.1)
        writer.write(b"\n")
        status = await reader.readline()

    assert status.startswith(b"HTTP/1.1 201")


@pytest.mark.slow
async def test_the_rest_of_a_body_that_is_refused_is_not_taken_for_ever(gateway: Gateway) -> None:
    head = request(gateway, "/nowhere", "transfer-encoding: chunked", method="POST")
    piece = b"2000\r\n" + b"x" * 8192 + b"\r\n"
    began = time.monotonic()
    async with connected(gateway) as (reader, writer), asyncio.timeout(PATIENCE):
        writer.write(head)
        status = await reader.readline()
        with contextlib.suppress(OSError):
            while True:
                writer.write(piece)
                await writer.drain()

    assert status.startswith(b"HTTP/1.1 404")
    assert time.monotonic() - began < 8


@pytest.mark.parametrize("trailer", [b"x: " + b"a" * 1_000_000, b"x: 1\r\n" * 100_000], ids=["long", "many"])
async def test_trailers_are_no_way_round_the_limits(gateway: Gateway, trailer: bytes) -> None:
    head = request(gateway, "/sessions", "content-type: application/json", "transfer-encoding: chunked", method="POST")
    answer = await answer_to(gateway, head + b"0\r\n" + trailer)

    assert answer[9:12] in (b"400", b"431")


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("framing", ["content-length: 5", "transfer-encoding: chunked"])
async def test_a_get_has_no_body(gateway: Gateway, method: str, framing: str) -> None:
    message = request(gateway, "/health/live", framing, method=method, body=b"hello")
    assert is_refusal(await answer_to(gateway, message), 400, "invalid_message")


async def test_a_get_may_say_that_it_has_no_body(gateway: Gateway) -> None:
    async with exchange(gateway, request(gateway, "/health/live", "content-length: 0")) as (status, _, _):
        assert status == "HTTP/1.1 200 OK"


# requests that are none


@pytest.mark.parametrize(
    "message",
    [
        b"GET /health/live HTTP/1.1\r\n\r\n",
        b"GET /health/live HTTP/1.1\r\nhost:\r\n\r\n",
        b"GET /health/live HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
        b"GET /health/live HTTP/1.1\r\nhost: a/b\r\n\r\n",
        b"GET /health/live HTTP/1.1\r\nhost: a b\r\n\r\n",
        b"GET /health/live HTTP/1.1\r\nhost: a@b\r\n\r\n",
        b"GET /health/live HTTP/1.1\r\nhost: localhost:port\r\n\r\n",
        b"GET /health/live HTTP/1.1\r\nhost: [::1\r\n\r\n",
        b"GET /h\xc3\xa4 HTTP/1.1\r\nhost: localhost\r\n\r\n",
        b"GET /h\xc3\xa4 HTTP/1.1\r\nhost: localhost\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
        b"CONNECT localhost:80 HTTP/1.1\r\nhost: localhost:80\r\n\r\n",
        b"BREW /pot HTTP/1.1\r\nhost: localhost\r\n\r\n",
        b"GET /health/live HTTP/2.0\r\nhost: localhost\r\n\r\n",
        LINE + b"x : 1\r\n\r\n",
        LINE + b"x: 1\x00\r\n\r\n",
        LINE + b" folded: 1\r\n\r\n",
        b"POST /sessions HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n{}",
        b"POST /sessions HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}",
        b"POST /sessions HTTP/1.1\r\nhost: localhost\r\ncontent-length: -1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
    ids=[
        *("no host", "empty host", "two hosts", "host with a path", "host with a space", "host with a user"),
        *("host with a wrong port", "half a host", "raw path", "raw path of a handshake", "connect", "no method"),
        *("no version", "space before a colon", "nul", "folded", "two framings", "two lengths"),
        *("negative length", "tls", "http/2"),
    ],
)
async def test_what_is_no_proper_request_is_refused(gateway: Gateway, message: bytes) -> None:
    assert is_refusal(await answer_to(gateway, message), 400, "invalid_message")


@pytest.mark.parametrize("method", ["TRACE", "PUT", "PROPFIND"])
async def test_a_method_that_no_route_has_is_refused_and_nothing_is_echoed(gateway: Gateway, method: str) -> None:
    message = request(gateway, "/health/live", "x-canary: 7d1f", method=method)
    async with exchange(gateway, message) as (status, headers, reader):
        said = await reader.readexactly(int(headers["content-length"]))

    assert status == "HTTP/1.1 405 Method Not Allowed"
    assert b"7d1f" not in said


async def test_a_post_is_no_handshake(gateway: Gateway) -> None:
    handshake = upgrade(gateway, "/ws/sessions/x").replace(b"GET", b"POST", 1)
    async with exchange(gateway, handshake) as (status, _, _):
        assert status.split()[1] in ("404", "405")


@pytest.mark.parametrize(
    "change",
    [
        (b"sec-websocket-version: 13", b"sec-websocket-version: 12"),
        (b"sec-websocket-key: ", b"sec-websocket-key: short"),
        (b"sec-websocket-key: ", b"x: "),
        (b"connection: upgrade", b"connection: upgrade\r\nsec-websocket-protocol: \xff\xfe"),
        (b"connection: upgrade", b"connection: upgrade\r\ncookie: " + b"a" * 20_000),
    ],
    ids=["version", "key", "no key", "protocol", "long line"],
)
async def test_a_handshake_that_is_wrong_is_answered_and_over(gateway: Gateway, change: tuple[bytes, bytes]) -> None:
    answer = await answer_to(gateway, upgrade(gateway, "/ws/sessions/x").replace(*change))

    assert answer[9:10] == b"4"


async def test_requests_that_queue_up_are_answered_in_turn_but_not_without_end(gateway: Gateway) -> None:
    last = LINE + b"connection: close\r\n\r\n"
    few = await answer_to(gateway, (LINE + b"\r\n") * 5 + last)
    many = await answer_to(gateway, (LINE + b"\r\n") * 2000 + last)

    assert few.count(b"HTTP/1.1 200 OK") == 6
    assert many.count(b"HTTP/1.1 200 OK") < 20


async def test_a_stream_ends_with_its_connection_whatever_waits_behind_it(gateway: Gateway) -> None:
    async with gateway.client() as http:
        session = await new_session(http)
        idle = gateway.open_sockets
        async with connected(gateway) as (reader, writer):
            writer.write(request(gateway, f"/sessions/{session}/events") + LINE + b"\r\n" + LINE + b"\r\n")
            await reader.readuntil(b"caught_up")
            run = await start(http, session, "/quiet /rate 100 /length 5000")
            await reader.readuntil(b"stream_delta")
            writer.transport.abort()
        await all_closed(gateway, idle)
        await http.post(f"/sessions/{session}/runs/{run}/cancel")


async def test_an_answer_that_nobody_takes_is_not_kept(launch: Launch) -> None:
    gateway = launch(command=("-m", "quick_pace"), agent="loud:agent")
    async with gateway.client() as http:
        session = await new_session(http)
        run = await start(http, session, "be loud")
        done = False
        while not done:
            done = (await http.get(f"/sessions/{session}/runs/{run}/log?wait=5")).json()["done"]
        idle = gateway.open_sockets
        async with connected(gateway) as (_, writer):
            writer.transport.pause_reading()  # type: ignore[attr-defined]
            writer.write(request(gateway, f"/sessions/{session}/runs/{run}/log") * 3)
            await writer.drain()
            await http.get("/health/live")
            await all_closed(gateway, idle)


# HTTP/1.0


async def test_a_client_of_http_1_0_gets_a_stream_without_chunks(gateway: Gateway) -> None:
    async with gateway.client() as http:
        session = await new_session(http)
        run = await start(http, session, "/quiet /length 5 /rate 0")
    path = f"/sessions/{session}/runs/{run}/events"
    head, _, stream = (await answer_to(gateway, f"GET {path} HTTP/1.0\r\n\r\n".encode())).partition(b"\r\n\r\n")
    async with exchange(gateway, request(gateway, path)) as (_, _, reader):
        same = await body(reader)

    assert b"transfer-encoding" not in head.lower()
    assert b"connection: close" in head
    events = stream[stream.index(b"id: ") :]
    assert b"stream_end" in events
    caught_up = re.compile(rb'data: {"type":"caught_up".*\n\n')
    assert caught_up.sub(b"", events) == caught_up.sub(b"", same[same.index(b"id: ") :])


async def test_a_client_of_http_1_0_gets_json_with_its_length(gateway: Gateway) -> None:
    head, _, document = (await answer_to(gateway, b"GET /health/live HTTP/1.0\r\n\r\n")).partition(b"\r\n\r\n")

    assert b"content-length: 15" in head
    assert document == b'{"status":"ok"}'
