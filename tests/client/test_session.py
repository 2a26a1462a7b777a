"""A session of the Python client over both transports: what is sent, what comes, and what a program may do with it."""

import asyncio
import subprocess
import sys

import httpx
import pytest

from app.client import Session, connect, create_session, follow, is_terminal, messages
from tests.callers import ADA
from tests.client.reading_along import TRANSPORTS, is_exact, some, until, until_terminal
from tests.gateway import Gateway, new_session, start

pytestmark = pytest.mark.anyio

QUICK = "/quiet /length 5 /rate 0"
LONG = "/quiet /length 2000 /rate 200"


@pytest.mark.parametrize("transport", [*TRANSPORTS, "auto"])
async def test_what_is_sent_is_answered_exactly(gateway: Gateway, transport: str) -> None:
    session_id = await create_session(gateway.url)
    async with connect(gateway.url, session_id, transport=transport) as session:  # type: ignore[arg-type]
        for text in ("Hello", "Hello again"):
            run = await session.send(f"{text} /rate 0")
            seen = await until_terminal(session)
            await is_exact(gateway, session_id, run, seen)
        assert session.transport == ("sse" if transport == "sse" else "websocket")
        assert session.after == seen[-1].id  # type: ignore[union-attr]


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_run_that_ends_before_anybody_reads_is_not_missed(gateway: Gateway, transport: str) -> None:
    session_id = await create_session(gateway.url)
    async with connect(gateway.url, session_id, transport=transport) as session:  # type: ignore[arg-type]
        run = await session.send(QUICK)
        assert [is_terminal(message) async for message in follow(gateway.url, session_id, run=run)][-1]
        await is_exact(gateway, session_id, run, await until_terminal(session))


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_session_opened_after_a_position_goes_on_there(gateway: Gateway, transport: str) -> None:
    session_id = await create_session(gateway.url)
    async with connect(gateway.url, session_id, transport=transport) as session:  # type: ignore[arg-type]
        run = await session.send(LONG)
        seen = await some(session)
        after = session.after
    async with connect(gateway.url, session_id, after=after, transport=transport) as session:  # type: ignore[arg-type]
        await session.cancel()
        seen += await until_terminal(session)

    assert isinstance(seen[-1], messages.StreamCancelled)
    await is_exact(gateway, session_id, run, seen)


async def test_following_a_run_ends_with_it_and_after_its_end_there_is_nothing(gateway: Gateway) -> None:
    async with gateway.client() as http:
        session = await new_session(http)
        run = await start(http, session, QUICK)
    seen = [message async for message in follow(gateway.url, session, run=run)]

    await is_exact(gateway, session, run, seen)
    async with connect(gateway.url, session, run=run, after=seen[-1].id) as again:  # type: ignore[union-attr]
        assert [message async for message in again] == []
        assert [message async for message in again] == []


async def test_who_follows_a_run_commands_that_run(gateway: Gateway) -> None:
    session_id = await create_session(gateway.url)
    async with connect(gateway.url, session_id) as session:
        waiting = [await session.send(LONG), await session.send(LONG, on_conflict="queue")][1]
    async with connect(gateway.url, session_id, run=waiting) as run:
        await run.cancel()
        async with connect(gateway.url, session_id) as session:
            await session.cancel()
        seen = [message async for message in run]

    assert [message.run_id for message in seen if isinstance(message, messages.StreamStart)] == [waiting]
    assert isinstance(seen[-1], messages.StreamCancelled)


async def test_an_approval_is_asked_for_and_answered(gateway: Gateway) -> None:
    session_id = await create_session(gateway.url)
    async with connect(gateway.url, session_id) as session:
        await session.send(f"/approve {QUICK}")
        asked = (await some(session, "approval_requested"))[-1]
        assert isinstance(asked, messages.ApprovalRequested)
        await session.approve(asked.call_id, True, "go on")
        seen = await until_terminal(session)

    answers = [message for message in seen if isinstance(message, messages.ApprovalResolved)]
    assert [(answer.approved, answer.comment) for answer in answers] == [(True, "go on")]


async def test_files_and_images_travel_with_a_message(gateway: Gateway) -> None:
    png = bytes.fromhex(
        "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6360606060000000050001a5f6"
        "45400000000049454e44ae426082"
    )
    session_id = await create_session(gateway.url, title="With a file")
    async with connect(gateway.url, session_id) as session:
        uploaded = await session.upload("notes.txt", b"some notes")
        await session.send(QUICK, images=[png], files=[uploaded])
        started = (await some(session, "stream_start"))[-1]

    assert isinstance(started, messages.StreamStart)
    assert (started.input.images, [file.id for file in started.input.files]) == (1, [uploaded])


