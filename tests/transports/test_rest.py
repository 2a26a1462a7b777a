"""Section 5 of the protocol: what HTTP answers, and how it refuses."""

import asyncio
import json
from datetime import datetime
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed

from tests.gateway import Gateway, Launch, log_of, log_pages, new_session, start
from tests.raw_http import exchange, request
from tests.watching import PATIENCE, watch_sse, watch_ws

pytestmark = pytest.mark.anyio

QUICK = "/quiet /length 5 /rate 0"
LONG = "/quiet /length 5000 /rate 50"
PROBLEM = {"type", "title", "status", "detail", "code"}


def is_problem(answer: httpx.Response, status: int, code: str) -> bool:
    """Whether an answer is a problem of RFC 9457, and this one."""
    body = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert body.keys() - {"incident"} == PROBLEM
    assert body["status"] == answer.status_code
    assert body["type"] == f"urn:runcast:problem:{body['code']}"
    return (answer.status_code, body["code"]) == (status, code)


def is_time(text: str) -> bool:
    return datetime.fromisoformat(text).utcoffset() is not None


async def all_pages(http: httpx.AsyncClient, path: str, limit: int, *, each: int = 1) -> list[dict[str, Any]]:
    """Every item of a list, by pages; `each` is how many items count as one."""
    items: list[dict[str, Any]] = []
    params: dict[str, Any] = {"limit": limit}
    while True:
        page = (await http.get(path, params=params)).raise_for_status().json()
        assert len(page["items"]) <= limit * each
        items += page["items"]
        if page["next"] is None:
            return items
        params["cursor"] = page["next"]


async def test_a_session_is_created_found_listed_and_deleted(gateway: Gateway) -> None:
    async with gateway.client() as http:
        created = await http.post("/sessions", json={"title": "One", "profile": "default", "unknown": 1})
        session = created.json()
        path = f"/sessions/{session['id']}"
        found = await http.get(path)
        listed = (await http.get("/sessions")).json()["items"]
        deleted = await http.delete(path)
        gone = await http.get(path)

    assert created.status_code == 201
    assert session.keys() == {"id", "profile", "title", "created_at", "updated_at", "active_run"}
    assert (session["title"], session["profile"], session["active_run"]) == ("One", "default", None)
    assert is_time(session["created_at"])
    assert found.json() == session
    assert session in listed
    assert (deleted.status_code, deleted.content) == (204, b"")
    assert is_problem(gone, 404, "session_not_found")


async def test_sessions_are_listed_newest_first_by_pages(gateway: Gateway) -> None:
    async with gateway.client() as http:
        created = [await new_session(http) for _ in range(5)]
        listed = [session["id"] for session in await all_pages(http, "/sessions", 2)]

    assert listed[:5] == created[::-1]
    assert len(set(listed)) == len(listed)


async def test_a_run_is_started_shown_and_listed_by_pages(gateway: Gateway) -> None:
    async with gateway.client() as http:
        session = await new_session(http)
        path = f"/sessions/{session}/runs"
        answer = await http.post(path, json={"content": LONG})
        run = answer.json()
        active = (await http.get(f"/sessions/{session}")).json()["active_run"]
        cancelled = await http.post(f"{path}/{run['id']}/cancel")
        log = await log_of(http, session, run["id"])
        for _ in range(4):
            await log_of(http, session, await start(http, session, QUICK))
        rows = await all_pages(http, path, 2)
        shown = (await http.get(f"{path}/{run['id']}")).json()

    assert answer.status_code == 202
    assert (run["number"], run["status"], run["session_id"], run["error"]) == (1, "running", session, None)
    assert active == run["id"]
    assert cancelled.status_code == 202
    assert shown == rows[0]
    assert (shown["status"], shown["position"]) == ("cancelled", json.loads(log[-1])["id"])
    assert all(is_time(shown[name]) for name in ("created_at", "started_at", "ended_at"))
    assert [row["number"] for row in rows] == [1, 2, 3, 4, 5]


