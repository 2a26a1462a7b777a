"""A Fleet within one process: several registries that are one gateway, with the delays and losses that a test wants."""

from __future__ import annotations

import asyncio
import contextvars
import secrets
from collections.abc import Awaitable, Callable, Collection, Coroutine
from typing import Any

from attrs import define, field

from app.errors import NoAnswer, Refusal
from app.hosts.base import Fleet, Member, Missed, News, Order


async def at_once() -> None:
    """The pause of a network that takes no time."""
    await asyncio.sleep(0)


@define(eq=False)
class Street:
    """What the fleets of a gateway have in common: where each of them is, and until when its lease is good.

    Attributes:
        lease: seconds that a sign of life is good for; it is renewed after a third of that.
        patience: seconds that an answer is waited for.
    """

    lease: float = 7.0
    patience: float = 5.0
    fleets: dict[str, LocalFleet] = field(factory=dict)
    leases: dict[str, float] = field(factory=dict)


class LocalFleet:
    """One process of a street.

    Args:
        pause: waited for whenever something goes over the network; what waits when the process dies is lost.
        loses: whether the network loses what is sent now.

    Attributes:
        owner: whose its tasks are.
    """

    shared = True

    def __init__(
        self,
        street: Street,
        pause: Callable[[], Awaitable[None]] = at_once,
        loses: Callable[[], bool] = lambda: False,
    ) -> None:
        self.name = secrets.token_hex(8)
        self.meeting = "the street"
        self.owner: object | None = None
        self._street = street
        self._pause = pause
        self._loses = loses
        self._member: Member
        self._viewed: set[str] = set()
        self._subscribed: set[str] = set()
        self._inbox: asyncio.Queue[tuple[str, News | None]] = asyncio.Queue()
        self.tasks: set[asyncio.Task[Any]] = set()

    def join(self, member: Member) -> None:
        self._member = member
        self._street.fleets[self.name] = self
        self._renew()
        self._spawn(self._live())
        self._spawn(self._listen())

    async def ask(self, host: str, order: Order) -> None:
        answer: asyncio.Future[Refusal | None] = asyncio.get_running_loop().create_future()
        self._deliver(host, order, answer)
        try:
            async with asyncio.timeout(self._street.patience):
                refusal = await answer
        except TimeoutError:
            raise NoAnswer("the process that executes the run does not answer") from None
        if refusal is not None:
            raise refusal

    def send(self, host: str, order: Order) -> None:
        self._deliver(host, order, None)

    def tell(self, session_id: str, news: News) -> None:
        for other in self._others():
            if session_id in other._subscribed:
                other._inbox.put_nowait((session_id, Missed() if self._loses() else news))

    def viewed(self, what: str, viewers: int) -> None:
        if not viewers:
            self._viewed.discard(what)
            self._subscribed.discard(what)
        elif what not in self._viewed:
            self._viewed.add(what)
            self._inbox.put_nowait((what, None))

    async def viewed_elsewhere(self, *what: str) -> bool:
        await self._pause()
        seen = any(not other._subscribed.isdisjoint(what) for other in self._others())
        await self._pause()
        return seen

    async def gone(self, hosts: Collection[str]) -> frozenset[str]:
        await self._pause()
        now = asyncio.get_running_loop().time()
        return frozenset(host for host in hosts if self._street.leases.get(host, 0) < now)

    async def check(self) -> None:
        await self._pause()

    async def close(self) -> None:
        self.die()
        self._street.leases.pop(self.name, None)

    def die(self) -> None:
        """End as a killed process does: nothing is said any more, and the lease runs out."""
        self._street.fleets.pop(self.name, None)
        for task in self.tasks:
            task.cancel()

    def _others(self) -> list[LocalFleet]:
        return [fleet for fleet in self._street.fleets.values() if fleet is not self]

    def _deliver(self, host: str, order: Order, answer: asyncio.Future[Refusal | None] | None) -> None:
        async def under_way() -> None:
            await self._pause()
            if not self._loses() and (other := self._street.fleets.get(host)) is not None:
                other._spawn(other._carry_out(order, answer))

        self._spawn(under_way())

    async def _carry_out(self, order: Order, answer: asyncio.Future[Refusal | None] | None) -> None:
        await self._pause()
        refusal = None
        try:
            await self._member.obey(order)
        except Refusal as error:
            refusal = error
        await self._pause()
        if answer is not None and not answer.done() and not self._loses():
            answer.set_result(refusal)

    async def _live(self) -> None:
        while True:
            await asyncio.sleep(self._street.lease / 3.5)
            await self._pause()
            self._renew()

    def _renew(self) -> None:
        self._street.leases[self.name] = asyncio.get_running_loop().time() + self._street.lease

    async def _listen(self) -> None:
        while True:
            what, news = await self._inbox.get()
            await self._pause()
            if what not in self._viewed:
                continue
            if news is None:
                self._subscribed.add(what)
            self._member.hear(what, news or Missed())

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work, context=contextvars.Context())
        if self.owner is not None:  # in a simulation, which stops and ends tasks by whose they are
            task.owner = self.owner  # type: ignore[attr-defined]
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)


_: type[Fleet] = LocalFleet
