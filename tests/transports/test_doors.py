"""P6.3, I12: at every door, somebody else's session is one that never was, and a stranger learns nothing at all.

The table is the OpenAPI document itself, so a route that is added is in it; the WebSocket is asked beside it.
"""

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from attrs import frozen
from websockets.exceptions import ConnectionClosed

from tests.callers import ADA, BOB, shows
from tests.gateway import Gateway, log_of, new_session, start
from tests.watching import watch_ws

pytestmark = pytest.mark.anyio

DOCUMENT = json.loads((Path(__file__).parents[2] / "openapi" / "openapi.json").read_text(encoding="utf-8"))
NOWHERE, NO_RUN = f"ses_{'0' * 32}", f"run_{'0' * 32}"
QUICK = "/quiet /length 3 /rate 0"


@frozen
class Door:
    """One operation, and how to ask it something that it understands."""

    method: str
    path: str
    operation: dict[str, Any]

    @property
    def leads_to_a_session(self) -> bool:
        return "{session_id}" in self.path or "session_id" in self._schema("application/json").get("properties", {})

    @property
    def is_open(self) -> bool:
        return not self.operation.get("security")

    def _schema(self, media_type: str) -> dict[str, Any]:
        schema = self.operation.get("requestBody", {}).get("content", {}).get(media_type, {}).get("schema", {})
        name = schema.get("$ref", "").rpartition("/")[2]
        return dict(DOCUMENT["components"]["schemas"][name] if name else schema)

    def request(self, http: httpx.AsyncClient, session: str, run: str) -> httpx.Request:
        values = {"session_id": session, "run_id": run}
        path = re.sub(r"{(\w+)}", lambda found: values.get(found[1], "nothing"), self.path)
        body: dict[str, Any] = {}
        if (schema := self._schema("application/json")) != {}:
            required = {name: schema["properties"][name] for name in schema.get("required", [])}
            body["json"] = {name: values.get(name, example(kind)) for name, kind in required.items()}
        elif (form := self._schema("multipart/form-data")) != {}:
            body["files"] = dict.fromkeys(form["required"], ("note.txt", b"a note", "text/plain"))
        return http.build_request(self.method.upper(), path, **body)

    async def ask(self, http: httpx.AsyncClient, session: str, run: str) -> tuple[int, str, Any]:
        """Status, media type and, unless it streams, the body."""
        answer = await http.send(self.request(http, session, run), stream=True)
        try:
            media_type = answer.headers.get("content-type", "")
            body = None if answer.is_success else json.loads(await answer.aread())
            return answer.status_code, media_type, body
        finally:
            await answer.aclose()


def example(kind: dict[str, Any]) -> Any:
    return {"string": QUICK, "boolean": True, "integer": 1}[kind["type"]]


def doors() -> Iterator[Door]:
    for path, methods in DOCUMENT["paths"].items():
        for method, operation in methods.items():
            yield Door(method, path, operation)


def named(door: Door) -> str:
    return str(door.operation["operationId"])


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