async def test_the_transcript_holds_what_both_sides_said(gateway: Gateway) -> None:
    async with gateway.client() as http:
        session = await new_session(http)
        first = await start(http, session, QUICK)
        said = json.loads((await log_of(http, session, first))[-1])["content"]
        second = await start(http, session, f"{QUICK} /error")
        await log_of(http, session, second)
        messages = await all_pages(http, f"/sessions/{session}/messages", 1, each=2)

    assert [(m["role"], m["run_id"]) for m in messages[:3]] == [
        ("user", first),
        ("assistant", first),
        ("user", second),
    ]
    assert messages[0]["content"] == QUICK
    assert messages[1]["content"] == said
    assert messages[0].keys() == {"role", "content", "run_id", "at", "images", "files"}


async def test_the_process_says_what_it_offers_and_how_it_is(gateway: Gateway) -> None:
    async with gateway.client() as http:
        profiles = (await http.get("/profiles")).json()
        live, ready = await http.get("/health/live"), await http.get("/health/ready")
        schema = (await http.get("/schema/openapi.json")).json()
        page, script = await http.get("/"), await http.get("/client.js")
        again = await http.get("/client.js", headers={"if-none-match": script.headers["etag"]})

    assert [profile["default"] for profile in profiles["items"]] == [True]
    assert (live.json(), ready.json()) == ({"status": "ok"}, {"status": "ok"})
    assert "/sessions/{session_id}/runs" in schema["paths"]
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert script.headers["content-type"] == "text/javascript; charset=utf-8"
    assert (again.status_code, again.content) == (304, b"")


SESSION_DOORS = [
    ("GET", ""),
    ("DELETE", ""),
    ("GET", "/messages"),
    ("GET", "/runs"),
    ("POST", "/runs"),
    ("GET", "/events"),
    ("GET", "/runs/run_x"),
    ("GET", "/runs/run_x/events"),
    ("GET", "/runs/run_x/log"),
    ("POST", "/runs/run_x/cancel"),
]


@pytest.mark.parametrize(("method", "path"), SESSION_DOORS, ids=lambda value: value or "session")
async def test_a_session_that_is_not_there_is_the_same_404_on_every_door(
    gateway: Gateway, method: str, path: str
) -> None:
    body = {"json": {"content": "hello"}} if (method, path) == ("POST", "/runs") else {}
    async with gateway.client() as http:
        deleted = await new_session(http)
        await http.delete(f"/sessions/{deleted}")
        answers = [
            await http.request(method, f"/sessions/{session}{path}", **body)
            for session in (deleted, "ses_of_nobody", "x" * 3000, "%00", "%2e%2e", "🙂")
        ]

    assert all(is_problem(answer, 404, "session_not_found") for answer in answers)
    assert len({answer.content for answer in answers}) == 1


