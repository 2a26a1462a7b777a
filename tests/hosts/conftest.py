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
from app.runlog.memory import MemoryLog
from tests.hosts.local_fleet import LocalFleet, Street
from tests.house import House, Puppet
from tests.sessions.opening import STORES

QUICK = {"PAUSE": 0.1, "CONFIRM": 0.3}
"""Seconds between what the sweeps of a test do."""


class SharedLog(MemoryLog):
    """A log that outlives the processes."""

    async def close(self) -> None:
        """Somebody else may be at it."""


@define(eq=False)
class Town:
    """The processes of one gateway. Each has an agent of its own, so that a test knows who executes a run.

    Attributes:
        losing: whether the network loses orders and news just now.
    """

    folder: Path
    url: str
    street: Street = field(factory=lambda: Street(lease=0.6, patience=2.0))
    log: SharedLog = field(factory=SharedLog)
    losing: bool = False
    agents: list[Puppet] = field(factory=list)
    fleets: list[LocalFleet] = field(factory=list)
    houses: list[House] = field(factory=list)
    _sweeps: list[AsyncExitStack] = field(factory=list)

    async def open(self, agent: Any = None, **options: Any) -> House:
        """One more process."""
        self.agents.append(agent or Puppet())
        self.fleets.append(LocalFleet(self.street, loses=lambda: self.losing))
        house = await House.open(
            self.folder, self.agents[-1], live=self.log, url=self.url, fleet=self.fleets[-1], **options
        )
        self.houses.append(house)
        self._sweeps.append(AsyncExitStack())
        await self._sweeps[-1].enter_async_context(house.registry.sweep.sweeping())
        return house

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
        await asyncio.gather(*(self.close(house) for house in self.houses), return_exceptions=False)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The database of all the processes."""
    return STORES[request.param](tmp_path)


@pytest.fixture
async def town(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, anyio_backend: str) -> AsyncIterator[Town]:
    """Processes on one database."""
    for name, seconds in QUICK.items():
        monkeypatch.setattr(sweeping, name, seconds)
    town = Town(tmp_path, url)
    yield town
    await town.close_all()
