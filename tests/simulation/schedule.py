"""One schedule: a scenario under a seed, and what is told of it when it fails."""

from __future__ import annotations

import asyncio
import hashlib
import random
import secrets
import traceback
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import structlog
from async_solipsism import SleepForeverError

from tests.simulation.loop import MOST_STEPS, SimulatedLoop

TOLD = 150
"""How many of a story's last lines a failure shows."""


class ScheduleFailed(AssertionError):
    """A schedule broke a promise, or hangs."""


class Schedule:
    """What a scenario has in hand.

    Attributes:
        seed: decides everything.
        script: for the scenario's own choices; the order of steps has dice of its own.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.script = random.Random(f"script {seed}")
        self.loop = SimulatedLoop(random.Random(f"steps {seed}"))
        self._story: list[tuple[float, int, str, tuple[Any, ...]]] = []

    def say(self, who: str, *what: Any) -> None:
        """Add a line to the schedule's story."""
        self._story.append((self.loop.time(), self.loop.steps, who, what))

    def chance(self, probability: float) -> bool:
        return self.script.random() < probability

    @property
    def lines(self) -> list[str]:
        return [f"{at:10.4f} s {step:6} {who:<12} {' '.join(map(str, what))}" for at, step, who, what in self._story]

    @property
    def digest(self) -> str:
        """Equal for equal stories."""
        return hashlib.sha256("\n".join(self.lines).encode()).hexdigest()


Scenario = Callable[[Schedule], Coroutine[Any, Any, None]]


def play(seed: int, scenario: Scenario) -> Schedule:
    """Carry out one schedule.

    Raises:
        ScheduleFailed: with the seed, and the story up to then.
    """
    schedule = Schedule(seed)
    loop = schedule.loop
    asyncio.set_event_loop(loop)
    try:
        with seeded_ids(seed), _logs_told_by(schedule):
            main = loop.create_task(scenario(schedule), name="scenario")
            try:
                loop.run_until_complete(main)
                _check_quiet(loop)
            except BaseException as error:
                raise _failure(schedule, error) from error
            finally:
                clean_up(loop)
    finally:
        asyncio.set_event_loop(None)
        loop.close()
    return schedule


def _check_quiet(loop: SimulatedLoop) -> None:
    left = [task for task in asyncio.all_tasks(loop) if not task.done()]
    assert not left, "tasks were left behind:\n" + "\n".join(map(_where, left))
    assert not loop.unhandled, f"exceptions that nobody took: {loop.unhandled}"


def _failure(schedule: Schedule, error: BaseException) -> ScheduleFailed:
    reason = f"{type(error).__name__}: {error}"
    if isinstance(error, SleepForeverError):
        reason = "DEADLOCK: everybody waits, and nothing will come."
    elif not isinstance(error, AssertionError):
        reason += "\n" + "".join(traceback.format_exception(error)[-6:])
    told = "\n".join(schedule.lines[-TOLD:])
    reason += "\ntasks that wait:\n" + "\n".join(sorted(_where(task) for task in asyncio.all_tasks(schedule.loop)))
    unhandled = f"\nunhandled: {schedule.loop.unhandled}" if schedule.loop.unhandled else ""
    return ScheduleFailed(
        f"seed {schedule.seed}\n{told}\n\n{reason}{unhandled}\n\n"
        f"the same again: RUNCAST_SEED={schedule.seed} pytest <this test>"
    )


def _where(task: asyncio.Task[Any]) -> str:
    coro: Any = task.get_coro()
    places = []
    while coro is not None:
        frame = getattr(coro, "cr_frame", None) or getattr(coro, "ag_frame", None) or getattr(coro, "gi_frame", None)
        if frame is not None:
            places.append(f"{coro.__qualname__}:{frame.f_lineno}")
        coro = getattr(coro, "cr_await", None) or getattr(coro, "ag_await", None) or getattr(coro, "gi_yieldfrom", None)
    return f"  {task.get_name()}: {' > '.join(places)}"


def clean_up(loop: SimulatedLoop) -> None:
    """Bring whoever is left to an end; what they say to it is of no interest any more."""
    loop.most_steps = loop.steps + MOST_STEPS

    async def sweep() -> None:
        me = asyncio.current_task()
        for _ in range(20):
            left = [task for task in asyncio.all_tasks() if task is not me]
            if not left:
                break
            for task in left:
                task.cancel()
            await asyncio.wait(left, timeout=100)
        await asyncio.get_running_loop().shutdown_asyncgens()

    loop.run_until_complete(sweep())


@contextmanager
def seeded_ids(seed: int) -> Iterator[None]:
    dice = random.Random(f"ids {seed}")
    with mock.patch.object(secrets, "token_hex", lambda size: dice.randbytes(size).hex()):
        yield


@contextmanager
def _logs_told_by(schedule: Schedule) -> Iterator[None]:
    def tell(_: Any, method: str, event: dict[str, Any]) -> dict[str, Any]:
        error = event.pop("exc_info", None)
        more = {"error": repr(error)} if isinstance(error, BaseException) else {}
        schedule.say("log", method, {**event, **more})
        raise structlog.DropEvent

    processors = structlog.get_config()["processors"]
    before = list(processors)
    processors[:] = [tell]
    try:
        yield
    finally:
        processors[:] = before
