"""A machine that is short of something, or wrong about the time."""

import asyncio
import contextlib
import os
import resource
import socket
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tests import faulty
from tests.gateway import Launch, new_session, start
from tests.raw_http import dial, request
from tests.watching import Item, all_closed, rise, text_of, watch, watch_sse, watch_ws

pytestmark = pytest.mark.anyio

SPARE = 5
"""File descriptors that are left."""


def answered(connection: socket.socket) -> bool:
    with contextlib.suppress(OSError):
        connection.settimeout(0.3)
        return connection.recv(12) == b"HTTP/1.1 200"
    return False


@pytest.mark.slow
async def test_without_file_descriptors_newcomers_are_refused_quietly_until_there_are_some(launch: Launch) -> None:
    """Row 32: file descriptors are exhausted."""
    gateway = launch(agent="faulty:agent", asked_for=("storage.failed",))
    async with gateway.client() as http:
        session = await new_session(http)
        async with watch_ws(gateway, session) as one, watch_sse(gateway, f"/sessions/{session}/events") as other:
            await start(http, session, "tick 400")
            await one.until_type("stream_delta")
            idle = gateway.open_sockets
            in_use = len(os.listdir(f"/proc/{gateway.pid}/fd"))  # noqa: PTH208 - which is no better in a coroutine
            _, hard = resource.prlimit(gateway.pid, resource.RLIMIT_NOFILE)
            resource.prlimit(gateway.pid, resource.RLIMIT_NOFILE, (in_use + SPARE, hard))
            lines = len(gateway.stderr.splitlines())

            def crowd() -> int:
                with contextlib.ExitStack() as stack:
                    dialled = []
                    for _ in range(20):
                        with contextlib.suppress(OSError):
                            dialled.append(stack.enter_context(dial(gateway)))
                            dialled[-1].sendall(request(gateway, f"/sessions/{session}/events"))
                    return sum(map(answered, dialled))

            let_in = await asyncio.to_thread(crowd)
            await all_closed(gateway, idle)
            said = gateway.stderr.splitlines()[lines:]
            async with watch_ws(gateway, await new_session(http)) as newcomer:
                assert (await newcomer.next()).type == "caught_up"
            by_socket, by_events = await one.until_terminal(), await other.until_terminal()

    assert 0 < let_in <= SPARE + 1
    assert len(said) < 200
    assert rise(by_socket)
    assert text_of(by_events) == by_events[-1].message["content"] == "".join(map(faulty.NUMBER.format, range(400)))


@pytest.fixture
def clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that says by how much the wall clock of the processes that are started now is wrong."""
    library = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)
    if library is None:
        pytest.skip("the wall clock can't be made to jump: libfaketime is missing")
    wrong = tmp_path / "clock"
    wrong.write_text("+0")
    monkeypatch.setenv("LD_PRELOAD", str(library))
    monkeypatch.setenv("FAKETIME_TIMESTAMP_FILE", str(wrong))
    monkeypatch.setenv("FAKETIME_NO_CACHE", "1")
    monkeypatch.setenv("DONT_FAKE_MONOTONIC", "1")
    return wrong


async def test_a_wall_clock_that_jumps_ends_nothing_and_reorders_nothing(launch: Launch, clock: Path) -> None:
    """Row 23: the wall clock jumps, forward and back."""
    gateway = launch(agent="faulty:agent", idle_timeout="10", run_deadline="60", send_timeout="10")
    started: list[Item] = []
    async with gateway.client() as http:
        session = await new_session(http)
        for transport, wrong in (("ws", "+2d"), ("sse", "-3d")):
            async with watch(gateway, transport, session) as viewer:
                await start(http, session, "tick 40")
                seen = await viewer.until(lambda item: item.message.get("delta", "").startswith("10"))
                clock.write_text(wrong)  # noqa: ASYNC240 - a few bytes
                seen += await viewer.until_terminal()
            started += [item for item in seen if item.type == "stream_start"]
            assert rise(seen)
            assert seen[-1].type == "stream_end"
            assert text_of(seen) == seen[-1].message["content"] == "".join(map(faulty.NUMBER.format, range(40)))
        assert (await http.get("/health/ready")).status_code == 200

    first, second = (datetime.fromisoformat(item.message["at"]) for item in started)
    assert second - first > timedelta(days=1)
