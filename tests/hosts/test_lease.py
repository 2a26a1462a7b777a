"""Whether a host without a lease is dead for certain: what the server of leases has lost is nobody's death."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from attrs import define

from app.hosts.lease import Lease
from app.runlog.redis.pipe import Pipe
from app.runlog.redis.server import Server
from tests.house import PATIENCE
from tests.runlog.servers import KeyServer

pytestmark = pytest.mark.anyio

RENEW = 1.0
NEVER = 60.0
"""Seconds that nobody waits here."""


@define
class Host:
    """A process whose clock goes as the test says; the server's goes by itself.

    Attributes:
        now: what its clock shows, seconds.
    """

    lease: Lease
    server: KeyServer
    now: float = 100.0

    async def signs(self, after: float = RENEW) -> None:
        """Let it give a sign so many seconds after the last one."""
        self.now += after
        await self.lease.sign()

    async def is_sure(self) -> bool:
        """Whether it would take somebody without a lease for dead at once."""
        missing, certain = await self.lease._missing(["nobody"])
        assert missing == {"nobody"}
        return certain


@pytest.fixture
async def host(start_server: Callable[..., KeyServer], anyio_backend: str) -> AsyncIterator[Host]:
    """One that has signed for as long as a lease is good, at a server that was there all the time."""
    server = start_server()
    pipe = Pipe(Server(server.url))
    lease = Lease(pipe, "t:", "me", lease=2.0, renew=RENEW, confirm=NEVER)
    host = Host(lease, server)
    lease._now = lambda: host.now
    lease._renewed = lease._on_time_since = host.now
    await host.signs()
    assert not await host.is_sure()
    async with asyncio.timeout(PATIENCE):
        while not lease._remembers:
            await asyncio.sleep(0.05)  # the time that the server remembers is its own
            await host.signs()
    yield host
    await pipe.stop()


async def test_a_death_is_certain_at_once_where_nothing_was_lost(host: Host) -> None:
    async with asyncio.timeout(PATIENCE):
        assert await host.lease.gone(["me", "nobody"]) == {"nobody"}


async def test_a_server_that_was_emptied_is_believed_only_after_a_while(host: Host) -> None:
    host.server.ask("FLUSHALL")
    assert not await host.is_sure()
    await host.signs()
    assert not await host.is_sure()


async def test_a_server_that_has_an_older_sign_of_whoever_asks_is_not_believed(host: Host) -> None:
    host.server.ask("SET", "t:host:me", "1", "KEEPTTL")
    assert not await host.is_sure()
    await host.signs()
    assert await host.is_sure()


async def test_who_could_not_sign_in_time_does_not_believe_that_others_could(host: Host) -> None:
    host.now += 2 * RENEW
    assert not await host.is_sure()
    await host.signs(after=0.0)
    assert not await host.is_sure()
    await host.signs()
    await host.signs()
    assert await host.is_sure()


async def test_a_sign_that_is_given_while_the_server_is_asked_makes_nobody_less_sure(host: Host) -> None:
    asking = asyncio.create_task(host.is_sure())
    signing = asyncio.create_task(host.signs())  # it begins before the answer can have come
    assert await asking
    await signing
