"""Viewers of a session or a run, by clients that nobody wrote for this server: websockets, httpx and httpx-sse."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import aclosing, asynccontextmanager
from itertools import pairwise
from typing import Any, Self

from attrs import frozen
from httpx_sse import aconnect_sse
from websockets.asyncio.client import ClientConnection, connect

from tests.gateway import Gateway

PATIENCE = 20.0
"""Seconds until a test gives up on a message."""

Json = dict[str, Any]


@frozen
class Item:
    """One message as it came: the JSON text, and the id that the transport gave it."""

    raw: str
    id: str | None

    @classmethod
    def of(cls, raw: str) -> Self:
        return cls(raw, json.loads(raw).get("id"))

    @property
    def message(self) -> Json:
        return dict(json.loads(self.raw))

    @property
    def type(self) -> str:
        return str(self.message["type"])

    @property
    def is_terminal(self) -> bool:
        return self.id is not None and self.type in {"stream_end", "stream_cancelled", "error"}


class Watch:
    """An open viewer."""

    def __init__(self, items: AsyncIterator[Item], socket: ClientConnection | None = None) -> None:
        self._items = items
        self.socket = socket

    async def next(self) -> Item:
        """The next message.

        Raises:
            StopAsyncIteration: the stream ended.
        """
        async with asyncio.timeout(PATIENCE):
            return await anext(self._items)

    async def until(self, reached: Callable[[Item], bool]) -> list[Item]:
        """Everything up to the first message that answers to `reached`, and that one."""
        items = [await self.next()]
        while not reached(items[-1]):
            items.append(await self.next())
        return items

    async def until_type(self, kind: str) -> list[Item]:
        return await self.until(lambda item: item.type == kind)

    async def until_terminal(self) -> list[Item]:
        return await self.until(lambda item: item.is_terminal)

    async def rest(self) -> list[Item]:
        """Everything up to the end of the stream."""
        async with asyncio.timeout(PATIENCE):
            return [item async for item in self._items]


@asynccontextmanager
async def watch_ws(gateway: Gateway, session: str, after: str | None = None, **options: Any) -> AsyncIterator[Watch]:
    query = f"?after={after}" if after is not None else ""
    url = f"{gateway.ws_url}/ws/sessions/{session}{query}"
    # Behind a full queue the client would not read the answer to its close, and wait ten seconds for it.
    options = {"max_size": None, "max_queue": None, "compression": None} | options
    async with connect(url, **options) as socket, aclosing(_texts(socket)) as items:
        yield Watch(items, socket)


async def _texts(socket: ClientConnection) -> AsyncIterator[Item]:
    async for text in socket:
        assert isinstance(text, str)
        yield Item.of(text)


@asynccontextmanager
async def watch_sse(
    gateway: Gateway, path: str, after: str | None = None, *, params: dict[str, str] | None = None, **options: Any
) -> AsyncIterator[Watch]:
    """Follow what a path leads to."""
    params = {**(params or {}), **({"after": after} if after is not None else {})}
    async with (
        gateway.client() as http,
        aconnect_sse(http, "GET", path, params=params, **options) as source,
    ):
        source.response.raise_for_status()
        async with aclosing(source.aiter_sse()) as events, aclosing(_items(events)) as items:
            yield Watch(items)


async def _items(events: AsyncIterator[Any]) -> AsyncIterator[Item]:
    async for event in events:
        if event.data:  # a comment or a retry line alone makes an event without data
            yield Item(event.data, json.loads(event.data).get("id"))


def watch(gateway: Gateway, transport: str, session: str, after: str | None = None) -> Any:
    """Follow a session over either transport."""
    if transport == "ws":
        return watch_ws(gateway, session, after)
    return watch_sse(gateway, f"/sessions/{session}/events", after)


async def say(gateway: Gateway, transport: str, session: str, content: str) -> None:
    """Start a run the way that goes with a transport: by a frame, or by a POST."""
    if transport == "sse":
        async with gateway.client() as http:
            (await http.post(f"/sessions/{session}/runs", json={"content": content})).raise_for_status()
        return
    async with watch_ws(gateway, session) as viewer:
        assert viewer.socket is not None
        await viewer.socket.send(json.dumps({"type": "message", "content": content, "request_id": "say"}))
        await viewer.until_type("ack")


def logged(items: Iterable[Item]) -> list[Item]:
    """The messages that come out of a log."""
    return [item for item in items if item.id is not None]


def position(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("-"))


def rise(items: Iterable[Item]) -> bool:
    """Whether the ids rise strictly, so that none came twice."""
    ids = [position(item.id) for item in items if item.id is not None]
    return all(before < after for before, after in pairwise(ids))


def story(items: Iterable[Item]) -> list[Json]:
    """What a log says, however its deltas were merged on the way (P3.5)."""
    told: list[Json] = []
    for message in (item.message for item in items if item.id is not None):
        last = told[-1] if told else {}
        if "delta" in message and (last.get("type"), last.get("agent")) == (message["type"], message.get("agent")):
            told[-1] = message | {"delta": last["delta"] + message["delta"]}
        else:
            told.append(message)
    return told


def text_of(items: Iterable[Item]) -> str:
    """The main agent's text."""
    messages = [item.message for item in items]
    return "".join(m["delta"] for m in messages if m["type"] == "stream_delta" and "agent" not in m)


async def until(reached: Callable[[], bool]) -> None:
    """Wait for what nobody tells of: what stands in /proc, or in a log."""
    async with asyncio.timeout(PATIENCE):
        while not reached():  # noqa: ASYNC110 - see above
            await asyncio.sleep(0.02)


async def all_closed(gateway: Gateway, at_most: int) -> None:
    """Wait until the server holds no more than so many sockets."""
    await until(lambda: gateway.open_sockets <= at_most)


async def says(gateway: Gateway, event: str, times: int = 1) -> list[Json]:
    """Wait until the server's log has so many lines about an event."""
    async with asyncio.timeout(PATIENCE):
        while len(lines := gateway.said(event)) < times:  # noqa: ASYNC110 - a file has no event to wait for
            await asyncio.sleep(0.02)
        return lines
