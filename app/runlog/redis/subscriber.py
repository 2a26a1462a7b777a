"""A subscriber: one connection on which a process hears of every channel that it wants.

Publishing is at most once: whoever was not connected is told nothing. So a message is a hint, never the truth, and
after every new connection whoever listens has to look for what was missed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final

import structlog
from redis.exceptions import RedisError

from app.errors import StoreUnavailable
from app.runlog.redis.pipe import PATIENCE, TIMEOUT
from app.runlog.redis.server import Server, Wire

log = structlog.get_logger()

_MANY: Final = 64
"""Messages after which everybody else has a turn."""


class Subscriber:
    """Made inside the event loop that uses it.

    Args:
        always: channels that are wanted from the beginning.
        heard: called with the channel and the body of each message. It must not raise.
        connected: called when there is a new connection and every wanted channel is heard again.
        ping: seconds between the proofs that the connection lives; it is replaced when one fails for as long again.
    """

    def __init__(
        self,
        server: Server,
        always: Iterable[str],
        heard: Callable[[str, bytes], None],
        connected: Callable[[], None],
        *,
        ping: float = 2.0,
    ) -> None:
        self._server = server
        self._heard = heard
        self._connected = connected
        self._ping = ping
        self._wanted: dict[str, asyncio.Future[None]] = {}
        self._fresh: set[str] = set()
        self._stale: set[str] = set()
        self._changed = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._last = 0.0
        self._away = False
        for channel in always:
            self._want(channel)
        self._worker = self._loop.create_task(self._work())

    async def subscribe(self, channel: str) -> None:
        """Return once whatever is published from now on will be heard, unless the connection is lost.

        Raises:
            StoreUnavailable: the server can't be reached.
        """
        ready = self._wanted.get(channel) or self._want(channel)
        try:
            async with asyncio.timeout(PATIENCE):
                await asyncio.shield(ready)
        except TimeoutError as error:
            raise StoreUnavailable(f"{self._server.name} can't be reached") from error

    def unsubscribe(self, channel: str) -> None:
        """Hear no more of a channel."""
        ready = self._wanted.pop(channel, None)
        if ready is not None:
            _finish(ready)
            self._fresh.discard(channel)
            self._stale.add(channel)
            self._changed.set()

    async def stop(self) -> None:
        """Close the connection."""
        self._worker.cancel()
        with suppress(asyncio.CancelledError):
            await self._worker
        for ready in self._wanted.values():
            _finish(ready)

    def _is_back(self) -> None:
        if self._away:
            self._away = False
            log.info("redis.connected_again", server=self._server.name)
        self._connected()

    def _want(self, channel: str) -> asyncio.Future[None]:
        ready = self._wanted[channel] = self._loop.create_future()
        self._stale.discard(channel)
        self._fresh.add(channel)
        self._changed.set()
        return ready

    async def _work(self) -> None:
        while True:
            try:
                async with asyncio.timeout(TIMEOUT):
                    wire = await self._server.connect()
                try:
                    await self._serve(wire)
                finally:
                    await wire.close()
            except Exception as error:  # whatever it is, who follows must hear again
                if not isinstance(error, RedisError | OSError):
                    log.exception("redis.failed", server=self._server.name)
                if not self._away:
                    self._away = True
                    log.warning("redis.disconnected", server=self._server.name, reason=str(error))
                await asyncio.sleep(min(self._ping, 0.2))

    async def _serve(self, wire: Wire) -> None:
        self._stale.clear()
        self._fresh = set(self._wanted)
        for channel, ready in self._wanted.items():
            if ready.done():
                self._wanted[channel] = self._loop.create_future()
        self._changed.set()
        self._last = self._loop.time()
        hearing = self._loop.create_task(self._hear(wire, set(self._wanted)))
        hearing.add_done_callback(lambda _: self._changed.set())
        try:
            while not hearing.done() and self._loop.time() - self._last <= 2 * self._ping:
                await self._say(wire)
        finally:
            hearing.cancel()
            await asyncio.wait({hearing})
        if not hearing.cancelled():
            hearing.result()

    async def _say(self, wire: Wire) -> None:
        """Ask for what has changed; or, if nothing has for a while, for a sign of life."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._ping):
                await self._changed.wait()
        self._changed.clear()
        fresh, self._fresh = self._fresh, set()
        stale, self._stale = self._stale, set()
        commands = [(verb, *sorted(names)) for verb, names in (("SUBSCRIBE", fresh), ("UNSUBSCRIBE", stale)) if names]
        async with asyncio.timeout(2 * self._ping):
            await wire.send(commands or [("PING",)])

    async def _hear(self, wire: Wire, missing: set[str]) -> None:
        count = 0
        while True:
            message = await wire.receive()
            if isinstance(message, RedisError):
                raise message
            kind, channel, *rest = message
            self._last = self._loop.time()
            if kind == b"message":
                self._heard(channel.decode(), rest[0])
            elif kind == b"subscribe":
                name = channel.decode()
                if (ready := self._wanted.get(name)) is not None:
                    _finish(ready)
                if name in missing:
                    missing.discard(name)
                    if not missing:
                        self._is_back()
            count += 1
            if count % _MANY == 0:
                await asyncio.sleep(0)


def _finish(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)
