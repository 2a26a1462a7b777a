"""Stopping, queueing, interrupting, approving and retrying, against a real server: sections 3 and 4 of the protocol."""

import asyncio
import json
from typing import Any

import httpx
import pytest

from tests.gateway import Gateway, Launch, every_event, log_of, new_session
from tests.watching import PATIENCE, Watch, logged, rise, watch, watch_sse, watch_ws

pytestmark = pytest.mark.anyio

SLOW = "/quiet /length 5000 /rate 50"
QUICK = "/quiet /length 5 /rate 0"


async def post(http: httpx.AsyncClient, session: str, **body: Any) -> httpx.Response:
    return await http.post(f"/sessions/{session}/runs", json=body)


async def started(http: httpx.AsyncClient, session: str, content: str, **body: Any) -> dict[str, Any]:
    answer = await post(http, session, content=content, **body)
    assert answer.status_code == 202, answer.text
    return dict(answer.json())


async def state(http: httpx.AsyncClient, run: dict[str, Any]) -> dict[str, Any]:
    return dict((await http.get(f"/sessions/{run['session_id']}/runs/{run['id']}")).raise_for_status().json())


async def ended(http: httpx.AsyncClient, run: dict[str, Any]) -> dict[str, Any]:
    """A run's row, once it has its terminal."""
    await log_of(http, run["session_id"], run["id"])
    return await state(http, run)


async def ask(viewer: Watch, **command: Any) -> dict[str, Any]:
    """Send a command; what answers it."""
    assert viewer.socket is not None
    await viewer.socket.send(json.dumps(command | {"request_id": "ask"}))
    items = await viewer.until(lambda item: item.message.get("request_id") == "ask")
    return items[-1].message


@pytest.mark.parametrize("transport", ["ws", "sse"])
async def test_queued_messages_are_told_of_and_answered_in_their_order(gateway: Gateway, transport: str) -> None:
    async with gateway.client() as http:
        session = await new_session(http)
        async with watch(gateway, transport, session) as viewer:
            await viewer.until_type("caught_up")
            first = await started(http, session, "/quiet /length 20 /rate 40")
            second = await started(http, session, f"{QUICK} two", on_conflict="queue")
            third = await started(http, session, f"{QUICK} three", on_conflict="queue")
            assert [run["status"] for run in (first, second, third)] == ["running", "queued", "queued"]
            assert (second["position"], second["started_at"]) == ("2-0", None)
            items = [item for _ in range(3) for item in await viewer.until_terminal()]
        notices = [item.message for item in items if item.type == "run_queued"]
        assert [(each["run_id"], each["number"], each["ahead"]) for each in notices] == [
            (second["id"], 2, 1),
            (third["id"], 3, 2),
        ]
        assert rise(items)
        begun = [item.message["run_id"] for item in items if item.type == "stream_start"]
        assert begun == [first["id"], second["id"], third["id"]]
        assert [(await state(http, run))["status"] for run in (first, second, third)] == ["completed"] * 3


async def test_eight_may_wait_and_a_queued_one_can_be_cancelled(gateway: Gateway) -> None:
    async with gateway.client() as http:
        session = await new_session(http)
        first = await started(http, session, SLOW)
        waiting = [await started(http, session, QUICK, on_conflict="queue") for _ in range(8)]
        refused = await post(http, session, content=QUICK, on_conflict="queue")
        assert (refused.status_code, refused.json()["code"]) == (409, "queue_full")
        refused = await post(http, session, content=QUICK)
        assert (refused.status_code, refused.json()["code"]) == (409, "run_active")
        async with watch_ws(gateway, session) as viewer:
            told = await ask(viewer, type="message", content=QUICK, on_conflict="queue")
            assert (told["type"], told["code"]) == ("error", "queue_full")
            assert (await ask(viewer, type="cancel", run_id=waiting[3]["id"]))["type"] == "ack"
        assert (await ended(http, waiting[3]))["status"] == "cancelled"
        assert (await state(http, first))["status"] == "running"
        await started(http, session, QUICK, on_conflict="queue")
        await http.post(f"/sessions/{session}/runs/{first['id']}/cancel")
        statuses = [(await ended(http, run))["status"] for run in waiting]
        assert statuses == ["completed"] * 3 + ["cancelled"] + ["completed"] * 4


