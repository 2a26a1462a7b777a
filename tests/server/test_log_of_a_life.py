"""What the log says of a server's life, from its start to its end."""

import asyncio
import json
from importlib.metadata import version

import pytest

from tests.callers import ADA, keyed, shows
from tests.gateway import Launch, new_session, start
from tests.watching import watch_sse, watch_ws

pytestmark = pytest.mark.anyio


async def test_a_server_says_when_it_starts_when_it_is_told_to_go_and_when_it_has_gone(launch: Launch) -> None:
    gateway = launch(drain_timeout="0")
    async with gateway.client() as http:
        session = await new_session(http)
        await start(http, session, "/quiet /rate 0.01")
        await start(http, session, "next", on_conflict="queue")
    async with watch_ws(gateway, session) as viewer:
        await viewer.until_type("stream_start")
        async with watch_sse(gateway, f"/sessions/{session}/events") as stream:
            await stream.until_type("stream_start")
            await asyncio.to_thread(gateway.stop)
    (started,), (draining,), _ = (gateway.said(f"server.{what}") for what in ("started", "draining", "stopped"))

    assert (started["url"], started["version"], started["auth"]) == (gateway.url, version("runcast"), "none")
    assert started["data_dir"] == str(gateway.data_dir)
    assert (draining["runs"], draining["queued"], draining["viewers"]) == (1, 1, 2)
    closed = gateway.said("socket.closed") + gateway.said("stream.closed")
    assert [(line["transport"], line["reason"], line.get("code")) for line in closed] == [
        ("websocket", "draining", 1012),
        ("sse", "draining", None),
    ]


async def test_lines_begin_with_when_how_bad_and_what(launch: Launch) -> None:
    gateway = launch()
    gateway.stop()

    for line in gateway.stderr.splitlines():
        assert list(json.loads(line))[:3] == ["timestamp", "level", "event"]


async def test_who_called_is_named_where_callers_authenticate(launch: Launch) -> None:
    gateway = keyed(launch)
    headers = shows(ADA.key)
    async with gateway.client(headers=headers) as http:
        session = await new_session(http)
    async with watch_ws(gateway, session, additional_headers=headers) as viewer:
        await viewer.until_type("caught_up")
    gateway.stop()
    (created,) = (line for line in gateway.said("request.answered") if line["path"] == "/sessions")
    (closed,) = gateway.said("socket.closed")

    assert (created["principal"], closed["principal"]) == ("ada", "ada")
    assert ADA.key not in gateway.stderr