@pytest.mark.parametrize(("method", "path"), [("GET", ""), ("GET", "/events"), ("GET", "/log"), ("POST", "/cancel")])
async def test_a_run_of_another_session_does_not_exist(gateway: Gateway, method: str, path: str) -> None:
    async with gateway.client() as http:
        session, other = await new_session(http), await new_session(http)
        run = await start(http, other, QUICK)
        answers = [
            await http.request(method, f"/sessions/{session}/runs/{run_id}{path}") for run_id in (run, "run_of_nobody")
        ]

    assert all(is_problem(answer, 404, "run_not_found") for answer in answers)
    assert answers[0].content == answers[1].content


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/schema/nothing", 404, "not_found"),
        ("GET", "/nowhere", 404, "not_found"),
        ("GET", "/sessions/a/b/c/d", 404, "not_found"),
        ("PUT", "/sessions", 405, "method_not_allowed"),
        ("DELETE", "/sessions", 405, "method_not_allowed"),
        ("POST", "/sessions/{session}/events", 405, "method_not_allowed"),
        ("GET", "/sessions?limit=0", 400, "invalid_message"),
        ("GET", "/sessions?limit=201", 400, "invalid_message"),
        ("GET", "/sessions?limit=-1", 400, "invalid_message"),
        ("GET", "/sessions?limit=many", 400, "invalid_message"),
        ("GET", "/sessions?limit=" + "9" * 5000, 400, "invalid_message"),
        ("GET", "/sessions?cursor=nonsense", 422, "invalid_message"),
        ("GET", "/sessions?cursor=%00", 422, "invalid_message"),
        ("GET", "/sessions/{session}/runs?limit=0", 400, "invalid_message"),
        ("GET", "/sessions/{session}/runs?cursor=nonsense", 422, "invalid_message"),
        ("GET", "/sessions/{session}/messages?cursor=nonsense", 422, "invalid_message"),
        ("GET", "/sessions/{session}/runs/{run}/log?limit=0", 400, "invalid_message"),
        ("GET", "/sessions/{session}/runs/{run}/log?limit=1001", 400, "invalid_message"),
        ("GET", "/sessions/{session}/runs/{run}/log?wait=31", 400, "invalid_message"),
        ("GET", "/sessions/{session}/runs/{run}/log?wait=-1", 400, "invalid_message"),
        ("GET", "/sessions/{session}/runs/{run}/log?wait=nan", 400, "invalid_message"),
        ("GET", "/sessions/{session}/runs/{run}/log?wait=inf", 400, "invalid_message"),
        ("GET", "/sessions/{session}/runs/{run}/log?wait=soon", 400, "invalid_message"),
    ],
)
async def test_a_wrong_request_is_a_problem(gateway: Gateway, method: str, path: str, status: int, code: str) -> None:
    async with gateway.client() as http:
        session = await new_session(http)
        run = await start(http, session, QUICK)
        answer = await http.request(method, path.format(session=session, run=run))

    assert is_problem(answer, status, code)


@pytest.mark.parametrize(
    ("route", "body", "code", "path"),
    [
        ("/sessions", b"nonsense", "invalid_json", "not JSON"),
        ("/sessions", b"\xff\xfe", "invalid_json", "not JSON"),
        ("/sessions", b"[" * 100_000, "invalid_json", "not JSON"),
        ("/sessions", b"[]", "invalid_message", "$:"),
        ("/sessions", b"3", "invalid_message", "$:"),
        ("/sessions", b'{"title":3}', "invalid_message", "$.title:"),
        ("/sessions", b'{"title":"%s"}' % (b"x" * 201), "invalid_message", "$.title:"),
        ("/sessions", b'{"profile":"nobody"}', "invalid_message", "$.profile:"),
        ("/sessions/{session}/runs", b"", "invalid_message", "$"),
        ("/sessions/{session}/runs", b"{}", "invalid_message", "$.content:"),
        ("/sessions/{session}/runs", b"[]", "invalid_message", "$:"),
        ("/sessions/{session}/runs", b"{", "invalid_json", "not JSON"),
        ("/sessions/{session}/runs", b'{"content":""}', "invalid_message", "$.content:"),
        ("/sessions/{session}/runs", b'{"content":null}', "invalid_message", "$.content:"),
        ("/sessions/{session}/runs", b'{"content":3}', "invalid_message", "$.content:"),
        ("/sessions/{session}/runs", b'{"content":"%s"}' % (b"x" * 100_001), "invalid_message", "$.content:"),
        ("/sessions/{session}/runs", b'{"content":"a","images":"b"}', "invalid_message", "$.images:"),
        ("/sessions/{session}/runs", b'{"content":"a","images":["b",3]}', "invalid_message", "$.images[1]:"),
        ("/sessions/{session}/runs", b'{"content":"a","images":["b"]}', "invalid_message", "$.images[0]:"),
        ("/sessions/{session}/runs", b'{"content":"a","on_conflict":"never"}', "invalid_message", "$.on_conflict:"),
        ("/sessions/{session}/runs", b'{"content":"a","on_disconnect":1}', "invalid_message", "$.on_disconnect:"),
    ],
)
async def test_a_wrong_body_is_a_problem_that_names_the_field(
    gateway: Gateway, route: str, body: bytes, code: str, path: str
) -> None:
    async with gateway.client() as http:
        session = await new_session(http)
        headers = {"content-type": "application/json"}
        answer = await http.post(route.format(session=session), content=body, headers=headers)
        runs = (await http.get(f"/sessions/{session}/runs")).json()["items"]

    assert is_problem(answer, 400 if code == "invalid_json" else 422, code)
    assert answer.json()["detail"].startswith(path)
    assert runs == []


