"""P6.3, I12: at every door, somebody else's session is one that never was, and a stranger learns nothing at all.

The table is the OpenAPI document itself, so a route that is added is in it; the WebSocket is asked beside it.
"""

from contextlib import suppress

import httpx
import pytest
from websockets.exceptions import ConnectionClosed

from tests.callers import ADA, BOB, shows
from tests.doors import QUICK, Door, doors, named
from tests.gateway import Gateway, log_of, new_session, start
from tests.watching import watch_ws

pytestmark = pytest.mark.anyio

NOWHERE, NO_RUN = f"ses_{'0' * 32}", f"run_{'0' * 32}"
TO_SESSIONS = [door for door in doors() if door.leads_to_a_session]
TO_RUNS = [door for door in doors() if "{run_id}" in door.path]
GUARDED = [door for door in doors() if not door.is_open]


async def ended_run(http: httpx.AsyncClient) -> tuple[str, str]:
    session = await new_session(http)
    run = await start(http, session, QUICK)
    await log_of(http, session, run)
    return session, run


def test_the_table_holds_the_doors_that_matter() -> None:
    assert {"getSession", "deleteSession", "startRun", "followRun", "createTicket"} <= set(map(named, TO_SESSIONS))
    assert {named(door) for door in doors() if door.is_open} == {"healthLive", "healthReady"}


@pytest.mark.parametrize("door", TO_SESSIONS, ids=named)
async def test_a_foreign_session_is_one_that_never_was(guarded: Gateway, door: Door) -> None:
    async with guarded.client(headers=shows(ADA.key)) as ada, guarded.client(headers=shows(BOB.key)) as bob:
        session, run = await ended_run(ada)
        foreign = await door.ask(bob, session, run)
        never = await door.ask(bob, NOWHERE, NO_RUN)
        half = await door.ask(bob, NOWHERE, run)

        assert foreign == never == half
        assert (foreign[0], foreign[2]["code"]) == (404, "session_not_found")
        status, _, problem = await door.ask(ada, session, run)
        assert status < 300 or problem["code"] not in {"session_not_found", "unauthenticated", "invalid_message"}


@pytest.mark.parametrize("door", TO_RUNS, ids=named)
async def test_a_foreign_run_is_one_that_never_was(guarded: Gateway, door: Door) -> None:
    async with guarded.client(headers=shows(ADA.key)) as ada, guarded.client(headers=shows(BOB.key)) as bob:
        _, run = await ended_run(ada)
        own = await new_session(bob)
        foreign = await door.ask(bob, own, run)

        assert foreign == await door.ask(bob, own, NO_RUN)
        assert (foreign[0], foreign[2]["code"]) == (404, "run_not_found")


@pytest.mark.parametrize("door", GUARDED, ids=named)
async def test_a_stranger_is_told_the_same_whatever_there_is(guarded: Gateway, door: Door) -> None:
    async with guarded.client(headers=shows(ADA.key)) as ada, guarded.client() as stranger:
        session, run = await ended_run(ada)
        answers = [await door.ask(stranger, session, run), await door.ask(stranger, NOWHERE, NO_RUN)]
        challenge = (await stranger.send(door.request(stranger, session, run))).headers["www-authenticate"]

    assert answers[0] == answers[1]
    assert answers[0][:2] == (401, "application/problem+json")
    assert answers[0][2]["code"] == "unauthenticated"
    assert challenge == 'Bearer realm="runcast"'


async def test_the_websocket_of_a_foreign_session_closes_as_that_of_none(guarded: Gateway) -> None:
    async with guarded.client(headers=shows(ADA.key)) as ada:
        session, run = await ended_run(ada)
    for query in ("", "?after=0", f"?after={run}", "?after=1-1"):
        closings = [await closing(guarded, f"{one}{query}", shows(BOB.key)) for one in (session, NOWHERE)]
        assert closings[0] == closings[1]
        assert closings[0][0] in (4004, 4400)
        strangers = [await closing(guarded, f"{one}{query}", {}) for one in (session, NOWHERE)]
        assert strangers[0] == strangers[1]
        assert strangers[0][0] == 4401


async def closing(gateway: Gateway, session: str, headers: dict[str, str]) -> tuple[int | None, str | None, list[str]]:
    """What a socket that is turned away is told: code, reason, messages."""
    async with watch_ws(gateway, session, additional_headers=headers) as watch:
        assert watch.socket is not None
        messages: list[str] = []
        with suppress(ConnectionClosed):
            while True:
                messages.append((await watch.next()).raw)
        return watch.socket.close_code, watch.socket.close_reason, messages
