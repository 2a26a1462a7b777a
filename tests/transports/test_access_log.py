"""What the log says of requests and connections: one line each, with what an operator asks about."""

import json
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from tests.gateway import Gateway, Launch, log_of, new_session, start
from tests.watching import watch, watch_ws

pytestmark = pytest.mark.anyio


async def lines_about(gateway: Gateway, path: str) -> list[dict[str, Any]]:
    """The log lines with this path, once the process has ended."""
    gateway.stop()
    lines = [json.loads(line) for line in gateway.stderr.splitlines()]
    return [line for line in lines if line.get("path") == path]


@pytest.mark.parametrize("transport", ["ws", "sse"])
async def test_a_viewer_gets_one_line_when_it_has_gone(launch: Launch, transport: str) -> None:
    gateway = launch()
    async with gateway.client() as http:
        session = await new_session(http)
        await log_of(http, session, await start(http, session, "/quiet /length 8 /rate 0"))
        async with watch(gateway, transport, session, "1-2") as viewer:
            got = await viewer.until_type("caught_up")
    path = f"/ws/sessions/{session}" if transport == "ws" else f"/sessions/{session}/events"
    (line,) = await lines_about(gateway, path)

    assert line["event"] == ("socket.closed" if transport == "ws" else "stream.closed")
    assert (line["transport"], line["dialect"]) == ("websocket" if transport == "ws" else "sse", "native")
    assert (line["reason"], line["sent"], line["resumed"]) == ("client_left", len(got), True)
    assert line["took"] > 0


async def test_the_line_of_a_refused_socket_names_code_and_reason(launch: Launch) -> None:
    gateway = launch()
    async with watch_ws(gateway, "nobody") as viewer:
        with pytest.raises(ConnectionClosed):
            await viewer.next()
    (line,) = await lines_about(gateway, "/ws/sessions/nobody")

    assert (line["event"], line["code"], line["reason"]) == ("socket.closed", 4004, "session_not_found")
    assert "sent" not in line


async def test_queries_and_bodies_are_not_logged(launch: Launch) -> None:
    gateway = launch()
    async with gateway.client() as http:
        session = (await http.post("/sessions", json={"title": "canary-body"})).json()["id"]
        await http.get(f"/sessions/{session}/messages", params={"ticket": "canary-query"})
        async with watch_ws(gateway, session, "canary-position") as viewer:
            assert (await viewer.next()).type == "error"
    (line,) = await lines_about(gateway, f"/sessions/{session}/messages")

    assert (line["event"], line["method"], line["status"]) == ("request.answered", "GET", 200)
    assert "canary" not in gateway.stderr


@pytest.mark.parametrize("path", ["/health/live", "/health/ready", "/metrics"])
async def test_probes_are_told_of_only_to_who_wants_to_know_everything(launch: Launch, path: str) -> None:
    counts = []
    for level in ("info", "debug"):
        gateway = launch(log_level=level)
        async with gateway.client() as http:
            assert (await http.get(path)).status_code == 200
        counts.append(len(await lines_about(gateway, path)))

    assert counts == [0, 1]
