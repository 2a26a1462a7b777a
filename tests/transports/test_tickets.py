"""Tickets at a running server: where they open a door, and where they don't (P6.2)."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import jwt
import pytest
from websockets.exceptions import ConnectionClosed

from app.transports.auth.tickets import LIFETIME, Tickets
from tests.callers import ADA, BOB, SECRET, keyed, shows
from tests.gateway import Gateway, Launch, log_of, new_session, start
from tests.watching import watch_sse, watch_ws

pytestmark = pytest.mark.anyio

QUICK = "/quiet /length 5 /rate 0"
LONG = "/quiet /length 2000 /rate 50"


@asynccontextmanager
async def with_ticket(gateway: Gateway) -> AsyncIterator[tuple[httpx.AsyncClient, str, str]]:
    """Ada's calls, a session of hers, and a ticket for it."""
    async with gateway.client(headers=shows(ADA.key)) as ada:
        session = await new_session(ada)
        answer = await ada.post("/tickets", json={"session_id": session})
        assert (answer.status_code, answer.json()["expires_in"]) == (201, 300)
        assert answer.headers["cache-control"] == "no-store"
        yield ada, session, answer.json()["ticket"]


async def close_code(gateway: Gateway, session: str, ticket: str) -> int | None:
    async with watch_ws(gateway, f"{session}?ticket={ticket}") as watch:
        assert watch.socket is not None
        with pytest.raises(ConnectionClosed):
            await watch.until(lambda _: False)
        return watch.socket.close_code


async def test_it_follows_and_commands_its_session_over_a_websocket(guarded: Gateway) -> None:
    async with with_ticket(guarded) as (_, session, ticket), watch_ws(guarded, f"{session}?ticket={ticket}") as watch:
        assert watch.socket is not None
        await watch.socket.send(json.dumps({"type": "message", "content": QUICK}))
        assert (await watch.until_terminal())[-1].type == "stream_end"


async def test_it_follows_and_commands_its_session_over_http(guarded: Gateway) -> None:
    async with with_ticket(guarded) as (_, session, ticket), guarded.client(params={"ticket": ticket}) as page:
        run = await start(page, session, LONG)
        path = f"/sessions/{session}/runs/{run}"
        async with (
            watch_sse(guarded, f"/sessions/{session}/events", params={"ticket": ticket}) as of_session,
            watch_sse(guarded, f"{path}/events", params={"ticket": ticket}) as of_run,
        ):
            await of_run.until_type("stream_delta")
            assert (await page.get(f"/sessions/{session}")).json()["active_run"] == run
            assert (await page.post(f"{path}/cancel")).status_code == 202
            assert (await page.post(f"/sessions/{session}/files", files={"file": ("a", b"x")})).status_code == 201
            assert (await of_run.until_terminal())[-1].type == "stream_cancelled"
            await of_session.until_terminal()
        assert "stream_cancelled" in (await log_of(page, session, run))[-1]
        assert (await page.get(f"{path}/events", headers={"last-event-id": "1-1"})).status_code == 200


async def test_it_is_useless_at_another_session(guarded: Gateway) -> None:
    async with with_ticket(guarded) as (ada, _, ticket), guarded.client(params={"ticket": ticket}) as page:
        other = await new_session(ada)
        run = await start(ada, other, QUICK)
        for session in (other, "ses_of_nobody"):
            path = f"/sessions/{session}/runs/{run}"
            answers = [
                await page.get(f"/sessions/{session}/events"),
                await page.get(f"{path}/events"),
                await page.get(f"{path}/log"),
                await page.post(f"{path}/cancel"),
                await page.post(f"/sessions/{session}/runs", json={"content": QUICK}),
                await page.get(f"/sessions/{session}"),
            ]
            assert [answer.status_code for answer in answers] == [401] * len(answers)
            assert await close_code(guarded, session, ticket) == 4401


