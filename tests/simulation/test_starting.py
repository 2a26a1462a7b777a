"""Messages that race: on one session, under one key, again and again."""

import asyncio
from collections.abc import Callable

from tests.simulation.agents import ENDINGS
from tests.simulation.campaign import schedules
from tests.simulation.cast import plans, stage
from tests.simulation.schedule import Schedule
from tests.simulation.storage import Disks, MemoryDisks
from tests.simulation.test_ending import answering, canceller
from tests.simulation.test_following import run_watchers


@schedules(0.13)
def test_a_session_runs_one_run_at_a_time_and_a_key_starts_one_run(seeds, play_all):
    play_all(seeds, racing)


async def racing(schedule: Schedule, disks: Callable[[], Disks] = MemoryDisks) -> None:
    """P4.4, P4.5: several speakers in one session who wait, interrupt or give way, and retries that overlap."""
    cast = await stage(schedule, disks())
    dice = cast.dice
    session = await cast.open_session()
    for _ in range(dice.randint(2, 3)):
        messages = [
            cast.message(
                plan,
                keyed=schedule.chance(0.5),
                copies=dice.choice((1, 1, 2, 3)),
                tries=dice.randint(1, 4),
                on_conflict=dice.choice(("reject", "queue", "queue", "interrupt")),
            )
            for plan in plans(dice, dice.randint(1, 3), length=6, endings=ENDINGS)
        ]
        cast.speaks(session, messages, pause=(0, 0, 0.001, 0.3, 2))
    cast.watches(session)
    cast.happens(run_watchers(cast, session))
    cast.happens(answering(cast, session))
    if schedule.chance(0.5):
        cast.happens(canceller(cast, session))
    await asyncio.sleep(0)
    await cast.finish()