@pytest.mark.parametrize("transport", ["ws", "sse"])
async def test_an_interrupting_message_takes_the_place_of_the_run_in_progress(gateway: Gateway, transport: str) -> None:
    async with gateway.client() as http:
        session = await new_session(http)
        async with watch(gateway, transport, session) as viewer:
            await viewer.until_type("caught_up")
            first = await started(http, session, SLOW)
            await viewer.until_type("stream_delta")
            waits = await started(http, session, QUICK, on_conflict="queue")
            now = await started(http, session, QUICK, on_conflict="interrupt")
            items = [item for _ in range(3) for item in await viewer.until_terminal()]
        assert rise(items)
        assert [item.message["run_id"] for item in items if item.type == "stream_start"] == [now["id"], waits["id"]]
        assert [item.type for item in items if item.is_terminal] == ["stream_cancelled", "stream_end", "stream_end"]
        statuses = [await state(http, run) for run in (first, now, waits)]
        assert [(run["status"], run["number"]) for run in statuses] == [
            ("cancelled", 1),
            ("completed", 2),
            ("completed", 3),
        ]


async def test_a_viewer_that_comes_back_in_a_queue_loses_nothing(gateway: Gateway) -> None:
    async with gateway.client() as http:
        session = await new_session(http)
        runs = [await started(http, session, f"/quiet /length 30 /rate 100 {n}", on_conflict="queue") for n in range(4)]
        seen: list[Any] = []
        ends = 0
        while ends < 4:
            async with watch_ws(gateway, session, seen[-1].id if seen else "0") as viewer:
                for _ in range(11):
                    item = await viewer.next()
                    if item.id is not None:
                        seen.append(item)
                        ends += item.is_terminal
                    if ends == 4:
                        break
        assert rise(seen)
        everything = [event for run in runs for event in await every_event(http, session, run["id"])]
        deltas = [json.loads(event).get("delta", "") for event in everything]
        assert "".join(item.message.get("delta", "") for item in seen) == "".join(deltas)
        assert [item.raw for item in seen if item.is_terminal] == [e for e in everything if '"stream_end"' in e]


async def asked(viewer: Watch) -> dict[str, Any]:
    return (await viewer.until_type("approval_requested"))[-1].message


@pytest.mark.parametrize(("approved", "result"), [(True, "deleted"), (False, "not allowed: mine")])
async def test_a_question_is_answered_over_the_websocket(gateway: Gateway, approved: bool, result: str) -> None:
    async with gateway.client() as http:
        session = await new_session(http)
        async with watch_ws(gateway, session) as viewer:
            run = await started(http, session, f"/approve {QUICK}")
            question = await asked(viewer)
            assert (question["tool"], question["args"]) == ("delete_notes", {"older_than_days": 30})
            wrong = await ask(viewer, type="approve", call_id="other", approved=True)
            assert (wrong["type"], wrong["code"]) == ("error", "no_such_approval")
            wrong = await ask(viewer, type="approve", call_id=question["call_id"], approved="yes")
            assert (wrong["code"], wrong["message"]) == ("invalid_message", "$.approved: expected true or false")
            more = {} if approved else {"comment": "mine"}
            answer = {"type": "approve", "call_id": question["call_id"], "approved": approved, **more}
            assert viewer.socket is not None
            await viewer.socket.send(json.dumps(answer))
            items = await viewer.until_terminal()
            again = await ask(viewer, **answer)
            assert again["type"] == "ack"
            late = await ask(viewer, **{**answer, "approved": not approved})
            assert late["code"] == "no_such_approval"
        url = f"/sessions/{session}/runs/{run['id']}/approvals/{question['call_id']}"
        over_http = await http.post(url, json={"approved": approved, **more})
        assert over_http.status_code == 202
        (resolved,) = (item.message for item in items if item.type == "approval_resolved")
        assert {key: resolved[key] for key in answer if key != "type"} == {
            k: v for k, v in answer.items() if k != "type"
        }
        (called,) = (item.message for item in items if item.type == "tool_call")
        assert (called["result"], called["success"], called["call_id"]) == (result, approved, question["call_id"])
        assert (await state(http, run))["status"] == "completed"


async def test_a_question_survives_a_reload_and_anybody_answers_it_over_http(gateway: Gateway) -> None:
    async with gateway.client() as http:
        session = await new_session(http)
        run = await started(http, session, f"/approve {SLOW}")
        async with watch_ws(gateway, session) as viewer:
            question = await asked(viewer)
        path = f"/sessions/{session}/runs/{run['id']}"
        async with watch_sse(gateway, f"{path}/events") as reloaded:
            assert await asked(reloaded) == question
            url = f"{path}/approvals/{question['call_id']}"
            for _ in range(2):
                answer = await http.post(url, json={"approved": True, "comment": "fine"})
                assert (answer.status_code, answer.json()) == (
                    202,
                    {"call_id": question["call_id"], "approved": True, "comment": "fine"},
                )
            otherwise = await http.post(url, json={"approved": False})
            assert (otherwise.status_code, otherwise.json()["code"]) == (404, "no_such_approval")
            await http.post(f"{path}/cancel")
            assert [item.type for item in logged(await reloaded.rest())].count("approval_resolved") == 1
        unknown = await http.post(f"/sessions/{session}/runs/run_of_nobody/approvals/x", json={"approved": True})
        assert (unknown.status_code, unknown.json()["code"]) == (404, "run_not_found")
        wrong = await http.post(url, json={"approved": 1})
        assert (wrong.status_code, wrong.json()["code"]) == (422, "invalid_message")


