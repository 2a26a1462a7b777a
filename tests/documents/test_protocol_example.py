"""The example of docs/protocol.md, against a real server: frame by frame, line by line."""

import json
import re

import pytest

from tests.documents.likeness import alike, matches
from tests.documents.pages import Block
from tests.gateway import Gateway, log_of, new_session, start
from tests.raw_http import body, exchange, request
from tests.watching import Item, watch_ws

PAGE, SECTION = "docs/protocol.md", "10-an-example"

pytestmark = pytest.mark.anyio


def of_log(frames: list[str]) -> list[str]:
    return [frame for frame in frames if "id" in json.loads(frame)]


@pytest.mark.executes(PAGE, "text", section=SECTION)
async def test_a_conversation_over_the_websocket_is_as_it_is_shown(gateway: Gateway, blocks: list[Block]) -> None:
    opening, *lines = blocks[0].text.splitlines()
    async with gateway.client() as http:
        session = await new_session(http)
    assert matches(opening, f"→ GET /ws/sessions/{session}")
    shown: list[str] = []
    said: list[Item] = []
    async with watch_ws(gateway, session) as viewer:
        assert viewer.socket is not None
        for line in lines:
            if line.startswith("→ "):
                await viewer.socket.send(line.removeprefix("→ "))
                continue
            shown.append(line.removeprefix("← "))
            said.append(await viewer.next())

    frames = [item.raw for item in said]
    about_connection = [[frame for frame in each if frame not in of_log(each)] for each in (shown, frames)]
    for expected, got in zip((of_log(shown), about_connection[0]), (of_log(frames), about_connection[1]), strict=True):
        assert len(expected) == len(got)
        assert [pair for pair in zip(expected, got, strict=True) if not alike(*map(json.loads, pair))] == []


@pytest.mark.executes(PAGE, "http", "text", section=SECTION)
async def test_a_resumed_stream_is_as_it_is_shown(gateway: Gateway, blocks: list[Block]) -> None:
    _, asked, answered = blocks
    content = re.findall(r'"content":"(/quiet[^"]*)"', blocks[0].text)[0]
    async with gateway.client() as http:
        session = await new_session(http)
        run = await start(http, session, content)
        await log_of(http, session, run)
    line, *headers = asked.text.strip().splitlines()
    _, path, _ = line.split()
    path = path.replace("ses_…", session).replace("run_…", run)
    async with exchange(gateway, request(gateway, path, *headers)) as (status, got, reader):
        stream = (await body(reader)).decode()
    head, _, shown = answered.text.partition("\n\n")
    first, *shown_headers = head.splitlines()

    assert status == first
    assert dict(each.split(": ") for each in shown_headers).items() <= got.items()
    assert matches(shown.strip(), stream.strip())
