"""What the client's tests share: reading up to a point, and comparing what was read with the log."""

import asyncio
from collections.abc import AsyncIterator, Callable

from app.client import Message, UnknownMessage, is_terminal
from app.dialects import native
from tests.gateway import Gateway, every_event
from tests.watching import PATIENCE, Item, rise, story

TRANSPORTS = ("websocket", "sse")


async def until(messages: AsyncIterator[Message], reached: Callable[[Message], bool]) -> list[Message]:
    """Everything up to the first message that answers to `reached`, and that one."""
    async with asyncio.timeout(PATIENCE):
        seen = [await anext(messages)]
        while not reached(seen[-1]):
            seen.append(await anext(messages))
        return seen


async def until_terminal(messages: AsyncIterator[Message]) -> list[Message]:
    return await until(messages, is_terminal)


async def some(messages: AsyncIterator[Message], kind: str = "stream_delta") -> list[Message]:
    """Up to the first of a type."""
    return await until(messages, lambda message: message.type == kind)


def items(messages: list[Message]) -> list[Item]:
    known = [message for message in messages if not isinstance(message, UnknownMessage)]
    assert len(known) == len(messages)
    return [Item.of(native.encode(message).decode()) for message in known]


async def is_exact(gateway: Gateway, session: str, run: str, messages: list[Message]) -> None:
    """Nothing of the run is missing, nothing came twice, and all of it in order."""
    async with gateway.client() as http:
        log = [Item.of(raw) for raw in await every_event(http, session, run)]
    seen = items(messages)
    assert rise(seen)
    assert story(seen) == story(log)
