"""Two or three processes that are one gateway, over a network that loses things; some die, or are held up."""

import asyncio

from app.errors import SessionNotFound
from tests.simulation.agents import ENDINGS
from tests.simulation.campaign import schedules
from tests.simulation.cast import Cast, plans
from tests.simulation.people import STORE_FAILED
from tests.simulation.schedule import Schedule
from tests.simulation.test_ending import answering, canceller
from tests.simulation.test_following import run_watchers
from tests.simulation.test_restarting import some_time
from tests.simulation.town import Host, Town


@schedules(0.02)
def test_processes_that_lose_each_others_words_are_one_gateway(seeds, play_all):
    play_all(seeds, talking)


@schedules(0.03)
def test_processes_that_die_or_are_held_up_leave_no_run_and_no_viewer_behind(seeds, play_all):
    play_all(seeds, dying)


@schedules(0.02)
def test_a_session_that_one_process_deletes_is_gone_from_all(seeds, play_all):
    play_all(seeds, deleting)


async def talking(schedule: Schedule) -> None:
    """Commands, queues, interrupts and approvals, from anywhere to anywhere; what is lost costs time."""
    cast, town = await a_town(schedule)
    town.losing = cast.dice.choice((0.0, 0.1, 0.5))
    await some_time(cast)
    town.losing = 0.0
    await cast.finish()


async def dying(schedule: Schedule) -> None:
    """One process stays well; each of the others may be killed, told to go, or held up for longer than its lease."""
    cast, town = await a_town(schedule)
    for host in town.hosts[1:]:
        cast.happens(fate(cast, town, host))
    if schedule.chance(0.3):
        await some_time(cast)
        await town.open_host()
    await cast.finish()


async def fate(cast: Cast, town: Town, host: Host) -> None:
    await some_time(cast)
    match cast.dice.choice(("killed", "killed", "held up", "held up", "told to go", "spared")):
        case "killed":
            await town.kill(host)
        case "told to go":
            await town.leave(host, cast.dice.choice((0.0, 0.1, 10.0)))
        case "held up":
            await town.pause(host, cast.dice.choice((0.5, 5.0, 9.0, 12.0, 14.0, 60.0)))


async def deleting(schedule: Schedule) -> None:
    """Beside starts and orders on their way, and at times the end of whoever deletes, or executes."""
    cast, town = await a_town(schedule)
    for session in cast.sessions:
        cast.happens(deleter(cast, town, session))
    if schedule.chance(0.4):
        cast.happens(fate(cast, town, town.hosts[-1]))
    await cast.finish()


async def deleter(cast: Cast, town: Town, session: str) -> None:
    await asyncio.sleep(cast.dice.choice((0, 0.02, 0.2, 1.5)))
    try:
        await cast.delete(session)
    except SessionNotFound:
        return
    except STORE_FAILED:
        town.schedule.say("deleter", "does not know")
        await asyncio.sleep(200)  # by then another process has finished what was begun
        if await town.rows.holds_session(session):
            return
        assert await town.rows.run_numbers(session) == []
        cast.deleted.add(session)


async def a_town(schedule: Schedule) -> tuple[Cast, Town]:
    town = Town(schedule)
    await town.open()
    cast = Cast(town)
    dice = cast.dice
    for _ in range(dice.randint(2, 3)):
        await town.open_host()
    for _ in range(dice.randint(1, 2)):
        session = await cast.open_session()
        for _ in range(dice.randint(1, 2)):
            messages = [
                cast.message(
                    plan,
                    keyed=schedule.chance(0.6),
                    copies=dice.choice((1, 1, 2)),
                    tries=dice.randint(1, 3),
                    on_conflict=dice.choice(("reject", "queue", "queue", "interrupt")),
                )
                for plan in plans(dice, dice.randint(1, 3), length=6, endings=ENDINGS)
            ]
            cast.speaks(session, messages, pause=(0, 0.01, 0.3, 2))
        for _ in range(dice.randint(1, 3)):
            cast.watches(session)
        cast.happens(run_watchers(cast, session))
        cast.happens(answering(cast, session))
        if schedule.chance(0.5):
            cast.happens(canceller(cast, session))
    return cast, town
