"""`/operator/runs` of a server process: what it tells of everybody's runs, and to whom."""

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.callers import ADA, BOB, keyed, shows
from tests.gateway import Gateway, Json, Launch, log_of, new_session, start
from tests.watching import PATIENCE, watch

pytestmark = pytest.mark.anyio

SLOW = "/quiet /rate 0.01"
TOKEN = "a-token-for-metrics-as-long-as-it-has-to-be"
SECRET = "xylophone"


async def overview(http: httpx.AsyncClient, **query: Any) -> list[Json]:
    items: list[Json] = (await http.get("/operator/runs", params=query)).raise_for_status().json()["items"]
    return items


async def until(http: httpx.AsyncClient, run: str, reached: Callable[[Json], bool]) -> Json:
    """Ask until the run is as it must become: the server learns of a client's coming and going a moment later."""
    async with asyncio.timeout(PATIENCE):
        while True:
            found = next(item for item in await overview(http) if item["id"] == run)
            if reached(found):
                return found


async def test_a_run_is_shown_with_its_viewers_while_they_are_there(gateway: Gateway) -> None:
    async with gateway.client() as http:
        session = await new_session(http)
        run = await start(http, session, SLOW)
        async with watch(gateway, "ws", session) as one, watch(gateway, "sse", session):
            await one.until_type("stream_start")
            during = await until(http, run, lambda found: sum(found["viewers"].values()) == 2)
        after = await until(http, run, lambda found: not found["viewers"])
        await http.post(f"/sessions/{session}/runs/{run}/cancel")

    assert during["viewers"] == {"sse": 1, "websocket": 1}
    assert (during["status"], during["session_id"], during["number"]) == ("running", session, 1)
    assert (during["principal"], during["profile"], during["lag"]) == ("local", "default", 0)
    assert during["position"] == after["position"] != "1-0"
    assert during["host"]
    assert during["ended_at"] is None


async def test_a_run_that_waits_for_approval_says_so_until_it_is_answered(gateway: Gateway) -> None:
    async with gateway.client() as http:
        session = await new_session(http)
        run = await start(http, session, f"/approve {SLOW}")
        path = f"/sessions/{session}/runs/{run}"
        await until(http, run, lambda found: found["waits_for_approval"])
        await http.post(f"{path}/approvals/demo-delete", json={"approved": True})
        after = await until(http, run, lambda found: not found["waits_for_approval"])
        await http.post(f"{path}/cancel")
    assert after["status"] == "running"


async def test_how_runs_ended_is_told_but_no_word_that_was_said(gateway: Gateway) -> None:
    async with gateway.client() as http:
        session = await new_session(http)
        done = await start(http, session, f"/quiet /length 5 /rate 0 {SECRET}")
        await log_of(http, session, done)
        failed = await start(http, session, f"/quiet /length 5 /rate 0 /error {SECRET}")
        await log_of(http, session, failed)
        cancelled = await start(http, session, f"{SLOW} {SECRET}")
        await http.post(f"/sessions/{session}/runs/{cancelled}/cancel")
        log = await log_of(http, session, cancelled)
        answer = await http.get("/operator/runs")

    found = {item["id"]: item for item in answer.json()["items"]}
    assert [(found[run]["status"], found[run]["code"], found[run]["reason"]) for run in (done, failed, cancelled)] == [
        ("completed", None, None),
        ("failed", "agent_error", None),
        ("cancelled", None, "cancelled"),
    ]
    assert f'"id":"{found[cancelled]["position"]}"' in log[-1]
    assert SECRET not in answer.text


async def test_pages_and_states_can_be_asked_for(gateway: Gateway) -> None:
    async with gateway.client() as http:
        session = await new_session(http)
        running = await start(http, session, SLOW)
        queued = await start(http, session, SLOW, on_conflict="queue")
        active = await overview(http, status=["running", "queued"])
        first = (await http.get("/operator/runs", params={"limit": 1})).json()
        second = await overview(http, limit=1, cursor=first["next"])
        refused = [await http.get("/operator/runs", params=query) for query in ({"status": "odd"}, {"cursor": "odd"})]
        for run in (queued, running):
            await http.post(f"/sessions/{session}/runs/{run}/cancel")

    assert [(item["id"], item["status"]) for item in active] == [(queued, "queued"), (running, "running")]
    assert [item["id"] for item in (*first["items"], *second)] == [queued, running]
    assert [(answer.status_code, answer.json()["code"]) for answer in refused] == [
        (400, "invalid_message"),
        (422, "invalid_message"),
    ]


async def test_an_answer_that_has_not_changed_is_not_sent_again(gateway: Gateway) -> None:
    query = {"status": "interrupted"}
    async with gateway.client() as http:
        etag = (await http.get("/operator/runs", params=query)).headers["etag"]
        for known in (etag, f"W/{etag}", f'"a, b", W/{etag}', "*"):
            again = await http.get("/operator/runs", params=query, headers={"if-none-match": known})
            assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
        for known in ('"other"', etag.strip('"'), ""):
            other = await http.get("/operator/runs", params=query, headers={"if-none-match": known})
            assert other.status_code == 200


async def test_it_opens_to_the_operators_token_and_to_nobody_elses(launch: Launch) -> None:
    open_ = keyed(launch, metrics_token=TOKEN)
    async with open_.client(headers=shows(ADA.key)) as ada, open_.client() as stranger:
        session = await new_session(ada)
        run = await start(ada, session, "/quiet /length 3 /rate 0")
        await log_of(ada, session, run)
        refused = [await http.get("/operator/runs") for http in (ada, stranger)]
        async with open_.client(headers=shows(TOKEN)) as operator:
            (found,) = await overview(operator)
            sessions = await operator.get("/sessions")
    assert [answer.status_code for answer in (*refused, sessions)] == [401] * 3
    assert (found["id"], found["principal"]) == (run, "ada")

    shut = keyed(launch)
    async with shut.client() as http:
        answers = [await http.get("/operator/runs", headers=headers) for headers in ({}, shows(BOB.key), shows(TOKEN))]
    assert [answer.status_code for answer in answers] == [401] * 3
