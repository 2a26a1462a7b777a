"""Viewers that go away, or stop taking what they are sent: the server lets go of them, and of nobody else (P3.9)."""

import asyncio
import socket
import struct
from collections.abc import Iterator

import pytest

from tests.gateway import Gateway, Launch, log_of, new_session, start
from tests.loud import PIECE, PIECES
from tests.raw_http import dial, request, upgrade
from tests.watching import PATIENCE, all_closed, rise, text_of, watch_sse, watch_ws

pytestmark = pytest.mark.anyio

SMALL_BUFFER = 4096
TOO_SLOW = b"\x88\x15" + (4508).to_bytes(2) + b"too slow, reconnect"


@pytest.fixture(params=["ws", "sse"])
def transport(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def loud(launch: Launch) -> Gateway:
    return launch(agent="loud:agent", send_timeout="1")


@pytest.fixture
def sockets() -> Iterator[list[socket.socket]]:
    """Sockets that are closed in the end."""
    opened: list[socket.socket] = []
    yield opened
    for one in opened:
        one.close()


def opening(gateway: Gateway, transport: str, session: str) -> bytes:
    if transport == "ws":
        return upgrade(gateway, f"/ws/sessions/{session}?after=0")
    return request(gateway, f"/sessions/{session}/events?after=0")


async def attach(gateway: Gateway, transport: str, session: str, *, receive_buffer: int | None = None) -> socket.socket:
    connection = await asyncio.to_thread(dial, gateway, receive_buffer=receive_buffer)
    connection.sendall(opening(gateway, transport, session))
    return connection


async def answered(connection: socket.socket) -> None:
    """Wait for the beginning of the answer, so that the viewer is attached."""
    assert await asyncio.to_thread(connection.recv, 12) in (b"HTTP/1.1 200", b"HTTP/1.1 101")


def everything(connection: socket.socket) -> bytes:
    """What there still is to be read from a connection.

    Raises:
        ConnectionResetError: it was cut.
    """
    got = []
    while data := connection.recv(1 << 20):
        got.append(data)
    return b"".join(got)


def read_up_to(connection: socket.socket, end: bytes) -> None:
    """Read until it is `end` that was read last.

    Raises:
        ConnectionResetError: it was cut before.
    """
    got = b""
    while not got.endswith(end):
        data = connection.recv(1 << 20)
        assert data, "closed before"
        got = got[-len(end) :] + data


@pytest.mark.slow
@pytest.mark.faults
async def test_a_viewer_that_takes_nothing_is_cut_and_nobody_else_notices(
    loud: Gateway, transport: str, sockets: list[socket.socket]
) -> None:
    async with loud.client() as http:
        session = await new_session(http)
    idle = loud.open_sockets
    for _ in range(3):
        sockets.append(await attach(loud, transport, session, receive_buffer=SMALL_BUFFER))
        await answered(sockets[-1])

    async with watch_ws(loud, session) as one, watch_sse(loud, f"/sessions/{session}/events") as other:
        async with loud.client() as http:
            await start(http, session, "be loud")
        by_socket, by_events = await asyncio.gather(one.until_terminal(), other.until_terminal())
    await all_closed(loud, idle)

    for received in (by_socket, by_events):
        assert rise(received)
        assert len(text_of(received)) == len(PIECE) * PIECES == len(received[-1].message["content"])
    for stalled in sockets:
        try:
            rest = await asyncio.to_thread(everything, stalled)
        except ConnectionResetError:
            continue
        assert not rest.endswith(b"0\r\n\r\n")


@pytest.mark.slow
async def test_a_socket_that_wakes_up_three_seconds_late_is_told_that_it_was_too_slow(
    loud: Gateway, sockets: list[socket.socket]
) -> None:
    async with loud.client() as http:
        session = await new_session(http)
        stalled = await attach(loud, "ws", session, receive_buffer=16 * SMALL_BUFFER)
        sockets.append(stalled)
        await answered(stalled)
        run = await start(http, session, "be loud")
        await log_of(http, session, run)
    await asyncio.sleep(1 + 3)  # nothing tells when to wake up: the time itself is what is tried

    async with asyncio.timeout(PATIENCE):
        await asyncio.to_thread(read_up_to, stalled, TOO_SLOW)


async def test_a_socket_that_only_asks_and_never_listens_is_cut(loud: Gateway, sockets: list[socket.socket]) -> None:
    async with loud.client() as http:
        session = await new_session(http)
    idle = loud.open_sockets
    stalled = await attach(loud, "ws", session, receive_buffer=SMALL_BUFFER)
    sockets.append(stalled)
    head = b""
    while b"caught_up" not in head:
        head += await asyncio.to_thread(stalled.recv, 1024)
    command = b'{"type":"ping","request_id":"%s"}' % (b"x" * 85)
    ping = b"\x81" + bytes([0x80 | len(command)]) + b"\0\0\0\0" + command

    def ask_on() -> None:
        while True:
            stalled.sendall(ping * 1000)

    async with asyncio.timeout(30):
        with pytest.raises(OSError, match=r"reset|pipe"):
            await asyncio.to_thread(ask_on)
    await all_closed(loud, idle)


@pytest.mark.parametrize("manner", ["fin", "rst"])
@pytest.mark.parametrize("busy", [True, False], ids=["busy", "idle"])
@pytest.mark.faults
async def test_a_viewer_that_leaves_is_let_go_at_once(
    gateway: Gateway, transport: str, manner: str, busy: bool
) -> None:
    async with gateway.client() as http:
        session = await new_session(http)
        run = await start(http, session, "/quiet /length 5000 /rate 100") if busy else None
    idle = gateway.open_sockets
    for _ in range(5):
        connection = await attach(gateway, transport, session)
        await answered(connection)
        if manner == "rst":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()

    async with asyncio.timeout(2):
        await all_closed(gateway, idle)
    if run is not None:
        async with gateway.client() as http:
            assert (await http.get(f"/sessions/{session}/runs/{run}")).json()["status"] == "running"
            await http.post(f"/sessions/{session}/runs/{run}/cancel")
