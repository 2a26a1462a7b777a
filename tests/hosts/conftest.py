"""Several processes in one: a house for each of them, on one store and one log."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from attrs import define, field

from app.hosting import sweeping
from app.hosts.redis import RedisFleet
from app.runlog.base import RunLog
from app.runlog.memory import MemoryLog
from app.runlog.redis.log import RedisLog
from app.runlog.redis.server import Server
from tests.hosts.local_fleet import LocalFleet, Street
from tests.house import House, Puppet
from tests.runlog.servers import KeyServer, prefix, start_server, valkey
from tests.sessions.opening import STORES

__all__ = ["prefix", "start_server", "valkey"]

QUICK = {"PAUSE": 0.1}
"""Seconds between what the sweeps of a test do."""

LEASE, RENEW, CONFIRM = 0.8, 0.2, 0.4


class SharedLog(MemoryLog):
    """A log that outlives the processes."""

    async def close(self) -> None:
        """Somebody else may be at it."""


class MortalFleet(RedisFleet):
    """A RedisFleet that can end without a word."""

    def die(self) -> None:
        for task in (*self._tasks, *([self._subscriber._worker] if self._subscriber else [])):
            task.cancel()


@define(eq=False)
class Town:
    """The processes of one gateway. Each has an agent of its own, so that a test knows who executes a run.

    Attributes:
        server: where processes meet and logs are; without one, within this process.
        losing: whether the network loses orders and news just now; only without a server.
    """

    folder: Path
    url: str
    server: KeyServer | None = None
    prefix: str = ""
    street: Street = field(factory=lambda: Street(lease=LEASE, patience=2.0))
    memory: SharedLog = field(factory=SharedLog)
    losing: bool = False
    agents: list[Puppet] = field(factory=list)
    fleets: list[LocalFleet | MortalFleet] = field(factory=list)
    houses: list[House] = field(factory=list)
    _sweeps: list[AsyncExitStack] = field(factory=list)

    async def open(self, agent: Any = None, **options: Any) -> House:
        """One more process."""
        self.agents.append(agent or Puppet())
        fleet, log = await self._ground()
        self.fleets.append(fleet)
        house = await House.open(self.folder, self.agents[-1], live=log, url=self.url, fleet=fleet, **options)
        self.houses.append(house)
        self._sweeps.append(AsyncExitStack())
        await self._sweeps[-1].enter_async_context(house.registry.sweep.sweeping())
        return house

    async def _ground(self) -> tuple[LocalFleet | MortalFleet, RunLog]:
        if self.server is None:
            return LocalFleet(self.street, loses=lambda: self.losing), self.memory
        server = Server(self.server.url)
        fleet = MortalFleet(server, prefix=self.prefix, lease=LEASE, renew=RENEW, patience=2.0, confirm=CONFIRM)
        await fleet.sign()
        return fleet, await RedisLog.open(self.server.url, prefix=self.prefix)

    async def close(self, house: House) -> None:
        """End a process as SIGTERM does."""
        place = self.houses.index(house)
        await self._sweeps[place].aclose()
        await house.close()
        await self.fleets[place].close()

    async def kill(self, house: House) -> None:
        """End a process as SIGKILL does."""
        place = self.houses.index(house)
        self.fleets[place].die()
        await self._sweeps[place].aclose()
        await house.crash()

    async def close_all(self) -> None:
        await asyncio.gather(*(self.close(house) for house in self.houses))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sweeps that need not be waited for."""
    for name, seconds in QUICK.items():
        monkeypatch.setattr(sweeping, name, seconds)


@pytest.fixture(params=["sqlite", "postgresql and valkey"])
def ground(request: pytest.FixtureRequest, tmp_path: Path, prefix: str) -> Town:
    """What a town is built on."""
    if request.param == "sqlite":
        return Town(tmp_path, STORES["sqlite"](tmp_path))
    server: KeyServer = request.getfixturevalue("valkey")
    return Town(tmp_path, STORES["postgresql"](tmp_path), server, prefix)


@pytest.fixture
async def town(ground: Town, quick: None, anyio_backend: str) -> AsyncIterator[Town]:
    """Processes, on grounds of both kinds."""
    yield ground
    await ground.close_all()


@pytest.fixture
async def lossy_town(tmp_path: Path, quick: None, anyio_backend: str) -> AsyncIterator[Town]:
    """Processes between which things get lost when the test says so."""
    town = Town(tmp_path, STORES["sqlite"](tmp_path))
    yield town
    await town.close_all()
