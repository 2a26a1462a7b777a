"""What a server process exports to an OTLP receiver, set up by the standard variables alone."""

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gateway import Gateway, Launch, log_of, new_session, start
from tests.tracing.collector import Collector, collecting
from tests.watching import watch_sse, watch_ws

pytestmark = pytest.mark.anyio

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SHORT = "/quiet /length 8 /rate 0"


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    with collecting() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        monkeypatch.setenv("OTEL_SERVICE_NAME", "our-gateway")
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
        yield collector


async def test_each_connection_is_one_span(collector: Collector, launch: Launch) -> None:
    gateway = launch()
    async with gateway.client() as http:
        session = await new_session(http)
        run = await start(http, session, SHORT)
        await log_of(http, session, run)
    async with watch_ws(gateway, session, "1-2") as viewer:
        by_socket = len(await viewer.until_type("caught_up"))
    async with watch_sse(gateway, f"/sessions/{session}/runs/{run}/events") as stream:
        by_events = len(await stream.rest())
    spans = await asyncio.to_thread(collector.wait, 3)  # the run is one as well
    follows = {span.name: span for span in spans if span.name.startswith("follow")}

    assert follows.keys() == {"follow websocket", "follow sse"}
    assert [follows[name].attributes["runcast.messages.sent"] for name in follows] == [by_socket, by_events]
    assert follows["follow websocket"].attributes["runcast.resumed"] is True
    assert follows["follow sse"].attributes["runcast.close.reason"] == "run_ended"
    assert {span.resource["service.name"] for span in spans} == {"our-gateway"}


async def test_each_run_is_one_span_in_the_trace_of_the_request_that_started_it(
    collector: Collector, launch: Launch
) -> None:
    gateway = launch()
    async with gateway.client() as http:
        session = await new_session(http)
        body = {"content": f"{SHORT} the secret", "on_conflict": "queue"}
        headers = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
        run = (await http.post(f"/sessions/{session}/runs", json=body, headers=headers)).json()["id"]
        await log_of(http, session, run)
        failed = await start(http, session, f"{SHORT} /crash")
        await log_of(http, session, failed)
    spans = await asyncio.to_thread(collector.wait, 2)
    by_run = {span.attributes["runcast.run.id"]: span for span in spans}

    assert by_run.keys() == {run, failed}
    assert {span.name for span in spans} == {"invoke_agent default"}
    assert (by_run[run].trace, by_run[run].parent) == (TRACE, PARENT)
    assert by_run[run].attributes["gen_ai.conversation.id"] == session
    assert by_run[run].attributes["runcast.run.status"] == "completed"
    assert (by_run[run].failed, by_run[failed].failed) == (False, True)
    assert by_run[failed].attributes["error.type"] == "internal_error"
    assert by_run[failed].parent == ""
    assert not any(b"the secret" in body for body in collector.bodies)


async def test_a_run_that_a_command_started_links_to_its_connection(collector: Collector, launch: Launch) -> None:
    gateway = launch()
    async with gateway.client() as http:
        session = await new_session(http)
    async with watch_ws(gateway, session) as viewer:
        assert viewer.socket is not None
        await viewer.socket.send(json.dumps({"type": "message", "content": SHORT}))
        await viewer.until_terminal()
    spans = {span.name: span for span in await asyncio.to_thread(collector.wait, 2)}
    run, connection = spans["invoke_agent default"], spans["follow websocket"]

    assert (run.parent, run.links) == ("", (connection.id,))
    assert run.trace != connection.trace


async def test_what_is_left_is_exported_when_the_process_ends(
    collector: Collector, launch: Launch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "3600000")
    gateway = launch(drain_timeout="0")
    async with gateway.client() as http:
        session = await new_session(http)
    async with watch_ws(gateway, session) as viewer:
        await viewer.until_type("caught_up")
        gateway.stop()
    (span,) = await asyncio.to_thread(collector.wait, 1)

    assert span.attributes["runcast.close.reason"] == "draining"
    assert span.attributes["runcast.close.code"] == 1012


@pytest.mark.slow
async def test_a_collector_that_is_not_there_holds_nobody_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    gateway = Gateway(tmp_path, drain_timeout="0").start()
    async with gateway.client() as http:
        session = await new_session(http)
        await log_of(http, session, await start(http, session, SHORT))
    async with watch_ws(gateway, session, "0") as viewer:
        await viewer.until_type("caught_up")
    began = time.monotonic()
    status = gateway.stop()

    assert status == -15
    assert time.monotonic() - began < 6
    assert {json.loads(line)["logger"].partition(".")[0] for line in gateway.complaints} == {"opentelemetry"}
