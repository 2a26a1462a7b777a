"""What every answer has, whatever was asked: headers that browsers heed, one safe line in the log, HEAD for GET."""

import json

import pytest

from tests.gateway import Gateway, Launch, new_session, start
from tests.raw_http import exchange, request, upgrade

pytestmark = pytest.mark.anyio

ALWAYS = {
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


async def test_every_answer_says_that_it_is_to_be_kept_framed_and_guessed_at_by_nobody(gateway: Gateway) -> None:
    async with gateway.client() as http:
        session = await new_session(http)
        answers = [
            await http.get("/sessions"),
            await http.post("/sessions"),
            await http.get("/sessions/nobody"),
            await http.get("/nowhere"),
            await http.put("/sessions"),
            await http.post("/sessions", content=b"{"),
            await http.options("/sessions"),
            await http.delete(f"/sessions/{session}"),
            await http.get("/schema/openapi.json"),
            await http.get("/metrics"),
        ]

    for answer in answers:
        assert ALWAYS.items() <= dict(answer.headers).items(), answer
        assert answer.headers["cache-control"] == "no-store", answer
        assert "server" not in answer.headers


async def test_a_stream_has_them_too_and_says_itself_how_it_is_cached(gateway: Gateway) -> None:
    async with gateway.client() as http:
        session = await new_session(http)
    async with exchange(gateway, request(gateway, f"/sessions/{session}/events")) as (_, headers, _):
        assert ALWAYS.items() <= headers.items()
        assert headers["cache-control"] == "no-cache, no-transform"


async def test_the_page_may_run_its_own_scripts_and_be_framed_by_nobody(gateway: Gateway) -> None:
    async with gateway.client() as http:
        page, client = await http.get("/"), await http.get("/client.js")

    policy = page.headers["content-security-policy"].split("; ")
    assert {"default-src 'self'", "frame-ancestors 'none'", "base-uri 'none'", "object-src 'none'"} <= set(policy)
    assert page.headers["cross-origin-opener-policy"] == "same-origin"
    assert client.headers["cross-origin-resource-policy"] == "cross-origin"
    for answer in (page, client):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-cache"


async def test_head_answers_as_get_would_without_the_body(gateway: Gateway) -> None:
    async with gateway.client() as http:
        session = await new_session(http)
        run = await start(http, session, "/quiet /rate 100 /length 2000")
        session_path = f"/sessions/{session}"
        for path in ("/", "/client.js", "/health/live", "/sessions", session_path, "/sessions/nobody", "/nowhere"):
            got, head = await http.get(path), await http.head(path)
            assert (head.status_code, head.content) == (got.status_code, b"")
            assert head.headers.keys() == got.headers.keys()
        for path in (f"/sessions/{session}/events", f"/sessions/{session}/runs/{run}/events"):
            head = await http.head(path)
            assert (head.status_code, head.headers["content-type"]) == (200, "text/event-stream")
        assert (await http.head(f"/sessions/{session}/runs/{run}/cancel")).status_code == 405
        assert (await http.get(f"/sessions/{session}/runs/{run}")).json()["status"] == "running"
        await http.post(f"/sessions/{session}/runs/{run}/cancel")


async def test_a_path_makes_one_line_in_the_log_whatever_it_holds(launch: Launch) -> None:
    gateway = launch(log_format="json")
    paths = [
        "/%0Aforged",
        "/%0d%0a%1b[31mred",
        "/a%00b",
        "/%e2%80%ae%c3%a4",
        "/%ff",
        "/" + "a" * 5000,
        '/"}{"event":"x',
    ]
    for path in paths:
        async with exchange(gateway, request(gateway, path)) as (status, _, _):
            assert status.split()[1] in ("400", "404")
        async with exchange(gateway, upgrade(gateway, f"/ws/sessions{path[:200]}")) as (status, _, _):
            assert status.split()[1][0] in "14"
    gateway.stop()
    lines = [json.loads(line) for line in gateway.stderr.splitlines()]

    logged = [line["path"] for line in lines if line["event"] == "request.answered"]
    assert len(logged) == len(paths)
    for path in logged:
        assert path.isascii()
        assert path.isprintable()
        assert len(path) <= 256
