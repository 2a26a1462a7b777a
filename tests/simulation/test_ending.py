"""Runs that are cancelled, fail, hang, or will not stop: one terminal each, whatever comes first."""

import asyncio
from collections.abc import Callable

from tests.simulation.agents import ENDINGS
from tests.simulation.campaign import schedules
from tests.simulation.cast import Cast, plans, stage
from tests.simulation.schedule import Schedule
from tests.simulation.storage import Disks, MemoryDisks


@schedules(0.13)
def test_a_cancelled_run_ends_once_and_shows_nothing_said_later(seeds, play_all):
    play_all(seeds, cancelling)


@schedules(0.05)
def test_a_run_whose_viewers_left_is_cancelled_only_if_it_asked_for_that(seeds, play_all):
    play_all(seeds, leaving)


async def cancelling(schedule: Schedule, disks: Callable[[], Disks] = MemoryDisks) -> None:
    """P4.6, P7.1: cancels race with completion, with each other, with agents that hold out."""
    cast = await stage(schedule, disks())
    dice = cast.dice
    for _ in range(dice.randint(1, 2)):
        session = await cast.open_session()
        cast.speaks(session, [cast.message(plan) for plan in plans(dice, dice.randint(1, 3))], pause=(0, 0.05, 1, 6))
        for _ in range(dice.randint(0, 2)):
            cast.watches(session)
        for _ in range(dice.randint(1, 2)):
            cast.happens(canceller(cast, session))
        cast.happens(answering(cast, session))
    await cast.finish()


async def canceller(cast: Cast, session: str) -> None:
    """Cancel what runs at the time, or a run that may be over."""
    for _ in range(cast.dice.randint(1, 4)):
        await asyncio.sleep(cast.dice.choice((0, 0, 0.001, 0.05, 0.2, 1, 5)))
        numbers = cast.world.numbers(session)
        chosen = cast.dice.choice(list(numbers.values())) if numbers and cast.dice.random() < 0.5 else None
        await cast.cancel(session, chosen)


async def answering(cast: Cast, session: str) -> None:
    """Somebody who says yes or no to what is asked, twice at times, or says both."""
    for _ in range(cast.dice.randint(0, 6)):
        await asyncio.sleep(cast.dice.choice((0, 0.01, 0.2, 1, 4)))
        await cast.answer(session)


async def leaving(schedule: Schedule, disks: Callable[[], Disks] = MemoryDisks) -> None:
    """P3.11: a run that nobody follows goes on, unless its starter said otherwise."""
    cast = await stage(schedule, disks())
    dice = cast.dice
    session = await cast.open_session()
    messages = [
        cast.message(plan, cancel_when_left=schedule.chance(0.7))
        for plan in plans(dice, 2, endings=(*ENDINGS, "hang", "hang"))
    ]
    cast.speaks(session, messages, pause=(0, 1, 20, 40, 70))
    if schedule.chance(0.7):
        cast.watches(session)
    await cast.finish()
    cast.judge_leaving(messages)
