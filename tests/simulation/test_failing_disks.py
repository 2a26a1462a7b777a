"""Disks that fill up and recover, under runs that must not be lost by it."""

import asyncio
from collections.abc import Callable

from tests.simulation.agents import ENDINGS
from tests.simulation.campaign import schedules
from tests.simulation.cast import plans, stage
from tests.simulation.schedule import Schedule
from tests.simulation.storage import Disks, MemoryDisks
from tests.simulation.test_ending import canceller


@schedules(0.08)
def test_a_disk_that_fails_for_a_while_costs_time_and_no_event(seeds, play_all):
    play_all(seeds, failing)


async def failing(schedule: Schedule, disks: Callable[[], Disks] = MemoryDisks) -> None:
    """StoreUnavailable at any append, any transaction fails, sometimes a kill in the midst of it."""
    cast = await stage(schedule, disks())
    dice = cast.dice
    session = await cast.open_session()
    messages = [cast.message(plan, keyed=True) for plan in plans(dice, dice.randint(1, 3), endings=ENDINGS)]
    cast.speaks(session, messages, pause=(0, 0.3, 2))
    for _ in range(dice.randint(0, 2)):
        cast.watches(session)
    cast.world.life.faults = dice.choice((0.05, 0.3, 0.9))
    if schedule.chance(0.5):
        cast.happens(canceller(cast, session))
    await asyncio.sleep(dice.choice((0.1, 1, 10, 60)))
    if schedule.chance(0.3):
        await cast.restart(kill=True)
    await cast.finish()
