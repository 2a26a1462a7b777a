"""An agent that goes wrong in the way that its message names: `<way> [<how much>]`."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from typing import Any

from app.agents.base import Turn
from app.events import Custom, Event, TextDelta, ToolEvent, ToolStarted

Speech = AsyncGenerator[Event | str]
NUMBER = "{} "
SECRET = "what only the log may know"


class Unwritable:
    """No JSON value."""

    def __repr__(self) -> str:
        return "<unwritable>"


def odd_values() -> dict[str, Any]:
    """Values that no JSON encoder takes as they are."""
    knot: list[Any] = []
    knot.append(knot)
    return {
        "nan": float("nan"),
        "infinite": float("-inf"),
        "surrogate": "a\ud800b",
        "object": Unwritable(),
        "bytes": b"\xff",
        "set": {1},
        "knot": knot,
        "huge": 10**5000,
        "keys": {(1, 2): 3},
    }


async def count(up_to: int) -> Speech:
    """Numbers, as fast as they are taken."""
    for number in range(up_to):
        yield NUMBER.format(number)


async def tick(up_to: int) -> Speech:
    """Numbers, a hundred a second."""
    for number in range(up_to):
        yield NUMBER.format(number)
        await asyncio.sleep(0.01)


async def crash(after: int) -> Speech:
    """So many events, and an exception."""
    for number in range(after):
        yield ToolStarted("look", {"at": number}) if number % 3 == 1 else NUMBER.format(number)
    raise ValueError(SECRET)


async def hang(after: int) -> Speech:
    """So many events, and nothing more for ever."""
    async for said in count(after):
        yield said
    await asyncio.get_running_loop().create_future()


async def block(milliseconds: int) -> Speech:
    """Something synchronous between two words."""
    yield "before "
    await asyncio.sleep(0.05)
    time.sleep(milliseconds / 1000)  # noqa: ASYNC251 - the fault
    yield "after"


async def pause(milliseconds: int) -> Speech:
    """Nothing at all between two words."""
    yield "before "
    await asyncio.sleep(milliseconds / 1000)
    yield "after"


async def swallow(_: int) -> Speech:
    """Takes no cancellation."""
    yield "here to stay"
    while True:
        with suppress(asyncio.CancelledError):
            await asyncio.get_running_loop().create_future()


async def flood(megabytes: int) -> Speech:
    """One huge thing of each kind."""
    huge = "x" * (megabytes << 20)
    yield ToolStarted("huge", {"argument": huge}, call_id="c")
    yield ToolEvent("huge", {"argument": huge}, huge, success=True, call_id="c")
    yield Custom("huge", [huge])
    yield TextDelta(huge[: 1 << 20])


async def odd(_: int) -> Speech:
    """Every value that no JSON encoder takes, wherever a value may stand."""
    values = odd_values()
    yield ToolStarted("odd", values, call_id="c")
    yield ToolEvent("odd", values, values, success=True, call_id="c")
    for name, value in values.items():
        yield Custom(name, value)
    yield "a\ud800b \ud83d\ude00"


WAYS: dict[str, Callable[[int], Speech]] = {
    way.__name__: way for way in (count, tick, crash, hang, block, pause, swallow, flood, odd)
}


async def agent(turn: Turn) -> Speech:
    """Do what the message says."""
    way, _, how_much = turn.content.partition(" ")
    async for said in WAYS[way](int(how_much or "0")):
        yield said
