"""What a peer may send over a WebSocket, and what it may not: frames as bytes, against a real server."""

import asyncio
import contextlib
import json
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
from uvicorn import Config
from uvicorn.server import ServerState
from websockets.asyncio.client import connect

from app.server.websocket_protocol import WebSocketProtocol
from tests.gateway import Gateway, Launch, new_session, start
from tests.raw_http import PATIENCE, exchange, request, upgrade
from tests.watching import all_closed, watch_ws

pytestmark = pytest.mark.anyio

TEXT, CONT, PING, PONG, CLOSE = 1, 0, 9, 10, 8


def frame(opcode: int, data: bytes = b"", *, fin: bool = True) -> bytes:
    """A client's frame, masked with zeros."""
    size = len(data)
    if size < 126:
        length = bytes([0x80 | size])
    elif size < 65536:
        length = bytes([0x80 | 126]) + struct.pack("!H", size)
    else:
        length = bytes([0x80 | 127]) + struct.pack("!Q", size)
    return bytes([(0x80 if fin else 0) | opcode]) + length + b"\0\0\0\0" + data


class Raw:
    """An open WebSocket of which the bytes are known."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def next(self) -> tuple[int, bytes]:
        """The next frame: its opcode and its data."""
        first, size = await self.reader.readexactly(2)
        if size == 126:
            (size,) = struct.unpack("!H", await self.reader.readexactly(2))
        elif size == 127:
            (size,) = struct.unpack("!Q", await self.reader.readexactly(8))
        return first & 0x0F, await self.reader.readexactly(size)

    async def until(self, opcode: int) -> bytes:
        while (got := await self.next())[0] != opcode:
            pass
        return got[1]

    async def close_code(self) -> int:
        return int.from_bytes((await self.until(CLOSE))[:2], "big")

    async def pushing(self, data: bytes) -> None:
        """Write until the other side no longer takes it."""
        with contextlib.suppress(OSError):
            while not self.writer.transport.is_closing():
                self.writer.write(data)
                await self.writer.drain()


@asynccontextmanager
async def raw(gateway: Gateway, session: str) -> AsyncIterator[Raw]:
    address = urlsplit(gateway.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    try:
        async with asyncio.timeout(PATIENCE):
            writer.write(upgrade(gateway, f"/ws/sessions/{session}"))
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101")
            socket = Raw(reader, writer)
            assert b"caught_up" in await socket.until(TEXT)
            yield socket
    finally:
        writer.transport.abort()


@pytest.fixture
async def session(gateway: Gateway, anyio_backend: str) -> str:
    async with gateway.client() as http:
        return await new_session(http)


async def test_pings_are_answered_with_their_own_words(gateway: Gateway, session: str) -> None:
    async with raw(gateway, session) as socket:
        socket.writer.write(b"".join(frame(PING, b"%d" % n) for n in range(100)))
        answers = [await socket.next() for _ in range(100)]

    assert answers == [(PONG, b"%d" % n) for n in range(100)]


@pytest.mark.parametrize("opcode", [PING, PONG, CONT, TEXT], ids=["pings", "pongs", "fragments", "texts"])
async def test_a_flood_of_small_frames_is_cut(gateway: Gateway, session: str, opcode: int) -> None:
    flood = frame(TEXT, b"[", fin=False) if opcode == CONT else b""
    flood += frame(opcode, b"", fin=opcode != CONT) * 20_000
    async with raw(gateway, session) as socket:
        socket.writer.write(flood)
        code = await socket.close_code()

    assert code == 4429


async def test_a_flood_of_pings_whose_answers_nobody_takes_does_not_grow_the_process(
    gateway: Gateway, session: str
) -> None:
    idle, before = gateway.open_sockets, gateway.memory
    most = before
    async with raw(gateway, session) as socket:
        socket.writer.transport.set_write_buffer_limits(high=0)
        socket.reader._transport.pause_reading()  # type: ignore[attr-defined]
        flood = frame(PING, b"x" * 125)
        pushing = [asyncio.create_task(socket.pushing(flood * 7))]
        while not pushing[0].done():
            most = max(most, gateway.memory)
            await asyncio.wait(pushing, timeout=0.05)
    await all_closed(gateway, idle)

    assert most - before < 10


async def test_who_pings_in_moderation_while_it_takes_nothing_gets_the_last_answer(launch: Launch) -> None:
    gateway = launch(agent="loud:agent")
    async with gateway.client() as http:
        session = await new_session(http)
        async with raw(gateway, session) as socket:
            socket.reader._transport.pause_reading()  # type: ignore[attr-defined]
            run = await start(http, session, "be loud")
            done = False
            while not done:
                done = (await http.get(f"/sessions/{session}/runs/{run}/log?wait=5")).json()["done"]
            socket.writer.write(b"".join(frame(PING, b"%d" % n) for n in range(500)))
            await http.get("/health/live")
            socket.reader._transport.resume_reading()  # type: ignore[attr-defined]
            answered = [await socket.until(PONG)]
            while answered[-1] != b"499":
                answered.append(await socket.until(PONG))

    assert len(answered) < 500


async def test_a_message_has_not_any_number_of_fragments(gateway: Gateway, session: str) -> None:
    fragment = frame(CONT, b" " * 1100, fin=False)
    async with raw(gateway, session) as socket:
        socket.writer.write(frame(TEXT, b"[", fin=False) + fragment * 4096)
        code = await socket.close_code()

    assert code == 1009


async def test_a_message_in_many_fragments_is_one_message(gateway: Gateway, session: str) -> None:
    text = json.dumps({"type": "ping", "request_id": "pieces", "x": "y" * 3_000_000}).encode()
    pieces = [text[at : at + 1000] for at in range(0, len(text), 1000)]
    frames = [frame(TEXT, pieces[0], fin=False), *(frame(CONT, piece, fin=False) for piece in pieces[1:])]
    async with raw(gateway, session) as socket:
        socket.writer.write(b"".join(frames) + frame(CONT))
        assert json.loads(await socket.until(TEXT)) == {"type": "pong"}
        assert json.loads(await socket.until(TEXT)) == {"type": "ack", "request_id": "pieces"}


@pytest.mark.parametrize("size", [9 * 1024 * 1024, 40 * 1024 * 1024])
async def test_a_message_that_is_too_large_closes_with_1009_which_the_client_can_read(
    gateway: Gateway, session: str, size: int
) -> None:
    before = gateway.memory
    async with raw(gateway, session) as socket:
        socket.writer.write(frame(TEXT, b"x" * size))
        code = await socket.close_code()

    assert code == 1009
    assert gateway.memory - before < 60


async def test_compression_is_not_agreed_to(gateway: Gateway, session: str) -> None:
    async with connect(f"{gateway.ws_url}/ws/sessions/{session}", compression="deflate") as socket:
        assert socket.response is not None
        assert "sec-websocket-extensions" not in socket.response.headers


async def test_nobody_else_waits_for_who_floods(gateway: Gateway, session: str) -> None:
    floods = [frame(PING) * 40_000, frame(TEXT, b"{}") * 40_000, frame(PONG, b"x" * 100) * 40_000]

    async def flood(data: bytes) -> None:
        async with raw(gateway, session) as socket:
            await socket.pushing(data)

    async with gateway.client() as http, watch_ws(gateway, session) as viewer:
        loop = asyncio.get_running_loop()
        flooding = [asyncio.create_task(flood(data)) for data in floods * 3]
        delays = []
        assert viewer.socket is not None
        while not all(task.done() for task in flooding):
            began = loop.time()
            (await http.get("/health/live")).raise_for_status()
            delays.append(loop.time() - began)
        for task in flooding:
            with contextlib.suppress(OSError, EOFError):
                task.result()

    assert max(delays) < 1


KEY = "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ=="


@pytest.mark.parametrize(
    ("headers", "version"),
    [
        (("sec-websocket-version: 13",), None),
        ((KEY.replace("dGhl", "dGh"), "sec-websocket-version: 13"), None),
        ((KEY, KEY, "sec-websocket-version: 13"), None),
        ((KEY, "sec-websocket-version: 12"), "13"),
        ((KEY,), "13"),
    ],
    ids=["no key", "short key", "two keys", "version 12", "no version"],
)
async def test_a_handshake_that_lacks_something_is_refused_by_a_problem(
    gateway: Gateway, headers: tuple[str, ...], version: str | None
) -> None:
    idle = gateway.open_sockets
    message = request(gateway, "/ws/sessions/x", "upgrade: websocket", "connection: upgrade", *headers)
    async with exchange(gateway, message) as (status, answered, reader), asyncio.timeout(PATIENCE):
        problem = json.loads(await reader.read())

    assert status == "HTTP/1.1 400 Bad Request"
    assert (problem["status"], problem["code"]) == (400, "invalid_message")
    assert answered["content-type"] == "application/problem+json"
    assert answered["cache-control"] == "no-store"
    assert answered["x-content-type-options"] == "nosniff"
    assert answered.get("sec-websocket-version") == version
    await all_closed(gateway, idle)


class Unread(asyncio.Transport):
    """The server's end of a connection whose peer reads nothing: what was written waits, and so does the close."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 1), "sockname": ("127.0.0.1", 2)})
        self.written = b""
        self.closing = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)

    def close(self) -> None:
        self.closing = True

    def is_closing(self) -> bool:
        return self.closing

    def abort(self) -> None:
        self.close()

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


async def test_the_end_of_the_server_finds_a_socket_that_has_closed_and_reads_no_more(gateway: Gateway) -> None:
    accepted = asyncio.Event()

    async def accept(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        accepted.set()
        await receive()

    config = Config(accept, ws_ping_interval=None)
    config.load()
    protocol = WebSocketProtocol(config, ServerState(), {})
    transport = Unread()
    protocol.connection_made(transport)
    protocol.data_received(upgrade(gateway, "/"))
    async with asyncio.timeout(PATIENCE):
        await accepted.wait()
    protocol.data_received(frame(CLOSE, (1000).to_bytes(2)))
    protocol.shutdown()

    assert transport.written.endswith(b"\x88\x02" + (1000).to_bytes(2))
    assert transport.closing
