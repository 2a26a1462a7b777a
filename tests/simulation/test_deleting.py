"""Sessions that are deleted while their runs speak and their viewers watch."""

import asyncio
from collections.abc import Callable

from app.errors import SessionNotFound
from tests.simulation.agents import ENDINGS
from tests.simulation.campaign import schedules
from tests.simulation.cast import Cast, plans, stage
from tests.simulation.schedule import Schedule
from tests.simulation.storage import Disks, MemoryDisks


@schedules(0.08)
def test_a_deleted_session_gives_its_viewers_the_terminal_and_leaves_nothing(seeds, play_all):
    play_all(seeds, deleting)


async def deleting(schedule: Schedule, disks: Callable[[], Disks] = MemoryDisks) -> None:
    """Section 5, DELETE: beside starts on their way, stubborn agents, stalled viewers, another deletion."""
    cast = await stage(schedule, disks())
    dice = cast.dice
    for _ in range(dice.randint(1, 2)):
        session = await cast.open_session()
        cast.speaks(session, [cast.message(plan) for plan in plans(dice, 2, endings=ENDINGS)], pause=(0, 0.05, 1))
        for _ in range(dice.randint(0, 3)):
            cast.watches(session)
        cast.happens(deleter(cast, session))
        if schedule.chance(0.2):
            cast.happens(deleter(cast, session))
    await cast.finish()


async def deleter(cast: Cast, session: str) -> None:
    await asyncio.sleep(cast.dice.choice((0, 0.001, 0.02, 0.2, 1.5)))
    try:
        await cast.delete(session)
    except SessionNotFound:
        cast.world.schedule.say("deleter", "comes too late")