@pytest.mark.parametrize("key", ["", "x" * 129, "a\tb", "é" * 129])
async def test_what_is_no_idempotency_key_is_refused_alike_in_a_header_and_in_a_body(
    gateway: Gateway, key: str
) -> None:
    async with gateway.client() as http:
        session = await new_session(http)
        path = f"/sessions/{session}/runs"
        by_header = await http.post(path, json={"content": "a"}, headers={"idempotency-key": key.encode()})
        by_body = await http.post(path, json={"content": "a", "idempotency_key": key})

    assert is_problem(by_header, 422, "invalid_message")
    assert is_problem(by_body, 422, "invalid_message")


async def test_an_idempotency_key_is_the_same_in_a_header_and_in_a_body(gateway: Gateway) -> None:
    async with gateway.client() as http:
        session = await new_session(http)
        path, message = f"/sessions/{session}/runs", {"content": "/quiet /rate 0 /length 1"}
        key = "é" * 128
        first = await http.post(path, json=message, headers={"idempotency-key": key.encode()})
        again = await http.post(path, json=message | {"idempotency_key": key})
        latin = await http.post(path, json=message, headers={"idempotency-key": key.encode("latin-1")})

    assert (first.status_code, again.status_code) == (202, 200)
    assert first.json()["id"] == again.json()["id"]
    assert is_problem(latin, 422, "invalid_message")


async def test_a_body_over_the_limit_is_too_large_whether_or_not_it_says_so(launch: Launch) -> None:
    gateway = launch(max_message_bytes="4096")

    async def pieces() -> Any:
        for _ in range(5):
            yield b" " * 1024

    async with gateway.client() as http:
        headers = {"content-type": "application/json"}
        declared = await http.post("/sessions", content=b" " * 5120, headers=headers)
        chunked = await http.post("/sessions", content=pieces(), headers=headers)
        fits = await http.post("/sessions", content=b"{}" + b" " * 4094, headers=headers)

    assert is_problem(declared, 413, "too_large")
    assert is_problem(chunked, 413, "too_large")
    assert fits.status_code == 201


async def test_cors_answers_name_allowed_origins_and_nobody_else(launch: Launch) -> None:
    gateway = launch(allowed_origins="https://app.example")
    allow, asked = "access-control-allow-origin", {"access-control-request-method": "POST"}
    async with gateway.client() as http:
        session = await new_session(http)
        for path in ("/sessions", f"/sessions/{session}/runs", f"/sessions/{session}/events"):
            wanted = {**asked, "access-control-request-headers": "content-type,idempotency-key,last-event-id"}
            friend = await http.options(path, headers={"origin": "https://app.example", **wanted})
            assert friend.is_success
            assert friend.headers[allow] == "https://app.example"
            assert "POST" in friend.headers["access-control-allow-methods"]
            assert "idempotency-key" in friend.headers["access-control-allow-headers"].lower()
            foe = await http.options(path, headers={"origin": "https://evil.example", **wanted})
            assert allow not in foe.headers
        for path in ("/sessions", "/sessions/ses_of_nobody", "/nowhere", "/sessions?limit=0"):
            friend = await http.get(path, headers={"origin": "https://app.example"})
            assert friend.headers[allow] == "https://app.example"
            assert "origin" in friend.headers["vary"].lower()
            foe = await http.get(path, headers={"origin": "https://evil.example"})
            assert allow not in foe.headers
        stream = request(gateway, f"/sessions/{session}/events", "origin: https://app.example")
        async with exchange(gateway, stream) as (_, headers, _):
            assert headers[allow] == "https://app.example"


