"""What the Python client makes of odd keys, of tokens that can't be had, and of answers that are not Runcast's."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx
import pytest

from app.client import Lost, Refused, connect, create_session
from app.client.errors import Unreachable, of_answer, of_close
from tests.callers import ADA
from tests.client.reading_along import TRANSPORTS, some
from tests.gateway import Gateway
from tests.watching import PATIENCE

pytestmark = pytest.mark.anyio

DAY_S = 86_400


@pytest.mark.parametrize("key", [" lead", "réf-1"], ids=["space", "accent"])
async def test_an_idempotency_key_may_hold_what_a_header_may_not(gateway: Gateway, key: str) -> None:
    async with asyncio.timeout(PATIENCE), connect(gateway.url, await create_session(gateway.url)) as session:
        run = await session.send("/quiet Hello", idempotency_key=key)
        assert await session.send("/quiet Hello", idempotency_key=key) == run


async def test_a_request_that_cannot_be_sent_is_refused_at_once(gateway: Gateway) -> None:
    async with httpx.AsyncClient(headers={"x-of-the-program": " a"}) as http:
        with pytest.raises(Refused) as caught:
            async with asyncio.timeout(PATIENCE):
                await create_session(gateway.url, http=http)
    assert caught.value.code == "cannot_be_sent"


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_token_that_cannot_be_had_for_a_moment_is_asked_for_again(guarded: Gateway, transport: str) -> None:
    answers: list[Callable[[], str]] = []
    lost: list[Lost] = []

    async def token() -> str:
        return answers.pop()() if answers else ADA.key

    def fail() -> str:
        raise OSError("the issuer is away")

    session_id = await create_session(guarded.url, token=ADA.key)
    answers.append(fail)
    options: dict[str, Any] = {"transport": transport, "token": token, "on_lost": lost.append}
    async with asyncio.timeout(PATIENCE), connect(guarded.url, session_id, **options) as session:
        answers.append(fail)
        await session.send("/quiet Hello")
        await some(session, "stream_end")

    assert [str(each.error) for each in lost] == ["no token: the issuer is away"] * 2


async def test_a_token_that_will_never_be_had_ends_the_stream(guarded: Gateway) -> None:
    def token() -> str:
        raise Refused("signed_out", "nobody is signed in")

    with pytest.raises(Refused, match="nobody is signed in"):
        async with asyncio.timeout(PATIENCE), connect(guarded.url, "s", token=token):
            pass


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (httpx.Response(200, text="<p>Log in to the Wi-Fi</p>"), "no_json"),
        (httpx.Response(200, json=["s1"]), "no_json"),
        (httpx.Response(200, json={"status": "ok"}), "no_id"),
        (httpx.Response(301, headers={"location": "/elsewhere"}), "http_301"),
    ],
    ids=["html", "list", "foreign", "redirect"],
)
async def test_somebody_elses_answer_is_no_session(answer: httpx.Response, code: str) -> None:
    elsewhere = httpx.MockTransport(lambda _: answer)
    async with httpx.AsyncClient(transport=elsewhere, follow_redirects=True) as http:
        with pytest.raises(Refused) as caught:
            await create_session("http://wifi.test", http=http)
    assert caught.value.code == code


async def test_a_date_in_retry_after_is_the_time_until_then() -> None:
    in_two_hours = format_datetime(datetime.now(UTC) + timedelta(hours=2), usegmt=True)
    told = of_answer(httpx.Response(503, headers={"retry-after": in_two_hours}, json={}))

    assert isinstance(told, Unreachable)
    assert 7_000 <= told.retry_after <= 7_200


@pytest.mark.parametrize(
    ("text", "least", "most"),
    [
        ("3", 3, 3),
        ("9" * 400, DAY_S, DAY_S),
        ("Fri, 31 Dec 9999 23:59:59 GMT", DAY_S, DAY_S),
        ("Mon, 01 Jan 2001 00:00:00 GMT", 0, 0),
        ("soon", 0, 0),
        ("-5", 0, 0),
    ],
)
async def test_retry_after_is_seconds_or_a_date_and_a_day_at_most(text: str, least: float, most: float) -> None:
    told = of_answer(httpx.Response(503, headers={"retry-after": text}, json={}))

    assert isinstance(told, Unreachable)
    assert least <= told.retry_after <= most


async def test_a_close_for_a_bad_position_is_called_so_even_without_words() -> None:
    told = of_close(4400, "", None)

    assert isinstance(told, Refused)
    assert told.code == "bad_position"
