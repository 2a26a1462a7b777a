"""A process in a simulation: the real registry over disks that outlive it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

from app.agents.base import Profile
from app.agents.loader import Profiles
from app.assembly import assemble
from app.dialects.native import Native
from app.hosting.ending import Stores
from app.hosting.limits import RunLimits
from app.hosting.recovery import recover
from app.registry import RunRegistry
from app.runlog.archived import ArchivedLog
from app.sessions.base import SessionStore
from app.uploads.desk import Limits, Uploads
from tests.simulation.agents import Company
from tests.simulation.schedule import Schedule
from tests.simulation.storage import Disks
from tests.simulation.writing import Ledger, Life

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
LIMITS = Limits(file_bytes=1024, session_files=4, session_bytes=4096)
GRACE = 30.0
"""Seconds without a viewer until a run that asked for it is cancelled."""


class World:
    """The process of now, its disks, and the times before.

    Attributes:
        jump: seconds that the wall clock is off; the loop's own clock knows nothing of it.
        opened: set while there is a registry to talk to.
    """

    def __init__(self, schedule: Schedule, disks: Disks) -> None:
        self.schedule = schedule
        self.disks = disks
        self.company = Company(schedule)
        self.life = Life(schedule)
        self.jump = 0.0
        self.opened = asyncio.Event()
        self._numbers: dict[str, dict[int, str]] = {}
        self.registry: RunRegistry
        self.rows: SessionStore
        self.uploads: Uploads
        self.log: ArchivedLog

    @property
    def ledger(self) -> Ledger:
        return self.disks.ledger

    def clock(self) -> datetime:
        return EPOCH + timedelta(seconds=self.schedule.loop.time() + self.jump)

    async def open(self) -> int:
        """Start the process; the answer is how many runs it had to finish."""
        faults = self.life.faults
        self.life = self.company.life = Life(self.schedule)
        live, self.rows = await self.disks.open(self.life)
        self.ledger.tell_all()
        self.log = ArchivedLog(live, self.rows)
        stores = Stores(self.log, self.rows, self.clock)
        recovered = await recover(stores)
        self.uploads = Uploads(self.disks.files, self.rows, LIMITS, self.clock)
        await self.uploads.recover()
        profile = Profile("default", self.company)
        native = Native()
        parts = assemble(stores, self.uploads, {native.name: native}, limits=RunLimits(), disconnect_grace=GRACE)
        self.registry = RunRegistry(parts, Profiles(profile, {"default": profile}))
        self.life.faults = faults
        self.schedule.say("process", "is there, finished", recovered)
        self.opened.set()
        return recovered

    async def close(self, grace: float = 0.0) -> None:
        """End the process as SIGTERM does."""
        self.schedule.say("process", "is told to go")
        self.opened.clear()
        await self.registry.close(grace)
        await self.uploads.close()
        await self.rows.close()
        await self.log.close()
        self.disks.die()
        self.schedule.say("process", "is gone")

    async def crash(self) -> None:
        """End the process as SIGKILL does: nothing that it holds is finished, or written, or said."""
        self.schedule.say("process", "IS KILLED")
        self.opened.clear()
        self.life.dead = True
        self.disks.die()
        me = asyncio.current_task()
        for _ in range(50):
            others = [task for task in asyncio.all_tasks() if task is not me]
            if not others:
                break
            for task in sorted(others, key=hash):
                task.cancel()
            await asyncio.wait(others, timeout=1)
        self.schedule.loop.unhandled.clear()  # the dead may have had last words
        self.life.faults = 0.0

    def numbers(self, session: str) -> dict[int, str]:
        """The session's runs by number, those of deleted sessions as well."""
        known = self._numbers.setdefault(session, {})
        known.update(self.disks.numbers(session))
        return known

    async def settled(self) -> None:
        """Wait until no run is executed."""
        while tasks := set(self.registry._hosting._tasks):
            await asyncio.wait(tasks)

    def held(self) -> dict[str, Any]:
        """What the registry holds for runs and viewers that are there: empty once nobody is."""
        return held_by(self.registry, self.log)


def held_by(registry: RunRegistry, log: ArchivedLog) -> dict[str, Any]:
    """What a registry holds for runs and viewers that are there."""
    held: dict[str, Any] = {
        "runs": registry._hosting._hosted,
        "run tasks": registry._hosting._tasks,
        "starts": registry._hosting._inserting,
        "waiting runs": registry._hosting._waiting,
        "runs called early": registry._hosting._called_early,
        "closings": registry._hosting._closings,
        "attendance": registry._hosting._attendance._watched,
        "attending viewers": registry._hosting._attendance._viewers,
        "run feeds": registry._audience.runs._feeds,
        "session feeds": registry._audience.sessions._feeds,
        "calls": registry._interruptible,
        "shared reads": log._share._calls,
    }
    return {name: dict(what) if isinstance(what, dict) else list(what) for name, what in held.items() if what}
