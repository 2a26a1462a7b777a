"""Several processes in a simulation: one gateway over one store and one log, each of which may die, or be held up."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack
from typing import Any, Final, Self, TypeVar

from app.agents.base import Profile
from app.agents.loader import Profiles
from app.assembly import assemble
from app.dialects.base import Batch
from app.dialects.native import Native
from app.hosting.ending import Stores
from app.hosting.limits import RunLimits
from app.registry import RunRegistry
from app.runlog.archived import ArchivedLog
from app.runlog.base import RunLog
from app.sessions.base import SessionStore
from app.uploads.desk import Uploads
from app.viewing.viewer import Viewer
from tests.hosts.local_fleet import LocalFleet, Street
from tests.simulation.agents import Company
from tests.simulation.memory_tables import ACTIVE, Tables
from tests.simulation.schedule import Schedule
from tests.simulation.storage import SharedDisks
from tests.simulation.world import GRACE, LIMITS, World, held_by
from tests.simulation.writing import Life

T = TypeVar("T")

IN_TIME: Final = 15.0
"""Seconds after a process's death in which its runs have to end (P7.1)."""


class Host:
    """One process: its registry, and every task that it has."""

    def __init__(self, town: Town, name: str) -> None:
        self.town = town
        self.name = name
        self.life = Life(town.schedule)
        self.company = Company(town.schedule)
        self.company.plans, self.company.performances = town.company.plans, town.company.performances
        self.company.life = self.life
        self.loop = town.schedule.loop
        self.fleet = LocalFleet(town.street, self.loop.pause, town.loses)
        self.fleet.owner = self
        self.registry: RunRegistry
        self.log: ArchivedLog
        self._stack = AsyncExitStack()

    async def open(self) -> None:
        schedule = self.town.schedule
        live, rows = await self.town.disks.open(self.life)
        self.log = ArchivedLog(live, rows, shared=True)
        stores = Stores(self.log, rows, self.town.clock)
        uploads = Uploads(self.town.disks.files, rows, LIMITS, self.town.clock)
        profile = Profile("default", self.company)
        native = Native()
        parts = assemble(
            stores,
            uploads,
            {native.name: native},
            limits=RunLimits(),
            disconnect_grace=GRACE,
            fleet=self.fleet,
        )
        self.registry = RunRegistry(parts, Profiles(profile, {"default": profile}))
        for closing in (self.log.close, rows.close, uploads.close, self.fleet.close):
            self._stack.push_async_callback(closing)
        await self._stack.enter_async_context(self.registry.sweep.sweeping())
        schedule.say(self.name, "is there as", self.fleet.name)

    async def close(self, grace: float) -> None:
        await self.registry.close(grace)
        await self._stack.aclose()

    def spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Have this process do something."""
        task = self.loop.create_task(work)
        task.owner = self  # type: ignore[attr-defined]
        return task

    async def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Ask this process for something, over a connection that ends with it.

        Raises:
            ConnectionResetError: it has died.
        """
        if self.life.dead:
            work.close()
            raise ConnectionResetError("nobody is there")
        task = self.spawn(work)
        try:
            return await task
        except asyncio.CancelledError:
            if self.life.dead and task.cancelled():
                raise ConnectionResetError("it died") from None
            raise

    def tasks(self) -> list[asyncio.Task[Any]]:
        return [task for task in asyncio.all_tasks(self.loop) if getattr(task, "owner", None) is self]


