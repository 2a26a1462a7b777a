"""Processes that are told to go, or are killed at any step, and come back to what their disks kept."""

import asyncio
from collections.abc import Callable

from tests.simulation.agents import ENDINGS
from tests.simulation.campaign import schedules
from tests.simulation.cast import Cast, plans, stage
from tests.simulation.schedule import Schedule
from tests.simulation.storage import Disks, MemoryDisks
from tests.simulation.test_ending import canceller


@schedules(0.155)
def test_after_a_kill_nothing_that_was_shown_is_lost_and_every_run_ends(seeds, play_all):
    play_all(seeds, killing)


@schedules(0.08)
def test_a_drain_sends_everybody_away_and_ends_every_run(seeds, play_all):
    play_all(seeds, draining)


async def killing(schedule: Schedule, disks: Callable[[], Disks] = MemoryDisks) -> None:
    """P7.1, P7.2: whatever is in memory is gone; what was acknowledged is there, and goes on to its end."""
    cast = await a_busy_house(schedule, disks)
    for _ in range(cast.dice.randint(1, 2)):
        await some_time(cast)
        await cast.restart(kill=True)
    await cast.finish()


async def draining(schedule: Schedule, disks: Callable[[], Disks] = MemoryDisks) -> None:
    """P7.3: with a grace or none, a second signal at times."""
    cast = await a_busy_house(schedule, disks)
    await some_time(cast)
    if schedule.chance(0.3):
        registry = cast.world.registry
        schedule.loop.call_later(cast.dice.choice((0.0, 0.5, 3.0)), registry.interrupt)
    await cast.restart(kill=False, grace=cast.dice.choice((0.0, 0.1, 10.0)))
    await cast.finish()


async def a_busy_house(schedule: Schedule, disks: Callable[[], Disks]) -> Cast:
    cast = await stage(schedule, disks())
    dice = cast.dice
    for _ in range(dice.randint(1, 2)):
        session = await cast.open_session()
        messages = [
            cast.message(plan, keyed=schedule.chance(0.6), copies=dice.choice((1, 1, 2)))
            for plan in plans(dice, dice.randint(1, 3), endings=ENDINGS)
        ]
        cast.speaks(session, messages, pause=(0, 0.01, 0.3, 2))
        for _ in range(dice.randint(0, 2)):
            cast.watches(session)
        if schedule.chance(0.4):
            cast.happens(canceller(cast, session))
    return cast


async def some_time(cast: Cast) -> None:
    """Until any step: mostly soon, when most is going on."""
    if cast.dice.random() < 0.3:
        await asyncio.sleep(cast.dice.choice((0.05, 0.3, 2.0, 6.0)))
    for _ in range(cast.dice.randint(0, 60)):
        await asyncio.sleep(0)
