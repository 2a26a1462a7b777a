"""SIGTERM: viewers are told, runs may end, nothing is lost, and the process goes without a word of complaint (P7.3)."""

import asyncio
import re
import signal
import time
from asyncio import IncompleteReadError

import pytest
from websockets.exceptions import ConnectionClosed

from tests.gateway import Gateway, Launch, every_event, new_session, start
from tests.raw_http import chunk, dial, exchange, request, upgrade
from tests.watching import PATIENCE, Item, logged, rise, story, watch, watch_ws

pytestmark = pytest.mark.anyio

LONG = "/quiet /length 5000 /rate 100"
TOLD = 2.0
"""Seconds within which every viewer knows (P7.3)."""
FAREWELL = re.compile(rb": draining\nretry: (\d+)\n\n")


async def read_on(reader: asyncio.StreamReader) -> tuple[bytes, bool]:
    """What a chunked body still holds, and whether it ended cleanly."""
    got = b""
    try:
        while part := await chunk(reader):
            got += part
    except (IncompleteReadError, ConnectionResetError):
        return got, False
    return got, True


async def closing(gateway: Gateway, session: str, reads: asyncio.Event | None = None) -> tuple[list[Item], int | None]:
    """Follow over a WebSocket until it is closed; `reads` is set by what comes first. What came, and the close code."""
    async with watch_ws(gateway, session) as viewer:
        assert viewer.socket is not None
        items: list[Item] = []

        def keep(item: Item) -> bool:
            items.append(item)
            if reads is not None:
                reads.set()
            return False

        with pytest.raises(ConnectionClosed):
            await viewer.until(keep)
        return items, viewer.socket.close_code


async def exited(gateway: Gateway) -> int:
    return await asyncio.to_thread(gateway.wait)


async def test_viewers_are_told_at_once_and_resume_after_the_restart(launch: Launch) -> None:
    gateway = launch(drain_timeout="0.5")
    async with gateway.client() as http:
        session = await new_session(http)
        run = await start(http, session, LONG)
    stream, run_stream = f"/sessions/{session}/events", f"/sessions/{session}/runs/{run}/events"
    async with (
        exchange(gateway, request(gateway, stream)) as (_, _, events),
        exchange(gateway, request(gateway, run_stream)) as (_, _, run_events),
        watch_ws(gateway, session) as viewer,
    ):
        reads = asyncio.Event()
        socket = asyncio.create_task(closing(gateway, session, reads))
        for reader in (events, run_events):
            while b"stream_delta" not in await chunk(reader):
                pass
        await viewer.until_type("stream_delta")
        await reads.wait()
        gateway.signal(signal.SIGTERM)
        async with asyncio.timeout(TOLD):
            (by_events, clean), (by_run, run_clean) = await asyncio.gather(read_on(events), read_on(run_events))
            by_socket, code = await socket
    await exited(gateway)

    assert code == 1012
    for farewell in (FAREWELL.search(by_events), FAREWELL.search(by_run)):
        assert farewell
        assert 500 <= int(farewell[1]) <= 1500
    assert (clean, run_clean) == (True, False)
    assert gateway.complaints == []
    gateway.start()
    await check_resumed(gateway, session, run, logged(by_socket))


async def check_resumed(gateway: Gateway, session: str, run: str, seen: list[Item]) -> None:
    async with gateway.client() as http:
        log = [Item.of(raw) for raw in await every_event(http, session, run)]
        row = (await http.get(f"/sessions/{session}/runs/{run}")).json()
    assert (log[-1].message["code"], row["status"]) == ("run_interrupted", "interrupted")
    for transport in ("ws", "sse"):
        async with watch(gateway, transport, session, seen[-1].id if seen else "0") as viewer:
            rest = await viewer.until_type("caught_up")
        assert story(seen + rest) == story(log)
        assert rise(seen + rest)


async def test_a_run_that_ends_in_time_is_complete_and_the_process_waits_no_longer(launch: Launch) -> None:
    gateway = launch(drain_timeout="15")
    async with gateway.client() as http:
        session = await new_session(http)
        run = await start(http, session, "/quiet /length 100 /rate 150")
    began = time.monotonic()
    gateway.signal(signal.SIGTERM)
    await exited(gateway)
    took = time.monotonic() - began
    gateway.start()
    async with gateway.client() as http:
        log = await every_event(http, session, run)
        row = (await http.get(f"/sessions/{session}/runs/{run}")).json()

    assert took < 6
    assert row["status"] == "completed"
    assert Item.of(log[-1]).type == "stream_end"


