"""What the log says of a server's life, from its start to its end."""

import asyncio
import json
from collections.abc import Callable
from importlib.metadata import version

import pytest

from app.sessions.engine import shown
from tests.callers import ADA, keyed, shows
from tests.gateway import Launch, new_session, start
from tests.postgres import postgres_server
from tests.runlog.servers import VALKEY, KeyServer, start_server
from tests.watching import watch_sse, watch_ws

__all__ = ["start_server"]

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


async def test_a_server_says_what_it_shares_with_others_and_not_how_to_get_in(
    start_server: Callable[..., KeyServer], launch: Launch
) -> None:
    valkey = start_server(VALKEY, "--appendonly", "yes")
    valkey.ask("ACL", "SETUSER", "ada", "on", ">canary", "~*", "&*", "+@all")
    address = valkey.url.removeprefix("redis://")
    database = postgres_server().migrated()
    secret = "one secret of all the processes"
    gateway = launch(database_url=database, redis_url=f"valkey://ada:canary@{address}", secret=secret)
    await asyncio.to_thread(gateway.stop)
    (started,), (inspected,) = gateway.said("server.started"), gateway.said("redis.inspected")

    assert started["redis"] == [f"valkey://{address}"]
    assert started["database"] == shown(database)
    assert inspected["version"].startswith("Valkey ")
    assert not any("canary" in json.dumps(line) for line in (started, inspected))
