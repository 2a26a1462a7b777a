"""Ten thousand random requests and frames that are wrong: nobody else notices, and nothing is the server's fault."""

import asyncio
import contextlib
import json
import re
from random import Random
from urllib.parse import urlsplit

import pytest

from tests import garbage
from tests.gateway import Gateway, Launch, every_event, new_session, start
from tests.watching import Item, all_closed, logged, rise, story, watch

pytestmark = pytest.mark.anyio

SEED = 20261125
CLIENTS, EACH = 20, 500
"""Of what a client sends, half are requests and half are frames."""
FRAMES = 10
"""The most frames of one connection, which is closed after twenty that are refused."""
NO_ANSWER, SILENCE = 0.5, 0.1
"""Seconds after which a client no longer waits: half a request has no answer, and a socket that lives does not end."""
STATUS = re.compile(rb"HTTP/1\.1 (\d{3})")


class Client:
    """Sends garbage, and remembers what it was answered."""

    def __init__(self, gateway: Gateway, session: str, seed: int) -> None:
        self._address = urlsplit(gateway.url)
        self._session = session
        self._random = Random(seed)
        self.sent = 0
        self.statuses: list[int] = []

    async def run(self) -> None:
        while self.sent < EACH // 2:
            await self._request()
        while self.sent < EACH:
            await self._frames(min(self._random.randint(1, FRAMES), EACH - self.sent))

    async def _request(self) -> None:
        message = garbage.request(self._random, self._address.netloc)
        if self._random.random() < 0.3:
            message = garbage.spoiled(self._random, message)
        self.sent += 1
        await self._exchange(message, [])

    async def _frames(self, count: int) -> None:
        frames = [garbage.frame(self._random) for _ in range(count)]
        self.sent += count
        await self._exchange(garbage.handshake(self._random, self._address.netloc, self._session), frames)

    async def _exchange(self, first: bytes, more: list[bytes]) -> None:
        reader, writer = await asyncio.open_connection(self._address.hostname, self._address.port)
        answer = b""
        with contextlib.suppress(OSError, TimeoutError):
            writer.write(first)
            async with asyncio.timeout(NO_ANSWER):
                answer = await reader.read(65536)
            writer.writelines(more)
            async with asyncio.timeout(SILENCE):
                answer += await reader.read()
        writer.transport.abort()
        self.statuses += [int(found) for found in STATUS.findall(answer)]


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_garbage_is_refused_and_costs_nobody_an_event(launch: Launch) -> None:
    gateway = launch()
    async with gateway.client() as http:
        watched, other = await new_session(http), await new_session(http)
        idle, memory = gateway.open_sockets, gateway.memory
        run = await start(http, watched, "/quiet /length 5000 /rate 100")
        clients = [Client(gateway, other, SEED + number) for number in range(CLIENTS)]
        async with watch(gateway, "ws", watched) as by_socket, watch(gateway, "sse", watched) as by_events:
            sent = asyncio.gather(*(client.run() for client in clients))
            ends = asyncio.gather(by_socket.until_terminal(), by_events.until_terminal())
            await sent
            await http.post(f"/sessions/{watched}/runs/{run}/cancel")
            received = await ends
        log = [Item.of(raw) for raw in await every_event(http, watched, run)]
        assert (await http.get("/health/ready")).json() == {"status": "ok"}
        await all_closed(gateway, idle + 1)
        numbers = (await http.get("/metrics")).text
    refused = re.findall(r'rejected_total\{code="(?:invalid|unknown)_\w+",door="websocket"\} ([\d.]+)', numbers)
    grown = gateway.memory - memory
    gateway.stop()

    assert len(log) > 100  # it went on all the while
    for items in received:
        assert rise(items)
        assert story(logged(items)) == story(log)
    answered = [status for client in clients for status in client.statuses]
    lines = [json.loads(line) for line in gateway.stderr.splitlines()]
    assert sum(client.sent for client in clients) == 10_000
    assert {101, 200, 201, 400, 404, 405, 422} <= set(answered)
    assert [status for status in answered if status >= 500] == []
    assert [line for line in lines if line["event"] == "request.answered" and (line["status"] or 0) >= 500] == []
    assert sum(map(float, refused)) > 500
    assert grown < 100