async def test_a_message_waits_or_interrupts_as_it_says(gateway: Gateway) -> None:
    session_id = await create_session(gateway.url)
    async with connect(gateway.url, session_id) as session:
        await session.send(LONG)
        second = await session.send(QUICK, on_conflict="queue")
        third = await session.send(QUICK, on_conflict="interrupt")
        order = [
            message.run_id
            for _ in range(3)
            for message in await until_terminal(session)
            if isinstance(message, messages.StreamStart)
        ]

    assert order[1:] == [third, second]


async def test_cancelling_a_read_loses_no_message(gateway: Gateway) -> None:
    session_id = await create_session(gateway.url)
    async with connect(gateway.url, session_id) as session:
        run = await session.send("/quiet /length 60 /rate 300")
        seen = []
        while not (seen and is_terminal(seen[-1])):
            reading = asyncio.ensure_future(anext(session))
            await asyncio.wait({reading}, timeout=0.002)
            reading.cancel()
            seen += [each for each in await asyncio.gather(reading, return_exceptions=True) if not _cancelled(each)]

    await is_exact(gateway, session_id, run, seen)  # type: ignore[arg-type]


def _cancelled(outcome: object) -> bool:
    return isinstance(outcome, asyncio.CancelledError)


async def test_messages_can_be_read_and_the_session_closed_from_other_tasks(gateway: Gateway) -> None:
    session_id = await create_session(gateway.url)

    async def read(session: Session) -> list[str]:
        return [message.type async for message in session]

    async with connect(gateway.url, session_id) as session:
        reading = asyncio.create_task(read(session))
        await session.send(QUICK)
        seen = [
            message
            async for message in follow(gateway.url, session_id, run=await session.send(QUICK, on_conflict="queue"))
        ]
        await session.close()
        assert "stream_start" in await reading
    assert is_terminal(seen[-1])


async def test_leaving_the_loop_closes_the_connection(gateway: Gateway) -> None:
    async with gateway.client() as http:
        session = await new_session(http)
        await start(http, session, LONG)
    following = follow(gateway.url, session)
    await until(following, lambda message: message.type == "stream_delta")
    await following.aclose()

    with pytest.raises(StopAsyncIteration):
        await anext(following)


@pytest.mark.parametrize("manner", ["text", "function", "coroutine"])
async def test_a_token_is_a_text_or_a_function_that_answers_one(guarded: Gateway, manner: str) -> None:
    async def later() -> str:
        return ADA.key

    token = {"text": ADA.key, "function": lambda: ADA.key, "coroutine": later}[manner]
    session_id = await create_session(guarded.url, token=token)  # type: ignore[arg-type]
    for transport in TRANSPORTS:
        async with connect(guarded.url, session_id, token=token, transport=transport) as session:  # type: ignore[arg-type]
            await session.send(QUICK)
            await until_terminal(session)


async def test_a_ticket_is_enough_for_its_session(guarded: Gateway) -> None:
    session_id = await create_session(guarded.url, token=ADA.key)
    async with guarded.client(headers={"authorization": f"Bearer {ADA.key}"}) as http:
        ticket = (await http.post("/tickets", json={"session_id": session_id})).json()["ticket"]
    for transport in TRANSPORTS:
        async with connect(guarded.url, session_id, ticket=ticket, transport=transport) as session:  # type: ignore[arg-type]
            await session.send(LONG, files=[await session.upload("a.txt", b"a file")])
            await session.cancel()
            await until_terminal(session)


async def test_a_client_of_ones_own_carries_everything_and_stays_open(gateway: Gateway) -> None:
    asked: list[str] = []

    async def note(request: httpx.Request) -> None:
        asked.append(request.url.path)

    async with httpx.AsyncClient(verify=False, event_hooks={"request": [note]}) as http:
        session_id = await create_session(gateway.url, http=http)
        async with connect(gateway.url, session_id, http=http) as session:
            await session.send(QUICK)
            await until_terminal(session)
        assert not http.is_closed

    assert asked == ["/sessions", f"/ws/sessions/{session_id}", f"/sessions/{session_id}/runs"]


async def test_a_server_under_a_path_is_found_there(launch: object) -> None:
    gateway = launch(base_path="/runcast")  # type: ignore[operator]
    url = f"{httpx.URL(gateway.url).join('/runcast/')}"
    session_id = await create_session(url)
    for transport in TRANSPORTS:
        async with connect(url, session_id, transport=transport) as session:  # type: ignore[arg-type]
            await session.send(QUICK)
            await until_terminal(session)


def test_a_program_that_imports_the_client_imports_no_server() -> None:
    code = "import sys, app.client; print(*{name.partition('.')[0] for name in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()

    assert {"httpx", "httpx_ws", "httpx_sse", "cattrs"} <= set(loaded)
    assert not {"litestar", "uvicorn", "sqlalchemy", "structlog", "prometheus_client"} & set(loaded)
