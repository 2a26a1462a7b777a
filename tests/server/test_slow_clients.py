"""slowhttptest, Debian's tool for it: clients that send or take hardly anything, many at once (section 5, P3.9)."""

import asyncio
import re
import shutil

import pytest

from tests.gateway import Gateway, Launch, log_of, new_session, start
from tests.loud import PIECE, PIECES
from tests.watching import all_closed, text_of, watch_sse

SLOW = shutil.which("slowhttptest")
CLIENTS = 60
_OTHERS = 6
"""Connections of those who are served, and of slowhttptest's own probes."""
LONGEST = 40
"""Seconds after which slowhttptest gives up, and with it the test."""

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(SLOW is None, reason="slowhttptest is not installed: apt-get install slowhttptest"),
]


@pytest.fixture
def gateway(launch: Launch) -> Gateway:
    return launch(command=("-m", "quick_pace"), agent="loud:agent", send_timeout="2")


async def attack(*options: str) -> asyncio.subprocess.Process:
    counts = ("-c", str(CLIENTS), "-r", str(CLIENTS), "-i", "1", "-l", str(LONGEST), "-p", "10")
    assert SLOW is not None
    return await asyncio.create_subprocess_exec(SLOW, *options, *counts, stdout=asyncio.subprocess.PIPE)


async def outcome(process: asyncio.subprocess.Process) -> str:
    said, _ = await process.communicate()
    (status,) = re.findall(r"Exit status: *(?:\x1b\[[\d;]*m)* *([\w ]+)", said.decode(errors="replace"))
    return str(status).strip()


async def is_served(gateway: Gateway) -> None:
    """Start a run of six megabytes and see it to its end."""
    async with gateway.client() as http:
        session = await new_session(http)
        async with watch_sse(gateway, f"/sessions/{session}/events") as viewer:
            await start(http, session, "be loud")
            received = await viewer.until_terminal()
        (await http.delete(f"/sessions/{session}")).raise_for_status()
    assert len(text_of(received)) == len(PIECE) * PIECES


async def is_served_until(gateway: Gateway, done: asyncio.Task[object]) -> None:
    await is_served(gateway)
    while not done.done():
        await is_served(gateway)


@pytest.mark.slow
@pytest.mark.parametrize("manner", ["headers", "body"])
async def test_who_sends_slowly_is_cut_and_everybody_else_is_served(gateway: Gateway, manner: str) -> None:
    options = ("-H", "-u", f"{gateway.url}/health/live")
    if manner == "body":
        options = ("-B", "-s", "8192", "-u", f"{gateway.url}/sessions")
    attacking = asyncio.create_task(outcome(await attack(*options)))
    await is_served_until(gateway, attacking)

    assert await attacking == "No open connections left"


@pytest.mark.slow
@pytest.mark.parametrize("door", ["/sessions/{}/events?after=0", "/sessions/{}/runs/{}/log?limit=40"])
async def test_who_reads_slowly_is_cut_and_everybody_else_is_served(gateway: Gateway, door: str) -> None:
    async with gateway.client() as http:
        session = await new_session(http)
        run = await start(http, session, "be loud")
        await log_of(http, session, run)
    idle = gateway.open_sockets
    url = gateway.url + door.format(session, run)
    process = await attack("-X", "-w", "10", "-y", "20", "-n", "1", "-z", "32", "-u", url)
    try:
        async with asyncio.timeout(LONGEST):
            while gateway.open_sockets < idle + CLIENTS // 2:  # noqa: ASYNC110 - /proc has no event to wait for
                await asyncio.sleep(0.02)
        letting_go = asyncio.create_task(all_closed(gateway, idle + _OTHERS))
        await is_served_until(gateway, letting_go)
        await letting_go
    finally:
        process.kill()
        await process.wait()
