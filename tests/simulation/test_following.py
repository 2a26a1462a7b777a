"""Viewers that come, stall, drop and come back, while runs begin, speak and end."""

import asyncio
from collections.abc import Callable

from tests.simulation.agents import SOON
from tests.simulation.campaign import schedules
from tests.simulation.cast import plans, stage
from tests.simulation.schedule import Schedule
from tests.simulation.storage import Disks, MemoryDisks


@schedules(0.2)
def test_every_viewer_gets_everything_in_order_and_once(seeds, play_all):
    play_all(seeds, following)


async def following(schedule: Schedule, disks: Callable[[], Disks] = MemoryDisks) -> None:
    """P3.1 to P3.6: sessions and runs, from the start, from the middle, from positions that never were."""
    cast = await stage(schedule, disks())
    dice = cast.dice
    for _ in range(dice.randint(1, 2)):
        session = await cast.open_session()
        length = dice.choice((10,) * 9 + (200,))  # now and then more than a page that is sent as it is
        scripts = plans(dice, dice.randint(1, 3), length=length, endings=SOON)
        cast.speaks(session, [cast.message(plan) for plan in scripts])
        for _ in range(dice.randint(1, 3)):
            cast.watches(session, after=cast.some_position())
            if schedule.chance(0.4):
                await asyncio.sleep(dice.choice((0, 0, 0.05, 1)))
        cast.happens(run_watchers(cast, session))
    await cast.finish()


async def run_watchers(cast, session: str) -> None:
    """Follow single runs, some of them while they run, some long after."""
    for _ in range(cast.dice.randint(0, 2)):
        await asyncio.sleep(cast.dice.choice((0, 0.01, 0.2, 2)))
        numbers = cast.world.numbers(session)
        if numbers:
            cast.watches(session, cast.dice.choice(list(numbers.values())))
