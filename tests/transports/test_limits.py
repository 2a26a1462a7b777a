"""The limits of P6.6 as clients meet them: typed refusals, and room again as soon as somebody leaves."""

import asyncio
from contextlib import AsyncExitStack

import pytest
from websockets.exceptions import ConnectionClosed

from tests.callers import ADA, BOB, keyed, shows
from tests.gateway import Gateway, Launch, new_session, start
from tests.raw_http import exchange, request
from tests.watching import PATIENCE, watch_ws

pytestmark = pytest.mark.anyio

SLOW = "/quiet /length 5000 /rate 20"
BEARER = [f"{name}: {value}" for name, value in shows(ADA.key).items()]


async def close_code(gateway: Gateway, session: str, token: str) -> int | None:
    async with watch_ws(gateway, session, additional_headers=shows(token)) as viewer:
        assert viewer.socket is not None
        with pytest.raises(ConnectionClosed):
            await viewer.until_type("caught_up")
        return viewer.socket.close_code


async def test_a_principal_has_only_so_many_viewers_and_room_again_when_one_leaves(launch: Launch) -> None:
    gateway = keyed(launch, max_principal_viewers="3", max_viewers="4")
    async with gateway.client(headers=shows(ADA.key)) as http, gateway.client(headers=shows(BOB.key)) as other:
        session, others = await new_session(http), await new_session(other)
        run = await start(http, session, SLOW)
        log = f"/sessions/{session}/runs/{run}/log?wait=1"
        paths = [f"/sessions/{session}/events", f"/sessions/{session}/runs/{run}/events"]
        async with AsyncExitStack() as stack:
            for path in paths:
                opened = exchange(gateway, request(gateway, path, *BEARER))
                assert (await stack.enter_async_context(opened))[0] == "HTTP/1.1 200 OK"
            async with watch_ws(gateway, session, additional_headers=shows(ADA.key)) as viewer:
                await viewer.until_type("caught_up")
                refused = [await http.get(path) for path in (*paths, log)]
                code = await close_code(gateway, session, ADA.key)
                async with watch_ws(gateway, others, additional_headers=shows(BOB.key)) as another:
                    await another.until_type("caught_up")
                    crowded = await other.get(f"/sessions/{others}/events")
                    crowded_code = await close_code(gateway, others, BOB.key)
            async with asyncio.timeout(PATIENCE):
                while (
                    again := await http.get(f"/sessions/{session}/runs/{run}/log?wait=1&after=0")
                ).status_code == 429:
                    pass

    assert {(one.status_code, one.json()["code"], one.headers["retry-after"]) for one in refused} == {
        (429, "rate_limited", "1")
    }
    assert (crowded.status_code, crowded.json()["code"], crowded.headers["retry-after"]) == (503, "rate_limited", "1")
    assert (code, crowded_code) == (4429, 4429)
    assert again.status_code == 200


async def test_a_principal_has_only_so_many_runs_and_none_of_them_is_disturbed(launch: Launch) -> None:
    gateway = keyed(launch, max_principal_runs="2")
    async with gateway.client(headers=shows(ADA.key)) as http, gateway.client(headers=shows(BOB.key)) as other:
        sessions = [await new_session(http) for _ in range(3)]
        runs = [await start(http, session, SLOW) for session in sessions[:2]]
        refused = await http.post(f"/sessions/{sessions[2]}/runs", json={"content": SLOW})
        busy = await http.post(f"/sessions/{sessions[0]}/runs", json={"content": SLOW})
        queued = await http.post(f"/sessions/{sessions[0]}/runs", json={"content": SLOW, "on_conflict": "queue"})
        await start(other, await new_session(other), SLOW)
        states = [
            (await http.get(f"/sessions/{s}/runs/{r}")).json()["status"] for s, r in zip(sessions, runs, strict=False)
        ]

    assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
    assert busy.json()["code"] == "run_active"
    assert queued.status_code == 202
    assert states == ["running", "running"]


async def test_where_nobody_is_told_apart_nobody_is_limited_for_himself(launch: Launch) -> None:
    gateway = launch(max_principal_viewers="1", max_principal_runs="1")
    async with gateway.client() as http, AsyncExitStack() as stack:
        for _ in range(3):
            session = await new_session(http)
            await start(http, session, SLOW)
            viewer = await stack.enter_async_context(watch_ws(gateway, session))
            await viewer.until_type("stream_start")


async def test_places_are_free_again_whatever_way_their_viewers_went(launch: Launch) -> None:
    gateway = launch(max_viewers="10")
    async with gateway.client() as http:
        session = await new_session(http)
        run = await start(http, session, SLOW)
        doors = [
            f"/sessions/{session}/events",
            f"/sessions/{session}/runs/{run}/events",
            f"/sessions/{session}/runs/{run}/log?wait=30&after=1-2000",
        ]

        async def leave_early(path: str, moment: int) -> None:
            reader, writer = await asyncio.open_connection(*gateway.url.removeprefix("http://").split(":"))
            writer.write(request(gateway, path))
            for _ in range(moment):
                await asyncio.sleep(0)
            writer.transport.abort()
            del reader

        for moment in range(30):
            await asyncio.gather(*(leave_early(path, moment) for path in doors))
        async with asyncio.timeout(PATIENCE):
            while not await all_can_attach(gateway, doors[0], 10):
                pass


async def all_can_attach(gateway: Gateway, path: str, count: int) -> bool:
    async with AsyncExitStack() as stack:
        opened = [await stack.enter_async_context(exchange(gateway, request(gateway, path))) for _ in range(count)]
        async with exchange(gateway, request(gateway, path)) as (one_more, _, _):
            assert "503" in one_more
        return all("200" in status for status, _, _ in opened)
