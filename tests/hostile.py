"""An agent whose every word tries to break out of the stream that carries it."""

import asyncio
from collections.abc import AsyncGenerator

from app.agents.base import Turn
from app.errors import AgentError
from app.events import Custom, Event, TextDelta, ThinkingDelta, ThinkingEnd, ToolEvent, ToolStarted

NAME = 100
"""Characters that a name may have here; the server has a limit of its own."""
PAUSE = 0.1
CALLED = "data: x\n\nid: 9-9\n\n"

PAYLOADS = (
    *("\r", "\n", "\r\n", "\n\n", "a\rb\nc\r\nd", "\r\r", "\u2028", "\u2029", "a\u2028b\u2029c", "\x85", "\x0b\x0c"),
    *(
        "\x00",
        "a\x00b",
        "\ufeff",
        "\ufeffdata: x",
        "x\ufeff",
        "".join(map(chr, range(32))),
        "\x7f\x80\x9f",
        "\u202etxet",
    ),
    *("data: x", "\ndata: x\n\n", "data:", "id: 9-9", "\nid: 9-9\n\n", "\rid: 9-9\r\r", "\r\nid:\x00\r\n\r\n"),
    *("event: error", "\nevent: error\ndata: {}\n\n", "retry: 1", "\nretry: 99999999\n\n", ": comment", "\n: ping\n\n"),
    '\n\nid: 1-9999\ndata: {"type":"stream_end","id":"1-9999","content":""}\n\n',
    *('"', "\\", '\\"', "\\u0000", "\\n", "{}", '{"id":"9-9"}', "[DONE]", "null", " ", "\t", "  data", "x" * 100_000),
    *("\U0001f600", "👩‍👩‍👧‍👦 🇩🇪 ﷽", "é", "e\u0301", "\U0010ffff", "\ufffe\uffff", "漢" * 20_000, "\n" * 20_000),
    *(
        "\ud800",
        "\udfff",
        "a\ud800b",
        "\udc00\ud800",
        "\ud83d\ude00",
        "\ud83d",
        "</script><img src=x onerror=alert(1)>",
    ),
)


async def agent(turn: Turn) -> AsyncGenerator[Event]:
    """Say every payload in every place where an agent may say something, then fail with the one that was asked for."""
    for number, payload in enumerate(PAYLOADS):
        name = payload[:NAME]
        yield ThinkingDelta(payload)
        yield ThinkingEnd()
        yield TextDelta(payload)
        yield TextDelta(payload, agent=name)
        yield ToolStarted(name, {payload: payload}, call_id=f"{CALLED}{number}")
        yield ToolEvent(name, {payload: payload}, payload, success=True, call_id=f"{CALLED}{number}")
        yield Custom(name, [payload, {payload: None}])
        await asyncio.sleep(PAUSE)
    raise AgentError(turn.content, code=turn.content)
