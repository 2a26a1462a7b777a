"""Viewers that do not stay: each follows something to its end, from one door after another, and keeps what it got."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

import msgspec

PATIENCE = 5.0
"""Seconds that a door has to answer."""
LONGEST = 25.0
"""Seconds that a viewer stays at most before it leaves and comes back."""
FINAL = (4004, 4400, 4401, 4403)
TERMINAL = ("stream_end", "stream_cancelled", "error")
AWAY = (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError)

Message = dict[str, Any]


class Refused(Exception):
    """A door that does not let in; its answer is the argument."""


def position(text: str) -> tuple[int, int]:
    run, _, seq = text.partition("-")
    return int(run), int(seq or 0)


class Wanderer:
    """One viewer, over however many connections.

    Args:
        kind: `ws` and `sse` follow a session, `run` one run.
        path: what it follows.
        stay: seconds after which it leaves, on average.
        count: where what happens is counted, by name.

    Attributes:
        messages: those out of logs, as they came.
        run: the run that it follows, if it is one.
        last: the position at which nothing will follow, once that is known.
        wrong: what should not have happened.
    """

    def __init__(
        self, kind: str, path: str, chance: random.Random, stay: float, count: Counter[str], run: str | None
    ) -> None:
        self.messages: list[Message] = []
        self.last: tuple[int, int] | None = None
        self.wrong: list[str] = []
        self.run = run
        self._kind = kind
        self._path = path
        self._chance = chance
        self._stay = stay
        self._count = count
        self._complete = asyncio.Event()
        self._writer: asyncio.StreamWriter

    @property
    def at(self) -> tuple[int, int]:
        return position(self.messages[-1]["id"]) if self.messages else (0, 0)

    def ends_at(self, last: tuple[int, int]) -> None:
        """Nothing comes after this."""
        self.last = last
        self._look()

    async def wander(self, doors: Sequence[Callable[[], str]]) -> None:
        """Follow, until there is nothing more."""
        following = asyncio.create_task(self._wander(doors))
        complete = asyncio.create_task(self._complete.wait())
        try:
            await asyncio.wait({following, complete}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (following, complete):
                task.cancel()
            await asyncio.wait({following, complete})
        if not following.cancelled() and (error := following.exception()):
            raise error

    async def _wander(self, doors: Sequence[Callable[[], str]]) -> None:
        while True:
            try:
                await self._visit(self._chance.choice(doors)())
                await asyncio.sleep(self._chance.uniform(0, 0.5))
            except Refused as refused:
                self._count[f"refused {refused}"] += 1
                if str(refused)[:1] == "4" and str(refused) != "429":
                    self.wrong.append(f"refused with {refused}")
                await asyncio.sleep(self._chance.uniform(0.2, 1.5))
            except AWAY:
                self._count["cut"] += 1
                await asyncio.sleep(self._chance.uniform(0.1, 1))

    async def _visit(self, url: str) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                reader = await self._open(url)
            self._count["connections"] += 1
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(self._chance.expovariate(1 / self._stay), LONGEST)):
                    await self._read(reader)
                    return
            self._count["left"] += 1
        finally:
            if hasattr(self, "_writer"):
                self._writer.transport.abort()

    async def _open(self, url: str) -> asyncio.StreamReader:
        address = urlsplit(url)
        reader, self._writer = await asyncio.open_connection(address.hostname, address.port, limit=1 << 22)
        after = self.messages[-1]["id"] if self.messages else "0"
        lines = [f"GET {self._path}?after={after} HTTP/1.1", f"host: {address.netloc}"]
        if self._kind == "ws":
            lines += ["upgrade: websocket", "connection: upgrade", "sec-websocket-version: 13"]
            lines += [f"sec-websocket-key: {base64.b64encode(os.urandom(16)).decode()}"]
        self._writer.write("\r\n".join([*lines, "", ""]).encode())
        head = await reader.readuntil(b"\r\n\r\n")
        status = head[9:12].decode()
        if status == "204":
            self.wrong.append("204 before the terminal")
        if status not in ("200", "101"):
            raise Refused(status)
        return reader

    async def _read(self, reader: asyncio.StreamReader) -> None:
        async for text, given in self._frames(reader) if self._kind == "ws" else _events(reader):
            message = msgspec.json.decode(text)
            kind = message["type"]
            if "id" in message:
                if given not in (None, message["id"]):
                    self.wrong.append(f"the id of {message} was {given}")
                if position(message["id"]) <= self.at:
                    self.wrong.append(f"{message['id']} came after {self.at}")
                self.messages.append(message)
                self._count["messages"] += 1
                self._look()
            elif kind in ("gap", "error"):
                self.wrong.append(f"{message}")
        if self._kind == "run" and not self._complete.is_set():
            self.wrong.append("the stream of a run ended before its terminal")

    def _look(self) -> None:
        ended = self._kind == "run" and self.messages and self.messages[-1]["type"] in TERMINAL
        if ended or (self.last is not None and self.at >= self.last):
            self._complete.set()

    async def _frames(self, reader: asyncio.StreamReader) -> AsyncIterator[tuple[bytes, str | None]]:
        while True:
            head = await reader.readexactly(2)
            size = head[1]
            if size >= 126:  # noqa: PLR2004 - RFC 6455
                size = int.from_bytes(await reader.readexactly(2 if size == 126 else 8))  # noqa: PLR2004
            body = await reader.readexactly(size)
            match head[0] & 15:
                case 1:
                    yield body, None
                case 8:
                    code = int.from_bytes(body[:2])
                    self._count[f"closed {code}"] += 1
                    if code in FINAL:
                        self.wrong.append(f"closed with {code} {body[2:].decode()}")
                    return
                case 9:
                    self._writer.write(bytes([0x8A, 0x80 | len(body), 0, 0, 0, 0]) + body)


async def _events(reader: asyncio.StreamReader) -> AsyncIterator[tuple[bytes, str | None]]:
    """The data of each event, and its id; a proxy may have cut the stream into other chunks."""
    rest, given = b"", None
    while size := int(await reader.readuntil(b"\r\n"), 16):
        *lines, rest = (rest + (await reader.readexactly(size + 2))[:-2]).split(b"\n")
        for line in lines:
            if line.startswith(b"id: "):
                given = line[4:].decode()
            elif line.startswith(b"data: "):
                yield line[6:], given
            elif not line:
                given = None


def merged(messages: Sequence[Message]) -> list[Message]:
    """What they say, however deltas were merged on the way (P3.5)."""
    told: list[Message] = []
    for message in messages:
        last = told[-1] if told else {}
        if "delta" in message and (last.get("type"), last.get("agent")) == (message["type"], message.get("agent")):
            told[-1] = message | {"delta": last["delta"] + message["delta"]}
        else:
            told.append(message)
    return told
