"""A task that follows across lost connections, and keeps what came until somebody takes it."""

from __future__ import annotations

import asyncio
from typing import Final, Literal

from app.client.errors import Unreachable
from app.client.lost import FIRST_S, Attempts, OnLost
from app.client.reading import Message, is_terminal, position
from app.client.streams import Ended, NoWebSocket, Stream, Transport
from app.dialects.messages import CaughtUp

_INBOX: Final = 64
"""Messages that wait for the program; beyond them the server waits, which keeps them for us anyway."""


class Follower:
    """Every message of a stream once and in order (P3.5).

    Args:
        stream: where it begins; its position moves on with what comes.
        transport: `auto` is WebSocket, or server-sent events where no WebSocket ever opened.
        only_run: whether the stream is that of one run, and ends with it.
        tell: told of each connection that is lost and taken up again.
    """

    def __init__(self, stream: Stream, transport: Transport | Literal["auto"], only_run: bool, tell: OnLost) -> None:
        self.transport: Transport = "sse" if transport == "sse" else "websocket"
        self._may_fall_back = transport == "auto"
        self._opened = False
        self._stream = stream
        self._only_run = only_run
        self._attempts = Attempts(tell, stream.server.base)
        self._inbox: asyncio.Queue[Message | None] = asyncio.Queue(_INBOX)
        self._attached = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin, and wait until the server has said where: of what happens from then on, nothing is missed.

        Raises:
            Refused: it will never say so.
        """
        self._task = asyncio.create_task(self._follow(), name="runcast.client")
        attached = asyncio.create_task(self._attached.wait())
        try:
            await asyncio.wait({self._task, attached}, return_when=asyncio.FIRST_COMPLETED)
            if self._task.done():
                self._task.result()
        except BaseException:
            await self.close()
            raise
        finally:
            attached.cancel()

    async def next(self) -> Message | None:
        """The next message; None when there will be no more.

        Raises:
            Refused: the server won't have us any more.
        """
        message = await self._inbox.get()
        if message is None:
            self._inbox.put_nowait(None)
            if self._task is not None and not self._task.cancelled():
                self._task.result()
        return message

    async def close(self) -> None:
        """Leave; whoever waits for a message learns that there are no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        while not self._inbox.empty():
            self._inbox.get_nowait()
        self._inbox.put_nowait(None)

    async def _follow(self) -> None:
        try:
            while True:
                self._attempts.begin()
                try:
                    await self._connection()
                except Unreachable as lost:
                    self._attempts.first = self._stream.retry or FIRST_S
                    await self._attempts.fail(lost, self._stream.after)
        except Ended:
            await self._inbox.put(None)
        except Exception:
            await self._inbox.put(None)
            raise

    async def _connection(self) -> None:
        if self.transport == "sse":
            await self._stream.by_events(self._give)
            return
        try:
            await self._stream.by_websocket(self._give)
        except NoWebSocket as none:
            if self._opened:  # and would again, once what is between has restarted
                raise
            if not self._may_fall_back:
                raise none.refusal or none from none
            await self._instead()

    async def _instead(self) -> None:
        self.transport = "sse"
        try:
            await self._stream.by_events(self._give)
        finally:
            if not self._opened:
                self.transport = "websocket"

    async def _give(self, message: Message) -> None:
        self._opened = True
        at = position(message)
        if at is not None:
            self._attempts.succeed()
        elif isinstance(message, CaughtUp):
            at = message.position
        await self._inbox.put(message)
        if at is not None:
            self._stream.after = at
            self._attached.set()
        if self._only_run and is_terminal(message):
            raise Ended