async def test_a_run_that_waits_for_an_answer_can_be_cancelled(gateway: Gateway) -> None:
    async with gateway.client() as http:
        session = await new_session(http)
        run = await started(http, session, "/approve")
        async with watch_ws(gateway, session) as viewer:
            await asked(viewer)
            assert (await ask(viewer, type="cancel"))["run_id"] == run["id"]
        assert (await ended(http, run))["status"] == "cancelled"
        types = [json.loads(event)["type"] for event in await every_event(http, session, run["id"])]
        assert types[-3:] == ["tool_call", "approval_resolved", "stream_cancelled"]


async def test_retries_at_once_over_both_transports_start_one_run(gateway: Gateway) -> None:
    async with gateway.client() as http:
        for on_conflict in ("reject", "queue", "interrupt"):
            session = await new_session(http)
            body = {"content": f"{QUICK} once", "idempotency_key": "k", "on_conflict": on_conflict}

            async def over_ws(session: str = session, body: dict[str, Any] = body) -> str:
                async with watch_ws(gateway, session) as viewer:
                    return str((await ask(viewer, type="message", **body))["run_id"])

            async def over_http(session: str = session, body: dict[str, Any] = body) -> str:
                answer = await post(http, session, **body)
                assert answer.status_code in (200, 202)
                return str(answer.json()["id"])

            async with asyncio.timeout(PATIENCE):
                ids = await asyncio.gather(*[call() for _ in range(5) for call in (over_ws, over_http)])
            assert len(set(ids)) == 1
            assert len((await http.get(f"/sessions/{session}/runs")).json()["items"]) == 1
            other = await post(http, session, **body | {"content": "another"})
            assert (other.status_code, other.json()["code"]) == (422, "idempotency_mismatch")


@pytest.mark.parametrize(
    "kind", ["cooperates", "swallows", "in_a_tool_call", "in_a_thread", "cleans_up_slowly", "fails_while_it_stops"]
)
async def test_cancelling_ends_a_run_whatever_its_agent_does(launch: Launch, kind: str) -> None:
    gateway = launch(agent=f"stopping:{kind}")
    async with gateway.client() as http:
        session = await new_session(http)
        run = await started(http, session, "go")
        async with watch_ws(gateway, session) as viewer:
            await viewer.until_type("tool_started" if kind == "in_a_tool_call" else "stream_delta")
            assert (await ask(viewer, type="cancel"))["type"] == "ack"
            items = await viewer.until_terminal()
        assert items[-1].type == "stream_cancelled"
        assert items[-1].message["content"] == ("" if kind == "in_a_tool_call" else "so far")
        again = await http.post(f"/sessions/{session}/runs/{run['id']}/cancel")
        assert (again.status_code, again.json()["status"]) == (202, "cancelled")
        assert [json.loads(e)["type"] for e in await every_event(http, session, run["id"])][-1] == "stream_cancelled"
        assert (await started(http, session, "again"))["number"] == 2


async def test_runs_that_take_too_long_or_say_nothing_or_too_much_end_typed(launch: Launch) -> None:
    gateway = launch(run_deadline="1.5", idle_timeout="0.5", max_run_events="400")
    async with gateway.client() as http:
        for content, code in (
            ("/quiet /length 5000 /rate 50", "deadline_exceeded"),
            ("/quiet /length 5 /rate 0.1", "agent_idle"),
            ("/quiet /length 5000 /rate 0", "log_full"),
        ):
            run = await ended(http, await started(http, await new_session(http), content))
            assert (run["status"], run["error"]["code"]) == ("failed", code)
            last = json.loads((await log_of(http, run["session_id"], run["id"]))[-1])
            assert (last["type"], last["code"], last["id"]) == ("error", code, run["position"])


@pytest.mark.slow
async def test_a_run_nobody_follows_ends_after_its_grace_also_while_it_waits(launch: Launch) -> None:
    gateway = launch(disconnect_grace="0.3")
    async with gateway.client() as http:
        session = await new_session(http)
        goes_on = await started(http, session, "/quiet /length 60 /rate 40")
        left = await started(http, session, QUICK, on_conflict="queue", on_disconnect="cancel")
        assert (await ended(http, goes_on))["status"] == "completed"
        assert (await state(http, left))["status"] == "cancelled"
        async with watch_ws(gateway, session) as viewer:
            kept = await started(http, session, "/quiet /length 60 /rate 40", on_disconnect="cancel")
            await viewer.until(lambda item: item.is_terminal and str(item.id).startswith(f"{kept['number']}-"))
        assert (await state(http, kept))["status"] == "completed"
