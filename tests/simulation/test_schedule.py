"""The simulation itself: the same seed is the same story, and what goes wrong is told so that one can go after it."""

import asyncio
import os
import re
import subprocess
import sys
from itertools import pairwise

import pytest

from tests.simulation.schedule import Schedule, ScheduleFailed, play
from tests.simulation.test_restarting import killing

DIGESTS = """
from tests.simulation.schedule import play
from tests.simulation.test_restarting import killing
print(*(play(seed, killing).digest for seed in range(12)))
"""


def digests(hash_seed: str) -> list[str]:
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    ran = subprocess.run([sys.executable, "-c", DIGESTS], env=environment, capture_output=True, text=True, check=True)
    return ran.stdout.split()


def test_the_same_seed_is_the_same_story_in_every_process():
    here = [play(seed, killing).digest for seed in range(12)]
    assert digests("1") == digests("2") == here
    assert len(set(here)) == len(here)


async def three_of_them(schedule: Schedule) -> None:
    async def step(name: str) -> None:
        for _ in range(3):
            schedule.say(name, "steps")
            await asyncio.sleep(0)

    await asyncio.gather(step("a"), step("b"), step("c"))


def test_seeds_step_ready_tasks_in_every_order():
    orders = {tuple(line.split()[3] for line in play(seed, three_of_them).lines[:3]) for seed in range(60)}
    assert len(orders) == 6


def test_an_hour_takes_no_time():
    async def sleep(schedule: Schedule) -> None:
        async with asyncio.timeout(3601):
            await asyncio.sleep(3600)
        schedule.say("sleeper", "wakes")

    assert play(1, sleep).lines[0].startswith(" 3600.0000 s")


def test_whoever_waits_for_ever_is_named():
    async def never_set(schedule: Schedule) -> None:
        schedule.say("waiter", "goes to sleep")
        await asyncio.Event().wait()

    with pytest.raises(ScheduleFailed, match=r"(?s)seed 7\n.*goes to sleep.*DEADLOCK.*never_set:\d+ > Event\.wait"):
        play(7, never_set)


def test_a_schedule_that_goes_round_in_circles_fails():
    async def circle(_: Schedule) -> None:
        while True:  # noqa: ASYNC110 - that is what it is about
            await asyncio.sleep(0)

    with pytest.raises(ScheduleFailed, match="no end after"):
        play(1, circle)


def test_a_task_left_behind_fails_the_schedule():
    async def leave(_: Schedule) -> None:
        asyncio.get_running_loop().create_task(asyncio.Event().wait(), name="forgotten")
        await asyncio.sleep(0)

    with pytest.raises(ScheduleFailed, match=r"left behind:\n  forgotten"):
        play(1, leave)


def test_an_exception_that_nobody_takes_fails_the_schedule():
    async def fail(_: Schedule) -> None:
        async def break_() -> None:
            raise ValueError("unheard")

        asyncio.get_running_loop().create_task(break_())
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    with pytest.raises(ScheduleFailed, match="unheard"):
        play(1, fail)


class ForgetfulLog:
    """A log that loses a wake-up: it looks, then registers, with a step in between."""

    def __init__(self) -> None:
        self.tail = 0
        self._news: list[asyncio.Event] = []

    def append(self) -> None:
        self.tail += 1
        for news in self._news:
            news.set()
        self._news.clear()

    async def wait(self, after: int) -> None:
        if self.tail > after:
            return
        await asyncio.sleep(0)
        news = asyncio.Event()
        self._news.append(news)
        await news.wait()


async def forgetful(schedule: Schedule) -> None:
    log = ForgetfulLog()

    async def write() -> None:
        for _ in range(3):
            await asyncio.sleep(schedule.script.choice((0, 0, 0.1)))
            log.append()

    async def read() -> None:
        for after in range(3):
            await log.wait(after)

    await asyncio.gather(write(), read())


def test_a_lost_wake_up_is_found_and_its_seed_finds_it_again():
    failed = []
    for seed in range(200):
        try:
            play(seed, forgetful)
        except ScheduleFailed as failure:
            failed.append((seed, str(failure)))
    assert 0 < len(failed) < 200
    seed, story = failed[0]
    assert re.search(rf"RUNCAST_SEED={seed} pytest", story)
    for _ in range(2):
        with pytest.raises(ScheduleFailed, match="DEADLOCK"):
            play(seed, forgetful)
    assert all(before < after for (before, _), (after, _) in pairwise(failed))
