"""Agents that are cancelled in the middle of something, for servers that tests start."""

import asyncio
import threading
from collections.abc import AsyncIterator

from app.agents.base import Turn
from app.events import Event, ToolStarted


async def cooperates(turn: Turn) -> AsyncIterator[Event | str]:
    yield "so far"
    await asyncio.Event().wait()


async def swallows(turn: Turn) -> AsyncIterator[Event | str]:
    yield "so far"
    while True:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            yield "not me"


async def in_a_tool_call(turn: Turn) -> AsyncIterator[Event | str]:
    yield ToolStarted("think", {}, call_id="c")
    await asyncio.Event().wait()


async def in_a_thread(turn: Turn) -> AsyncIterator[Event | str]:
    yield "so far"
    await asyncio.get_running_loop().run_in_executor(None, threading.Event().wait, 8)


async def cleans_up_slowly(turn: Turn) -> AsyncIterator[Event | str]:
    yield "so far"
    try:
        await asyncio.Event().wait()
    finally:
        await asyncio.sleep(0.2)
        yield "too late"


async def fails_while_it_stops(turn: Turn) -> AsyncIterator[Event | str]:
    yield "so far"
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        raise RuntimeError("in the way") from None