async def test_while_runs_end_requests_are_answered_and_nothing_new_begins(launch: Launch) -> None:
    gateway = launch(drain_timeout="20")
    async with gateway.client() as http:
        session, other = await new_session(http), await new_session(http)
        run = await start(http, session, "/approve /quiet /length 5 /rate 0")
        path = f"/sessions/{session}/runs/{run}"
        page = (await http.get(f"{path}/log", params={"wait": 20, "limit": 50})).json()
        while not (asked := [event for event in page["events"] if event["type"] == "approval_requested"]):
            page = (await http.get(f"{path}/log", params={"wait": 20, "after": page["next"]})).json()
        gateway.signal(signal.SIGTERM)
        async with asyncio.timeout(PATIENCE):
            while (ready := await http.get("/health/ready")).status_code == 200:
                pass
        for refused in (ready, await http.post(f"/sessions/{other}/runs", json={"content": "no"})):
            assert (refused.status_code, refused.json()["code"]) == (503, "draining")
            assert "retry-after" in refused.headers
        _, code = await closing(gateway, session)
        assert code == 1012
        assert (await http.get(path)).json()["status"] == "running"
        answer = await http.post(f"{path}/approvals/{asked[0]['call_id']}", json={"approved": True})
        assert answer.status_code == 202
        assert await exited(gateway) == -signal.SIGTERM
        gateway.start()
        async with gateway.client() as again:
            assert (await again.get(path)).json()["status"] == "completed"


async def test_a_second_sigterm_skips_the_wait(launch: Launch) -> None:
    gateway = launch(drain_timeout="60")
    async with gateway.client() as http:
        session = await new_session(http)
        run = await start(http, session, LONG)
    socket = asyncio.create_task(closing(gateway, session))
    async with watch_ws(gateway, session) as viewer:
        await viewer.until_type("stream_delta")
        gateway.signal(signal.SIGTERM)
        seen, code = await socket
    assert code == 1012
    gateway.signal(signal.SIGTERM)
    async with asyncio.timeout(8):
        await exited(gateway)

    assert gateway.complaints == []
    gateway.start()
    await check_resumed(gateway, session, run, logged(seen))


async def test_a_long_poll_is_answered_when_the_server_goes(launch: Launch) -> None:
    gateway = launch(drain_timeout="0")
    async with gateway.client() as http:
        session = await new_session(http)
        run = await start(http, session, "/quiet /rate 0.01")
        path = f"/sessions/{session}/runs/{run}/log"
        begun = (await http.get(path, params={"wait": 20})).json()
        async with exchange_open(gateway, f"{path}?after={begun['next']}&wait=20") as polling:
            await http.get("/health/live")
            gateway.signal(signal.SIGTERM)
            async with asyncio.timeout(TOLD):
                status = await polling
            await exited(gateway)

    assert status.split()[1] in ("200", "503")
    assert gateway.complaints == []


class exchange_open:  # noqa: N801 - reads as what it is
    """A request that is under way; its status line comes later."""

    def __init__(self, gateway: Gateway, path: str) -> None:
        self._gateway, self._path = gateway, path

    async def __aenter__(self) -> "asyncio.Task[str]":
        self._task = asyncio.create_task(self._ask())
        return self._task

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()

    async def _ask(self) -> str:
        async with exchange(self._gateway, request(self._gateway, self._path)) as (status, _, _):
            return status


@pytest.mark.parametrize("door", ["/ws/sessions/{}?after=0", "/sessions/{}/events?after=0", "/sessions/{}/runs/{}/log"])
async def test_who_takes_nothing_holds_nobody_up(launch: Launch, door: str) -> None:
    gateway = launch(agent="loud:agent", drain_timeout="0")
    async with gateway.client() as http:
        session = await new_session(http)
        run = await start(http, session, "be loud")
        await every_event(http, session, run)
    asked = (upgrade if door.startswith("/ws") else request)(gateway, door.format(session, run))
    with await asyncio.to_thread(dial, gateway, receive_buffer=4096) as stalled:
        stalled.sendall(asked)
        assert await asyncio.to_thread(stalled.recv, 12) in (b"HTTP/1.1 200", b"HTTP/1.1 101")
        async with asyncio.timeout(PATIENCE), watch_ws(gateway, session, "0") as viewer:
            await viewer.until_type("caught_up")
        began = time.monotonic()
        gateway.signal(signal.SIGTERM)
        await exited(gateway)

    assert time.monotonic() - began < 4
    assert gateway.complaints == []