async def test_without_allowed_origins_nobody_is_named(gateway: Gateway) -> None:
    async with gateway.client() as http:
        for method in ("OPTIONS", "GET"):
            headers = {"origin": "https://app.example", "access-control-request-method": "POST"}
            answer = await http.request(method, "/sessions", headers=headers)
            assert not [name for name in answer.headers if name.startswith("access-control")]


async def test_unsafe_methods_from_a_foreign_origin_are_forbidden(launch: Launch) -> None:
    gateway = launch(allowed_origins="https://app.example")
    async with gateway.client() as http:
        session = await new_session(http)
        for method, path in (
            ("POST", "/sessions"),
            ("POST", f"/sessions/{session}/runs"),
            ("POST", f"/sessions/{session}/runs/run_x/cancel"),
            ("DELETE", f"/sessions/{session}"),
        ):
            for origin in ("https://evil.example", "null", "http://app.example"):
                answer = await http.request(method, path, headers={"origin": origin}, content=b'{"content":"a"}')
                assert is_problem(answer, 403, "forbidden_origin")
        for origin in ("https://app.example", gateway.url):
            assert (await http.post("/sessions", headers={"origin": origin})).status_code == 201
        assert (await http.get("/sessions", headers={"origin": "https://evil.example"})).status_code == 200
        assert (await http.get(f"/sessions/{session}/runs")).json()["items"] == []


async def test_deleting_a_session_gives_its_viewers_the_terminal_and_then_the_end(gateway: Gateway) -> None:
    async with gateway.client() as http:
        session = await new_session(http)
        run = await start(http, session, LONG)
        async with (
            watch_ws(gateway, session) as socket,
            watch_sse(gateway, f"/sessions/{session}/events") as events,
            watch_sse(gateway, f"/sessions/{session}/runs/{run}/events") as run_events,
        ):
            for viewer in (socket, events, run_events):
                await viewer.until_type("stream_delta")
            deleted = await http.delete(f"/sessions/{session}")
            by_socket = await socket.until_terminal()
            with pytest.raises(ConnectionClosed):
                await socket.next()
            assert socket.socket is not None
            assert socket.socket.close_code == 4004
            by_events, by_run = await asyncio.gather(events.rest(), run_events.rest())
        afterwards = [await http.get(f"/sessions/{session}{path}") for path in ("", f"/runs/{run}", f"/runs/{run}/log")]

    assert deleted.status_code == 204
    for received in (by_socket, by_events, by_run):
        assert received[-1].type == "stream_cancelled"
        assert received[-1].raw == by_socket[-1].raw
    assert all(is_problem(answer, 404, "session_not_found") for answer in afterwards)


async def test_a_run_that_asked_for_it_is_cancelled_when_its_last_viewer_has_left(launch: Launch) -> None:
    gateway = launch(disconnect_grace="0.5")
    async with gateway.client() as http:
        session, unseen = await new_session(http), await new_session(http)
        async with watch_ws(gateway, session) as viewer:
            run = await start(http, session, LONG, on_disconnect="cancel")
            await viewer.until(lambda item: item.id is not None and int(item.id.partition("-")[2]) > 40)
            assert (await http.get(f"/sessions/{session}/runs/{run}")).json()["status"] == "running"
        never = await start(http, unseen, LONG, on_disconnect="cancel")
        async with asyncio.timeout(PATIENCE):
            ends = [await left_alone(http, session, run), await left_alone(http, unseen, never)]

    assert ends == ["cancelled", "cancelled"]