async def test_it_is_useless_elsewhere(guarded: Gateway) -> None:
    async with with_ticket(guarded) as (_, session, ticket):
        for way in ({"params": {"ticket": ticket}}, {"headers": shows(ticket)}):
            async with guarded.client(**way) as page:
                answers = [
                    await page.get("/sessions"),
                    await page.post("/sessions"),
                    await page.get("/profiles"),
                    await page.post("/tickets", json={"session_id": session}),
                    await page.get(f"/sessions/{session}/messages"),
                    await page.delete(f"/sessions/{session}"),
                ]
                assert [answer.status_code for answer in answers] == [401] * len(answers)
        async with guarded.client(headers=shows(ticket)) as page:
            assert (await page.get(f"/sessions/{session}/events")).status_code == 401


async def test_a_session_that_the_caller_has_not_gets_no_ticket(guarded: Gateway) -> None:
    async with with_ticket(guarded) as (_, session, _), guarded.client(headers=shows(BOB.key)) as bob:
        foreign = await bob.post("/tickets", json={"session_id": session})
        nowhere = await bob.post("/tickets", json={"session_id": "ses_of_nobody"})
    assert (foreign.status_code, foreign.json()) == (404, nowhere.json())
    assert foreign.json()["code"] == "session_not_found"


async def test_after_its_five_minutes_it_opens_nothing(launch: Launch) -> None:
    gateway = keyed(launch, secret=SECRET)
    past = Tickets(SECRET.encode(), clock=lambda: 1_000_000_000.0)
    async with with_ticket(gateway) as (_, session, _), gateway.client() as page:
        expired = past.issue("ada", session)
        assert await close_code(gateway, session, expired) == 4401
        refused = await page.get(f"/sessions/{session}/events", params={"ticket": expired})
        assert (refused.status_code, refused.json()["detail"]) == (401, "the ticket has expired")


@pytest.mark.slow
async def test_an_open_stream_outlives_its_ticket(launch: Launch) -> None:
    gateway = keyed(launch, secret=SECRET)
    issued = time.time() - LIFETIME + 8
    async with with_ticket(gateway) as (_, session, _):
        ticket = Tickets(SECRET.encode(), clock=lambda: issued).issue("ada", session)
        async with (
            watch_ws(gateway, f"{session}?ticket={ticket}") as socket,
            watch_sse(gateway, f"/sessions/{session}/events", params={"ticket": ticket}) as stream,
        ):
            await socket.until_type("caught_up")
            await stream.until_type("caught_up")
            async with asyncio.timeout(40), gateway.client(params={"ticket": ticket}) as page:
                while (await page.get(f"/sessions/{session}/runs/none/log")).status_code != 401:
                    pass
            assert socket.socket is not None
            await socket.socket.send(json.dumps({"type": "message", "content": QUICK}))
            assert (await socket.until_terminal())[-1].type == "stream_end"
            assert (await stream.until_terminal())[-1].type == "stream_end"


@pytest.mark.slow
async def test_a_ticket_survives_a_restart(launch: Launch) -> None:
    gateway = keyed(launch)
    async with with_ticket(gateway) as (_, session, ticket):
        pass
    gateway.stop()
    gateway.start()
    async with watch_ws(gateway, f"{session}?ticket={ticket}") as watch:
        await watch.until_type("caught_up")


async def test_a_deleted_session_is_gone_for_its_ticket_too(guarded: Gateway) -> None:
    async with with_ticket(guarded) as (ada, session, ticket):
        assert (await ada.delete(f"/sessions/{session}")).status_code == 204
        assert await close_code(guarded, session, ticket) == 4004


async def test_a_ticket_holds_nothing_secret(guarded: Gateway) -> None:
    async with with_ticket(guarded) as (_, session, ticket):
        claims = jwt.decode(ticket, options={"verify_signature": False})
    assert set(claims) == {"sub", "sid", "exp"}
    assert (claims["sub"], claims["sid"]) == ("ada", session)


async def test_without_authentication_a_ticket_is_made_all_the_same(launch: Launch) -> None:
    gateway = launch()
    async with gateway.client() as http:
        session = await new_session(http)
        ticket = (await http.post("/tickets", json={"session_id": session})).json()["ticket"]
    async with watch_ws(gateway, f"{session}?ticket={ticket}") as watch:
        await watch.until_type("caught_up")
