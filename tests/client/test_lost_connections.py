"""Connections that break in every way there is: the Python client goes on where it was, and says so."""

import asyncio
import signal
import socket

import httpx
import pytest

from app.client import Lost, Message, connect, create_session, follow, is_terminal, messages
from app.client import streams as streams_module
from tests.cable import Cable, Trouble
from tests.client.reading_along import TRANSPORTS, is_exact, some, until_terminal
from tests.gateway import Gateway, Launch, log_of, new_session, start
from tests.loud import PIECE, PIECES
from tests.scraping import scrape
from tests.watching import PATIENCE

pytestmark = pytest.mark.anyio

TICKING = "/quiet /length 200 /rate 150"
LONG = "/quiet /length 5000 /rate 100"


@pytest.fixture(params=TRANSPORTS)
def transport(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def lost() -> list[Lost]:
    """What a client said about its connections."""
    return []


async def test_a_connection_that_is_cut_again_and_again_is_taken_up_where_it_broke(
    gateway: Gateway, cable: Cable, transport: str, lost: list[Lost]
) -> None:
    session_id = await create_session(cable.url)
    async with connect(cable.url, session_id, transport=transport, on_lost=lost.append) as session:  # type: ignore[arg-type]
        run = await session.send(TICKING)
        seen = await some(session)
        while not is_terminal(seen[-1]):
            if len(seen) % 5 == 1:
                cable.cut()
            seen.append(await anext(session))
        assert session.transport == transport

    await is_exact(gateway, session_id, run, seen)
    assert len(lost) >= 2
    assert all(each.after is not None for each in lost)


async def test_a_run_is_followed_to_its_end_across_a_cut(gateway: Gateway, cable: Cable) -> None:
    async with gateway.client() as http:
        session = await new_session(http)
        run = await start(http, session, TICKING)
    seen = []
    async for message in follow(cable.url, session, run=run):
        seen.append(message)
        if len(seen) % 20 == 1:
            cable.cut()

    await is_exact(gateway, session, run, seen)


@pytest.mark.parametrize("trouble", ["refuses", "resets", "hangs", "swallows"])
async def test_where_no_websocket_gets_through_it_is_server_sent_events(
    gateway: Gateway, cable: Cable, trouble: Trouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams_module, "_OPEN_S", 0.3)
    monkeypatch.setattr(streams_module, "_SPEAK_S", 0.3)
    cable.on_websocket = trouble
    session_id = await create_session(cable.url)
    async with connect(cable.url, session_id) as session:
        run = await session.send(TICKING)
        seen = await some(session)
        cable.cut()
        seen += await until_terminal(session)
        assert session.transport == "sse"

    await is_exact(gateway, session_id, run, seen)


async def test_once_a_websocket_has_opened_it_stays_one(gateway: Gateway, cable: Cable, lost: list[Lost]) -> None:
    session_id = await create_session(cable.url)

    def mend(what: Lost) -> None:
        lost.append(what)
        if len(lost) == 2:
            cable.on_websocket = None

    async with connect(cable.url, session_id, on_lost=mend) as session:
        run = await session.send(TICKING)
        seen = await some(session)
        cable.on_websocket = "refuses"
        cable.cut()
        seen += await until_terminal(session)
        assert session.transport == "websocket"

    await is_exact(gateway, session_id, run, seen)
    assert "403" in str(lost[1].error)


async def test_a_silent_connection_is_given_up(
    gateway: Gateway, cable: Cable, transport: str, lost: list[Lost], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams_module, "SILENCE_S", 0.6)
    monkeypatch.setattr(streams_module, "_PING_S", 0.3)
    session_id = await create_session(cable.url)

    def mend(what: Lost) -> None:
        lost.append(what)
        cable.mend()

    async with connect(cable.url, session_id, transport=transport, on_lost=mend) as session:  # type: ignore[arg-type]
        async with gateway.client() as http:
            run = await start(http, session_id, TICKING)
        seen = await some(session)
        cable.go_silent()
        seen += await until_terminal(session)

    await is_exact(gateway, session_id, run, seen)
    assert lost


@pytest.mark.slow
async def test_a_server_that_is_killed_in_mid_run_is_waited_for(launch: Launch, transport: str) -> None:
    gateway = launch()
    async with Cable.plugged(lambda: gateway.url) as cable:
        session_id = await create_session(cable.url)
        async with connect(cable.url, session_id, transport=transport) as session:  # type: ignore[arg-type]
            run = await session.send(LONG)
            seen = await some(session)
            gateway.kill()
            gateway.start()
            seen += await until_terminal(session)
            again = await session.send("/quiet /length 3 /rate 0")
            more = await until_terminal(session)

    await is_exact(gateway, session_id, run, seen)
    await is_exact(gateway, session_id, again, more)
    assert isinstance(seen[-1], messages.Error)
    assert seen[-1].code == "run_interrupted"


async def test_a_server_that_drains_is_left_and_found_again_and_a_command_meanwhile_is_carried_out_once(
    launch: Launch, transport: str, lost: list[Lost]
) -> None:
    gateway = launch(drain_timeout="20")
    async with Cable.plugged(lambda: gateway.url) as cable:
        session_id, other = await create_session(cable.url), await create_session(cable.url)
        refused = asyncio.Event()

        def note(what: Lost) -> None:
            lost.append(what)
            if what.error.retry_after:
                refused.set()

        async with (
            connect(cable.url, session_id, transport=transport, on_lost=note) as session,  # type: ignore[arg-type]
            connect(cable.url, other, transport=transport, on_lost=note) as idle,  # type: ignore[arg-type]
        ):
            run = await session.send("/approve /quiet /length 5 /rate 0")
            seen = await some(session, "approval_requested")
            gateway.signal(signal.SIGTERM)
            async with gateway.client() as http, asyncio.timeout(PATIENCE):
                while (await http.get("/health/ready")).status_code == 200:
                    pass
            sending = asyncio.create_task(idle.send("/quiet /length 3 /rate 0"))
            async with asyncio.timeout(PATIENCE):
                await refused.wait()
            gateway.signal(signal.SIGTERM)
            await asyncio.to_thread(gateway.wait)
            gateway.start()
            seen += await until_terminal(session)
            await is_exact(gateway, other, await sending, await until_terminal(idle))
        async with gateway.client() as http:
            runs = (await http.get(f"/sessions/{other}/runs")).json()["items"]

    await is_exact(gateway, session_id, run, seen)
    assert len(runs) == 1


async def test_an_answer_that_is_lost_is_asked_for_again_and_starts_nothing_twice(
    gateway: Gateway, cable: Cable, lost: list[Lost]
) -> None:
    session_id = await create_session(cable.url)
    async with connect(cable.url, session_id, on_lost=lost.append) as session:
        cable.loses_answers_to = f"POST /sessions/{session_id}/runs".encode()
        run = await session.send("/quiet /length 3 /rate 0")
        await is_exact(gateway, session_id, run, await until_terminal(session))
    async with gateway.client() as http:
        runs = (await http.get(f"/sessions/{session_id}/runs")).json()["items"]

    assert [each["id"] for each in runs] == [run]
    assert len(lost) == 1


@pytest.fixture
def small_buffer() -> httpx.AsyncHTTPTransport:
    """Connections that hold little which nobody has read."""
    return httpx.AsyncHTTPTransport(verify=False, socket_options=[(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)])


@pytest.mark.slow
async def test_a_program_that_reads_too_slowly_gets_everything_all_the_same(
    launch: Launch, transport: str, lost: list[Lost], small_buffer: httpx.AsyncHTTPTransport
) -> None:
    gateway = launch(agent="loud:agent", send_timeout="1")
    session_id = await create_session(gateway.url)
    async with (
        httpx.AsyncClient(transport=small_buffer) as http,
        connect(gateway.url, session_id, transport=transport, http=http, on_lost=lost.append) as session,  # type: ignore[arg-type]
    ):
        run = await session.send("be loud")
        async with gateway.client() as watching, asyncio.timeout(PATIENCE):
            await log_of(watching, session_id, run)
            while (await scrape(watching))("runcast_cuts_total", reason="too_slow") < 1:
                pass
        seen = await until_terminal(session)

    await is_exact(gateway, session_id, run, seen)
    assert len("".join(each.delta for each in seen if isinstance(each, messages.StreamDelta))) == len(PIECE) * PIECES
    assert lost


@pytest.mark.slow
async def test_a_server_that_is_not_there_yet_is_waited_for(launch: Launch, transport: str, lost: list[Lost]) -> None:
    gateway = launch()
    session_id = await create_session(gateway.url)
    gateway.stop()
    again = asyncio.Event()

    def note(what: Lost) -> None:
        lost.append(what)
        if len(lost) == 2:
            again.set()

    async def first_message() -> Message:
        async with connect(cable.url, session_id, transport=transport, on_lost=note) as session:  # type: ignore[arg-type]
            return await anext(session)

    async with Cable.plugged(lambda: gateway.url) as cable, asyncio.timeout(PATIENCE):
        opening = asyncio.create_task(first_message())
        await again.wait()
        gateway.start()
        assert await opening == messages.CaughtUp(position="0-0")