async def left_alone(http: httpx.AsyncClient, session: str, run: str) -> str:
    """The status of a run that nobody follows, once it has ended."""
    while (row := (await http.get(f"/sessions/{session}/runs/{run}")).json())["ended_at"] is None:  # noqa: ASYNC110
        await asyncio.sleep(0.05)  # to wait for an event would be to view it
    return str(row["status"])


async def test_everything_is_under_the_base_path(launch: Launch) -> None:
    gateway = launch(base_path="/some/where")
    assert gateway.url.endswith("/some/where")
    async with gateway.client() as http:
        session = await new_session(http)
        for path in ("/", "/client.js", "/profiles", "/health/live", "/schema/openapi.json", "/sessions"):
            assert (path, (await http.get(path)).status_code) == (path, 200)
        bare = await http.get(f"{gateway.url}?session=a")
        as_a_host = await http.get(gateway.url.replace("/some", "//some"))
        below = await http.get("/runs/?status=failed")
        paths = (await http.get("/schema/openapi.json")).json()["paths"]
        async with watch_ws(gateway, session) as socket, watch_sse(gateway, f"/sessions/{session}/events") as events:
            run = await start(http, session, QUICK)
            log = await log_of(http, session, run)
            for viewer in (socket, events):
                assert (await viewer.until_terminal())[-1].raw == log[-1]
        outside = [await http.get(f"{gateway.url.removesuffix('/some/where')}{path}") for path in ("/", "/sessions")]

    assert (bare.status_code, bare.headers["location"]) == (308, "/some/where/?session=a")
    assert (as_a_host.status_code, as_a_host.headers["location"]) == (308, "/some/where/")
    assert (below.status_code, below.headers["location"]) == (308, "/some/where/runs?status=failed")
    assert all(path.startswith("/some/where/") for path in paths)
    assert all(is_problem(answer, 404, "not_found") for answer in outside)


async def test_a_long_poll_wakes_with_the_next_event_and_ends_with_the_run(gateway: Gateway) -> None:
    async with gateway.client() as http:
        session = await new_session(http)
        run = await start(http, session, "/quiet /length 8 /rate 10")
        async with asyncio.timeout(PATIENCE):
            pages = [page async for page in log_pages(http, session, run)]
        params = {"after": pages[-1].next, "wait": 20}
        async with asyncio.timeout(5):
            ended = (await http.get(f"/sessions/{session}/runs/{run}/log", params=params)).json()

    assert len(pages) > 5
    assert all(page.events for page in pages)
    assert b'"stream_end"' in bytes(pages[-1].events[-1])
    assert ended == {"events": [], "next": pages[-1].next, "done": True}


async def test_a_long_poll_without_news_answers_empty_when_its_time_is_up(gateway: Gateway) -> None:
    async with gateway.client() as http:
        session = await new_session(http)
        run = await start(http, session, "/quiet /rate 0.01")
        path = f"/sessions/{session}/runs/{run}/log"
        begun = (await http.get(path, params={"wait": 20})).json()
        silent = (await http.get(path, params={"after": begun["next"], "wait": 0.2})).json()
        await http.post(f"/sessions/{session}/runs/{run}/cancel")

    assert begun["events"][0]["type"] == "stream_start"
    assert silent == {"events": [], "next": begun["next"], "done": False}


async def test_a_client_that_leaves_in_the_middle_of_its_body_is_no_fault_of_the_server(launch: Launch) -> None:
    server = launch()
    host, port = server.url.removeprefix("http://").split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    head = f"POST /sessions HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n"
    writer.write(head.encode() + b'{"title": ')
    await writer.drain()
    writer.close()
    await writer.wait_closed()

    async with server.client() as http, asyncio.timeout(PATIENCE):
        while '"method": "POST"' not in server.stderr:
            await http.get("/health/live")

    assert server.complaints == []