class Doors:
    """A process's registry, from outside."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        async def call(*arguments: Any, **options: Any) -> Any:
            answer = await self._host.call(getattr(self._host.registry, name)(*arguments, **options))
            return Line(self._host, answer) if isinstance(answer, Viewer) else answer

        return call


class Line:
    """A viewer at the other end of a connection."""

    def __init__(self, host: Host, viewer: Viewer) -> None:
        self._host = host
        self._viewer = viewer
        self._due: asyncio.Queue[Batch] = asyncio.Queue(1)
        self._carrying: asyncio.Task[None]

    @property
    def drained(self) -> bool:
        return self._viewer.drained

    async def __aenter__(self) -> Self:
        self._carrying = self._host.spawn(self._carry())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._carrying.cancel()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Batch:
        getting = asyncio.ensure_future(self._due.get())
        try:
            await asyncio.wait({getting, self._carrying}, return_when=asyncio.FIRST_COMPLETED)
            if getting.done():
                return getting.result()
        finally:
            getting.cancel()
        if self._carrying.cancelled():
            raise ConnectionResetError("it died")
        self._carrying.result()
        raise StopAsyncIteration

    async def _carry(self) -> None:
        async with self._viewer as viewer:
            async for batch in viewer:
                await self._due.put(batch)


class Forgetful(ArchivedLog):
    """A log whose server forgets by itself what is closed and archived, should a process die just before it says so."""

    def __init__(self, live: RunLog, rows: SessionStore, tables: Tables) -> None:
        super().__init__(live, rows, shared=True)
        self._tables = tables

    async def runs(self) -> list[str]:
        archived = {row.run.id for row in self._tables.runs.values() if row.archive is not None}
        return [run_id for run_id in await super().runs() if run_id not in archived]


class Town(World):
    """The processes of one gateway, and who looks at what they share.

    Attributes:
        losing: how likely an order, an answer or news get lost just now.
    """

    disks: SharedDisks

    def __init__(self, schedule: Schedule) -> None:
        super().__init__(schedule, SharedDisks())
        self.street = Street()
        self.losing = 0.0
        self.hosts: list[Host] = []
        self._opened = 0
        self._judging: list[asyncio.Task[None]] = []
        self.life.struck = True  # calls may fail at any time
        self.opened.set()

    def loses(self) -> bool:
        return bool(self.losing) and self.schedule.chance(self.losing)

    @property
    def registry(self) -> Any:  # type: ignore[override]
        """Any process of those that are there."""
        return Doors(self.schedule.script.choice(self.hosts))

    @registry.setter
    def registry(self, _: Any) -> None: ...

    async def open(self) -> int:
        """Look at the stores, as nobody's process."""
        live, self.rows = await self.disks.open(self.life)
        self.log = Forgetful(live, self.rows, self.disks.tables)
        return 0

    async def open_host(self) -> Host:
        self._opened += 1
        host = Host(self, f"host {self._opened}")
        await host.call(host.open())
        self.hosts.append(host)
        return host

    async def kill(self, host: Host) -> None:
        """End a process as SIGKILL does; the others have to end its runs in time."""
        self.schedule.say(host.name, "IS KILLED")
        self.hosts.remove(host)
        host.life.dead = True
        self.schedule.loop.hold(host, held=False)
        host.fleet.die()
        self._judging.append(asyncio.ensure_future(self._judge_death(host)))
        for _ in range(50):
            tasks = host.tasks()
            if not tasks:
                break
            for task in sorted(tasks, key=hash):
                task.cancel()
            await asyncio.wait(tasks, timeout=1)

    async def pause(self, host: Host, seconds: float) -> None:
        """Hold a process up, as SIGSTOP does; its agents do nothing meanwhile, and may be told to stop afterwards."""
        self.schedule.say(host.name, "is held up for", seconds)
        self.schedule.loop.hold(host, held=True)
        executed = {run.id for run in host.registry._hosting.executed()}
        if seconds > self.street.lease:
            for run_id in executed & self.company.performances.keys():
                self.company.performances[run_id].stopping = True
        await asyncio.sleep(seconds)
        self.schedule.say(host.name, "goes on")
        self.schedule.loop.hold(host, held=False)

    async def leave(self, host: Host, grace: float) -> None:
        """End a process as SIGTERM does."""
        self.schedule.say(host.name, "is told to go")
        await host.call(host.close(grace))
        self.hosts.remove(host)
        host.life.dead = True
        self.schedule.say(host.name, "is gone")

    async def settled(self) -> None:
        while True:
            tasks = {task for host in self.hosts for task in host.registry._hosting._tasks}
            if tasks:
                await asyncio.wait(tasks)
            elif self._is_unsettled():
                await asyncio.sleep(1)
            else:
                break

    def _is_unsettled(self) -> bool:
        tables = self.disks.tables
        unfinished = tables.deleted or any(row.archive is None for row in tables.runs.values())
        return bool(unfinished) or any(host.registry._hosting.waiting() for host in self.hosts)

    async def close(self, grace: float = 0.0) -> None:
        await asyncio.gather(*self._judging)
        for host in list(self.hosts):
            await self.leave(host, grace)
        await self.rows.close()

    def held(self) -> dict[str, Any]:
        return {
            f"{what} of {host.name}": held
            for host in self.hosts
            for what, held in held_by(host.registry, host.log).items()
        }

    async def _judge_death(self, host: Host) -> None:
        await asyncio.sleep(IN_TIME)
        for row in self.disks.tables.runs.values():
            if row.run.host == host.fleet.name:
                assert row.run.status not in ACTIVE, f"{row.run.id[:8]} is {row.run.status}, and {host.name} long dead"
                assert self.ledger.of(row.run.id).closed, (
                    f"{row.run.id[:8]} has no terminal, and {host.name} is long dead"
                )
