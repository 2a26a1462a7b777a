"""What clients of a real server meet when the log that they come for was trimmed (P3.6)."""

import asyncio
import json

import httpx
import pytest

from tests.gateway import Gateway, Launch, every_event, new_session, start
from tests.watching import PATIENCE, watch, watch_sse

pytestmark = pytest.mark.anyio

QUICK = "/quiet /length 5 /rate 0"
ALMOST_A_SECOND = "0.00001"


async def until_trimmed(http: httpx.AsyncClient, session: str, run: str) -> list[str]:
    """The run's log as JSON, once it is trimmed."""
    async with asyncio.timeout(PATIENCE):
        while True:
            page = (await http.get(f"/sessions/{session}/runs/{run}/log")).raise_for_status().json()
            if page["events"] and page["events"][0]["type"] == "gap":
                assert page["done"]
                return [event["type"] for event in page["events"]]
            await asyncio.sleep(0.1)


@pytest.mark.parametrize("transport", ["ws", "sse"])
async def test_whoever_comes_too_late_is_told_and_gets_what_is_left(launch: Launch, transport: str) -> None:
    gateway: Gateway = launch(retention_days=ALMOST_A_SECOND)
    async with gateway.client() as http:
        session = await new_session(http)
        first = await start(http, session, QUICK)
        whole = [json.loads(event) for event in await every_event(http, session, first)]
        assert await until_trimmed(http, session, first) == ["gap", "stream_end"]
        second = await start(http, session, QUICK)
        last = whole[-1]["id"]
        async with watch(gateway, transport, session, after="1-3") as viewer:
            gap, terminal, begins = [await viewer.next() for _ in range(3)]
            assert gap.message | {"latest": ""} == {"type": "gap", "requested": "1-3", "earliest": last, "latest": ""}
            assert terminal.message == whole[-1]
            assert (begins.type, begins.message["run_id"]) == ("stream_start", second)
        async with watch_sse(gateway, f"/sessions/{session}/runs/{first}/events", after="1-3") as viewer:
            rest = [item.type for item in await viewer.rest()]
            assert rest == ["gap", "stream_end", "caught_up"]
        at_end = await http.get(f"/sessions/{session}/runs/{first}/events", headers={"last-event-id": last})
        shown = (await http.get(f"/sessions/{session}/messages")).json()["items"]
        found = (await http.get(f"/sessions/{session}/runs/{first}")).json()

    assert at_end.status_code == 204
    assert [said["role"] for said in shown][:2] == ["user", "assistant"]
    assert shown[1]["content"] == whole[-1]["content"]
    assert (found["status"], found["position"]) == ("completed", last)
