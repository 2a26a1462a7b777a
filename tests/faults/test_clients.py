"""Many clients at once, and clients that do what no client should."""

import asyncio
import contextlib
import json
import random
import signal
import socket

import pytest
from websockets.exceptions import ConnectionClosed

from tests import faulty
from tests.gateway import Gateway, Launch, every_event, new_session, start
from tests.raw_http import body, dial, exchange, request, upgrade
from tests.watching import (
    PATIENCE,
    Item,
    all_closed,
    logged,
    position,
    rise,
    story,
    text_of,
    watch,
    watch_sse,
    watch_ws,
)

pytestmark = pytest.mark.anyio

TOLD = 2.0
"""Seconds within which every viewer knows that the server goes (P7.3)."""


class Left:
    """A viewer that stays until it is sent away: what it saw, and when it knew."""

    def __init__(self, gateway: Gateway, transport: str, session: str) -> None:
        self.seen: list[Item] = []
        self.at = 0.0
        self.streaming = asyncio.Event()
        self._watch = watch(gateway, transport, session)

    async def stay(self) -> None:
        with contextlib.suppress(ConnectionClosed, StopAsyncIteration):
            async with self._watch as viewer:
                while True:
                    self.seen.append(await viewer.next())
                    if self.seen[-1].type == "stream_delta":
                        self.streaming.set()
        self.at = asyncio.get_running_loop().time()


async def test_many_viewers_are_told_at_once_and_each_resumes_exactly(launch: Launch) -> None:
    """Row 2: SIGTERM with many streams."""
    gateway = launch(agent="faulty:agent", drain_timeout="0.5")
    async with gateway.client() as http:
        session = await new_session(http)
        run = await start(http, session, "tick 3000")
    viewers = [Left(gateway, "ws" if number % 3 == 0 else "sse", session) for number in range(30)]
    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
        for viewer in viewers:
            group.create_task(viewer.stay())
        for viewer in viewers:
            await viewer.streaming.wait()
        began = asyncio.get_running_loop().time()
        gateway.signal(signal.SIGTERM)
    await asyncio.to_thread(gateway.wait)
    assert gateway.complaints == []
    assert max(viewer.at for viewer in viewers) - began < TOLD

    gateway.start()
    async with gateway.client() as http:
        log = [Item.of(raw) for raw in await every_event(http, session, run)]
    for number, viewer in enumerate(viewers):
        last = logged(viewer.seen)[-1].id
        async with watch(gateway, "sse" if number % 3 == 0 else "ws", session, last) as again:
            rest = await again.until_type("caught_up")
        assert rise(logged(viewer.seen) + rest)
        assert story(viewer.seen + rest) == story(log)


async def test_a_crowd_that_reconnects_at_once_gets_exactly_the_rest(launch: Launch) -> None:
    """Row 20: many reconnect at once, here 200."""
    gateway = launch(agent="faulty:agent")
    async with gateway.client() as http:
        session = await new_session(http)
        run = await start(http, session, "count 5000")
        log = [Item.of(raw) for raw in await every_event(http, session, run)]
    texts = {item.id: text_of(log[: at + 1]) for at, item in enumerate(log) if at % 100 == 0}

    async def come_back(transport: str, after: str) -> None:
        if transport == "ws":
            async with watch_ws(gateway, session, after) as viewer:
                rest = await viewer.until_type("caught_up")
        else:
            path = f"/sessions/{session}/runs/{run}/events?after={after}"
            async with exchange(gateway, request(gateway, path)) as (_, _, reader):
                lines = (await body(reader)).decode().split("\n")
            rest = [Item.of(line[6:]) for line in lines if line.startswith("data: ")]
        got = logged(rest)
        assert rise(got)
        assert position(str(got[0].id)) > position(after)
        assert texts[after] + text_of(got) == got[-1].message["content"] == log[-1].message["content"]

    chance = random.Random(20)
    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(
            *(come_back("ws" if n % 2 else "sse", str(chance.choice(list(texts)))) for n in range(200))
        )


async def test_of_messages_on_one_session_at_once_one_starts_and_the_others_are_refused(launch: Launch) -> None:
    """Row 29: two messages on one session, here ten."""
    gateway = launch(agent="faulty:agent", drain_timeout="0")
    async with gateway.client() as http:
        session = await new_session(http)

        async def ask(number: int) -> str:
            async with watch_ws(gateway, session) as viewer:
                assert viewer.socket is not None
                command = {"type": "message", "content": "tick 1000", "request_id": str(number)}
                await viewer.socket.send(json.dumps(command))
                answers = await viewer.until(lambda item: item.message.get("request_id") == str(number))
                return str(answers[-1].message.get("code", "started"))

        said = await asyncio.gather(*(ask(number) for number in range(10)))
        runs = (await http.get(f"/sessions/{session}/runs")).json()["items"]

    assert sorted(said) == ["run_active"] * 9 + ["started"]
    assert len(runs) == 1


def garbage(gateway: Gateway, session: str, chance: random.Random) -> list[bytes]:
    """What no client should send: before HTTP, within it, and within a WebSocket."""
    noise = chance.randbytes(chance.randint(1, 5000))
    socket_ = upgrade(gateway, f"/ws/sessions/{session}")
    return [
        noise,
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + noise,  # a TLS greeting
        request(gateway, f"/sessions/{session}/events")[:-2] + noise,
        request(gateway, f"/sessions/{session}/runs", f"content-length: {len(noise)}", method="POST", body=noise),
        request(gateway, f"/sessions/{session}/runs", "transfer-encoding: chunked", method="POST", body=noise),
        socket_ + noise,
        socket_ + b"\x81\xff" + b"\xff" * 8 + noise,  # a frame as long as can be said
        socket_ + b"\x8f\x80\0\0\0\0" + noise,  # no such kind of frame
    ]


def spoken_to(gateway: Gateway, message: bytes) -> bytes:
    """Send it, say no more, and hear what comes back until the server has had enough."""
    with dial(gateway) as connection:
        try:
            connection.sendall(message)
            connection.shutdown(socket.SHUT_WR)
            return connection.makefile("rb").read()
        except OSError:
            return b""


async def test_whoever_talks_garbage_harms_nobody_else(launch: Launch) -> None:
    """Row 34: the client sends garbage."""
    gateway = launch(agent="faulty:agent", drain_timeout="0")
    chance = random.Random(34)
    async with gateway.client() as http:
        session = await new_session(http)
    idle = gateway.open_sockets
    async with watch_ws(gateway, session) as one, watch_sse(gateway, f"/sessions/{session}/events") as other:
        async with gateway.client() as http:
            await start(http, session, "tick 300")
        messages = [message for _ in range(10) for message in garbage(gateway, session, chance)]
        answers = await asyncio.gather(*(asyncio.to_thread(spoken_to, gateway, message) for message in messages))
        by_socket, by_events = await asyncio.gather(one.until_terminal(), other.until_terminal())
    await all_closed(gateway, idle)

    assert {answer[9:10] for answer in answers} <= {b"", b"1", b"2", b"4"}
    assert text_of(by_socket) == text_of(by_events) == "".join(map(faulty.NUMBER.format, range(300)))
