"""What the server will not do: errors with a code and a status, and waits that it asked for."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from async_solipsism import EventLoop

from app.client import Lost, Refused, Unreachable, connect, create_session, follow
from app.client.lost import Attempts
from tests.cable import Cable
from tests.callers import ADA, BOB
from tests.client.reading_along import TRANSPORTS, some
from tests.gateway import Gateway, Launch
from tests.watching import PATIENCE

pytestmark = pytest.mark.anyio

LONG = "/quiet /length 5000 /rate 100"


@pytest.fixture(params=[*TRANSPORTS, "auto"])
def transport(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def refusal(doing: Awaitable[Any]) -> tuple[str, int | None]:
    with pytest.raises(Refused) as caught:
        async with asyncio.timeout(PATIENCE):
            await doing
    return caught.value.code, caught.value.status


async def opened(url: str, session: str, **options: Any) -> None:
    async with connect(url, session, **options):
        pass


@pytest.mark.parametrize(
    ("token", "code", "status", "close"),
    [
        (None, "unauthenticated", 401, 4401),
        ("wrong", "unauthenticated", 401, 4401),
        (BOB.key, "session_not_found", 404, 4004),
        ("not a token", "unauthenticated", None, None),
        ("schlüssel", "unauthenticated", None, None),
    ],
    ids=["none", "wrong", "another's", "spaces", "umlaut"],
)
async def test_who_may_not_follow_is_told_so_at_once(
    guarded: Gateway, transport: str, token: str | None, code: str, status: int | None, close: int | None
) -> None:
    session = await create_session(guarded.url, token=ADA.key)

    told = await refusal(opened(guarded.url, session, token=token, transport=transport))

    assert told == (code, status if transport == "sse" else close)


async def test_a_malformed_position_is_refused(gateway: Gateway, transport: str) -> None:
    session = await create_session(gateway.url)

    code, status = await refusal(opened(gateway.url, session, after="nonsense", transport=transport))

    assert (code, status) == ("bad_position", 400 if transport == "sse" else 4400)


async def test_a_session_that_is_deleted_ends_its_messages_with_an_error(gateway: Gateway, transport: str) -> None:
    session_id = await create_session(gateway.url)
    async with connect(gateway.url, session_id, transport=transport) as session:  # type: ignore[arg-type]
        await session.send(LONG)
        await some(session)
        async with gateway.client() as http:
            await http.delete(f"/sessions/{session_id}")
        told = await refusal(_to_the_end(session))

    assert told == ("session_not_found", 404 if transport == "sse" else 4004)


async def _to_the_end(session: Any) -> None:
    async for _ in session:
        pass


async def test_a_refused_command_says_why_and_the_session_goes_on(gateway: Gateway) -> None:
    session_id = await create_session(gateway.url)
    async with connect(gateway.url, session_id) as session:
        run = await session.send(LONG, idempotency_key="one")
        assert await refusal(session.send("Hello")) == ("run_active", 409)
        assert await refusal(session.send("")) == ("invalid_message", 422)
        assert await refusal(session.send("Hello", idempotency_key="one")) == ("idempotency_mismatch", 422)
        assert await refusal(session.approve("never asked", True)) == ("no_such_approval", 404)
        assert await refusal(session.cancel("run_nobody_knows")) == ("run_not_found", 404)
        assert await session.send(LONG, idempotency_key="one") == run
        await session.cancel()
        await some(session, "stream_cancelled")
        assert await refusal(session.approve("never asked", True)) == ("no_such_approval", None)
        await session.cancel()


async def test_an_unknown_profile_makes_no_session(gateway: Gateway) -> None:
    code, status = await refusal(create_session(gateway.url, profile="nobody"))

    assert (code, status) == ("invalid_message", 422)


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://localhost", "http://", "http://:", ""])
async def test_what_is_no_address_is_a_value_error(url: str) -> None:
    with pytest.raises(ValueError, match="is no address"):
        await create_session(url)


async def test_there_is_no_websocket_for_a_run(gateway: Gateway) -> None:
    with pytest.raises(ValueError, match="server-sent events"):
        await opened(gateway.url, "s", run="r", transport="websocket")


async def test_a_websocket_that_was_asked_for_and_is_refused_is_an_error(gateway: Gateway) -> None:
    session = await create_session(gateway.url)
    async with Cable.plugged(lambda: gateway.url) as cable:
        cable.on_websocket = "refuses"
        assert await refusal(opened(cable.url, session, transport="websocket")) == ("http_403", 403)


async def test_somebody_elses_page_is_no_event_stream(gateway: Gateway) -> None:
    assert await refusal(anext(follow(f"{gateway.url}/nowhere", "s"))) == ("not_found", 404)


async def test_a_lost_answer_to_what_has_no_key_is_an_error_and_not_a_second_session(gateway: Gateway) -> None:
    async with gateway.client() as http:
        before = (await http.get("/sessions", params={"limit": 100})).json()["items"]
        async with Cable.plugged(lambda: gateway.url) as cable:
            cable.loses_answers_to = b"POST /sessions"
            with pytest.raises(Unreachable):
                await create_session(cable.url)
        after = (await http.get("/sessions", params={"limit": 100})).json()["items"]

    assert len(after) == min(len(before) + 1, 100)


async def test_the_wait_that_the_server_asks_for_is_kept(launch: Launch) -> None:
    gateway = launch(auth="keys", api_keys=ADA.entry, max_principal_viewers="1")
    session = await create_session(gateway.url, token=ADA.key)
    lost: asyncio.Future[Lost] = asyncio.get_running_loop().create_future()

    def note(what: Lost) -> None:
        if not lost.done():
            lost.set_result(what)

    async with connect(gateway.url, session, token=ADA.key):
        crowded = asyncio.create_task(opened(gateway.url, session, token=ADA.key, transport="sse", on_lost=note))
        async with asyncio.timeout(PATIENCE):
            told = await lost
        crowded.cancel()

    assert told.error.retry_after > 0
    assert told.delay >= told.error.retry_after


async def test_what_was_lost_is_a_warning_of_the_programs_log(
    gateway: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    session_id = await create_session(gateway.url)
    async with Cable.plugged(lambda: gateway.url) as cable, connect(cable.url, session_id) as session:
        await some(session, "caught_up")
        cable.cut()
        await some(session, "caught_up")

        address = cable.url
    assert {(record.name, record.levelno) for record in caplog.records} >= {("runcast.client", logging.WARNING)}
    assert all(address in record.getMessage() for record in caplog.records if record.name == "runcast.client")


def test_waits_double_up_to_ten_seconds_and_are_spread() -> None:
    told: list[Lost] = []

    async def fail_often() -> None:
        attempts = Attempts(told.append, "http://x")
        for _ in range(9):
            attempts.begin()
            await attempts.fail(Unreachable("no"))
        attempts.begin()
        await attempts.fail(Unreachable("no", retry_after=30))
        attempts.succeed()
        attempts.begin()
        await attempts.fail(Unreachable("no"))

    _in_virtual_time(fail_often)

    longest = [0.25, 0.5, 1, 2, 4, 8, 10, 10, 10]
    assert all(most / 2 <= lost.delay <= most for most, lost in zip(longest, told, strict=False))
    assert len({lost.delay / most for most, lost in zip(longest, told, strict=False)}) == len(longest)
    assert told[9].delay == 30
    assert told[10].delay <= 0.25


def test_a_connection_that_held_for_a_while_was_no_failure() -> None:
    told: list[Lost] = []

    async def hold() -> None:
        attempts = Attempts(told.append, "http://x")
        for held in (0, 0, 0, 6):
            attempts.begin()
            await asyncio.sleep(held)
            await attempts.fail(Unreachable("no"))

    _in_virtual_time(hold)

    assert told[2].delay >= 0.5
    assert told[3].delay <= 0.25


def _in_virtual_time(main: Callable[[], Any]) -> None:
    random.seed(1)
    with asyncio.Runner(loop_factory=EventLoop) as runner:
        runner.run(main())
