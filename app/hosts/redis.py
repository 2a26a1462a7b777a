"""RedisFleet: processes that reach each other through a Valkey or Redis server.

Everything that one process says to another is published: orders on a channel of the host's own, news on one of the
session or run that they are about. Publishing is at most once, so an order that is to be answered is said again until
it is, or its time is over; carrying it out twice does no harm. That a process lives is a key that expires.
"""

from __future__ import annotations

import asyncio
import contextvars
import secrets
from collections.abc import Collection, Coroutine
from contextlib import suppress
from itertools import count
from typing import Any, Final

import structlog

from app.errors import NoAnswer, Refusal, StoreUnavailable
from app.hosts.base import Fleet, Member, Missed, News, Order
from app.hosts.lease import Lease
from app.hosts.messages import Answer, Envelope, decode, encode
from app.runlog.redis.pipe import Pipe
from app.runlog.redis.server import Server
from app.runlog.redis.subscriber import Subscriber

log = structlog.get_logger()

PATIENCE: Final = 5.0
"""Seconds for which an answer is waited for."""

_AGAIN: Final = 1.0
"""Seconds after which an order is given again that was not answered."""

_SHORT: Final = 2.0
"""Seconds for which a question to the server is tried; it is asked again anyway."""


class RedisFleet:
    """One process among those that use the same server and prefix. Made inside the event loop that uses it.

    Args:
        server: where they meet.
        prefix: before the names of all keys and channels.
        patience: see PATIENCE.
        lease: as of Lease.
    """

    shared = True

    def __init__(
        self,
        server: Server,
        *,
        prefix: str = "runcast:",
        patience: float = PATIENCE,
        **lease: float,
    ) -> None:
        self.name = secrets.token_hex(8)
        self._prefix = prefix
        self._patience = patience
        self._server = server
        self._pipe = Pipe(server)
        self._lease = Lease(self._pipe, prefix, self.name, **lease)
        self._loop = asyncio.get_running_loop()
        self._subscriber: Subscriber | None = None
        self._member: Member | None = None
        self._viewed: set[str] = set()
        self._numbers = count(1)
        self._asked: dict[int, asyncio.Future[Refusal | None]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()

    def join(self, member: Member) -> None:
        """As `Fleet.join`."""
        self._member = member
        self._subscriber = Subscriber(self._server, [self._host(self.name)], self._hear, self._connected)
        self._spawn(self._lease.renew_for_ever())

    @property
    def meeting(self) -> str:
        """As `Fleet.meeting`."""
        return self._lease.meeting

    async def ask(self, host: str, order: Order) -> None:
        """As `Fleet.ask`."""
        number = next(self._numbers)
        answer = self._asked[number] = self._loop.create_future()
        try:
            async with asyncio.timeout(self._patience):
                while not answer.done():
                    self._publish(self._host(host), Envelope(self.name, order, number))
                    await asyncio.wait({answer}, timeout=_AGAIN)
        except TimeoutError:
            raise NoAnswer("the process that executes the run does not answer; try again in a moment") from None
        finally:
            del self._asked[number]
        if (refusal := answer.result()) is not None:
            raise refusal

    def send(self, host: str, order: Order) -> None:
        """As `Fleet.send`."""
        self._publish(self._host(host), Envelope(self.name, order))

    def tell(self, session_id: str, news: News) -> None:
        """As `Fleet.tell`."""
        self._publish(self._views(session_id), Envelope(self.name, news))

    def viewed(self, what: str, viewers: int) -> None:
        """As `Fleet.viewed`."""
        if self._subscriber is None:
            return
        if not viewers:
            self._viewed.discard(what)
            self._subscriber.unsubscribe(self._views(what))
        elif what not in self._viewed:
            self._viewed.add(what)
            self._spawn(self._subscribe(self._subscriber, what))

    async def viewed_elsewhere(self, *what: str) -> bool:
        """As `Fleet.viewed_elsewhere`."""
        channels = [self._views(each) for each in what]
        answer = await self._pipe.ask("PUBSUB", "NUMSUB", *channels, patience=_SHORT)
        return any(int(number) > (each in self._viewed) for each, number in zip(what, answer[1::2], strict=True))

    async def gone(self, hosts: Collection[str]) -> frozenset[str]:
        """As `Fleet.gone`."""
        return await self._lease.gone(hosts)

    async def check(self) -> None:
        """As `Fleet.check`."""
        self._lease.check()

    async def close(self) -> None:
        """As `Fleet.close`."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        if self._subscriber is not None:
            await self._subscriber.stop()
        await self._lease.give_back()
        await self._pipe.stop()

    async def sign(self) -> None:
        """Give a sign of life.

        Raises:
            StoreUnavailable: the server does not take it.
        """
        await self._lease.sign()

    async def _subscribe(self, subscriber: Subscriber, what: str) -> None:
        if what not in self._viewed:  # it was looked at for no longer than a moment
            return
        with suppress(StoreUnavailable):  # then it is heard of once there is a connection
            await subscriber.subscribe(self._views(what))
            self._tell_member(what, Missed())
        if what not in self._viewed:
            subscriber.unsubscribe(self._views(what))

    def _connected(self) -> None:
        """There is a new connection; what was published meanwhile is lost, and so may be the lease."""
        self._lease.hurry()
        for what in self._viewed:
            self._tell_member(what, Missed())

    def _hear(self, channel: str, text: bytes) -> None:
        message = decode(text)
        match message:
            case Answer():
                waiting = self._asked.get(message.number)
                if waiting is not None and not waiting.done():
                    waiting.set_result(message.refusal)
            case Envelope() if channel == self._host(self.name):
                self._spawn(self._carry_out(message))
            case Envelope() if message.sender != self.name:
                self._tell_member(channel.removeprefix(self._views("")), message.what)
            case None:
                log.warning("message.unknown", channel=channel)

    def _tell_member(self, what: str, news: Any) -> None:
        if self._member is not None and what in self._viewed:
            self._member.hear(what, news)

    async def _carry_out(self, message: Envelope) -> None:
        if self._member is None:
            return
        refusal = None
        try:
            await self._member.obey(message.what)  # type: ignore[arg-type] # news are not sent to hosts
        except Refusal as error:
            refusal = error
        except Exception:
            log.exception("order.failed", order=type(message.what).__name__)
            return
        if message.number is not None:
            self._publish(self._host(message.sender), Answer.of(message.number, refusal))

    def _publish(self, channel: str, message: Envelope | Answer) -> None:
        body = encode(message)
        # Whoever does not get it finds out otherwise; old ones need not be kept until the server is back.
        self._pipe.submit(("PUBLISH", channel, body), lambda _: None, size=len(body), patience=_SHORT)

    def _host(self, name: str) -> str:
        return f"{self._prefix}host:{name}:orders"

    def _views(self, what: str) -> str:
        return f"{self._prefix}views:{what}"

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work, context=contextvars.Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def open_fleet(url: str, *, prefix: str = "runcast:", **options: float) -> RedisFleet:
    """Join the processes that use a server; its first sign of life is given when this returns.

    Args:
        url: as of RedisLog; of several servers, the first one is where processes meet.
        prefix: before the names of all keys and channels.
        options: as of RedisFleet.

    Raises:
        ConfigurationError: the address is none.
        StoreUnavailable: the server can't be reached.
    """
    fleet = RedisFleet(Server(url.partition(",")[0]), prefix=prefix, **options)
    try:
        await fleet.sign()
    except BaseException:
        await fleet.close()
        raise
    return fleet


_: type[Fleet] = RedisFleet
