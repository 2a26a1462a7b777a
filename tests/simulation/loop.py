"""An event loop for tests: virtual time, nothing from outside, and an order of task steps that a seed decides.

asyncio steps ready tasks in the order in which they became ready. Here a seed shuffles them within each pass of the
loop, work for other threads is carried out inside the loop a while later, and sleeping takes no time at all. The same
seed gives the same schedule in every process: task and future objects are hashed by a serial number, so that sets of
them have no order of their own.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from async_solipsism import EventLoop

T = TypeVar("T")

MOST_STEPS = 400_000
"""A schedule of more steps than this goes round in circles."""


class Endless(AssertionError):
    """The schedule did not come to its end."""


class SimulatedFuture(asyncio.Future[Any]):
    def __init__(self, serial: int, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop=loop)
        self.serial = serial

    def __hash__(self) -> int:
        return self.serial


class SimulatedTask(asyncio.Task[Any]):
    def __init__(self, serial: int, work: Coroutine[Any, Any, Any], **options: Any) -> None:
        self.serial = serial  # before anybody puts it into a set
        self.owner: object | None = None
        super().__init__(work, **options)

    def __hash__(self) -> int:
        return self.serial


class SimulatedLoop(EventLoop):  # type: ignore[misc] # it comes without types
    """The loop of one schedule.

    Attributes:
        steps: how many callbacks were run.
        most_steps: how many may be, until the schedule fails.
        longest_pause: seconds that storage takes at most.
    """

    def __init__(self, rng: random.Random) -> None:
        super().__init__()
        self._rng = rng
        self._let_time_pass()
        self._serial = 0
        self.steps = 0
        self.most_steps = MOST_STEPS
        self.longest_pause = 0.1
        self._held: dict[object, list[asyncio.Handle]] = {}
        self.unhandled: list[dict[str, Any]] = []
        self.set_task_factory(self._new_task)
        self.set_exception_handler(lambda _, context: self.unhandled.append(context))

    def _let_time_pass(self) -> None:
        # Times are floats, the clock counts microseconds; what is left of one by rounding must not stop it.
        clock = self._selector.clock
        advance = clock.advance
        clock.advance = lambda delta: advance(max(delta, clock.resolution))

    def create_future(self) -> SimulatedFuture:
        self._serial += 1
        return SimulatedFuture(self._serial, self)

    def _new_task(
        self, loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, T], context: Any = None
    ) -> SimulatedTask:
        self._serial += 1
        task = SimulatedTask(self._serial, work, loop=loop, context=context)
        parent = asyncio.current_task(loop)
        if isinstance(parent, SimulatedTask):
            task.owner = parent.owner
        return task

    def hold(self, owner: object, *, held: bool) -> None:
        """Let no task of an owner go on, or all of them again; whatever a task begins is its owner's."""
        if held:
            self._held.setdefault(owner, [])
        else:
            self._ready.extend(self._held.pop(owner, []))

    async def run_in_executor(self, executor: Any, func: Callable[..., T], *args: Any) -> T:
        """Carry out another thread's work in here, while others go on before and after."""
        del executor
        await self.pause()
        result = func(*args)
        await self.pause()
        return result

    async def pause(self) -> None:
        """Wait as one waits for a disk or a thread: mostly not at all, sometimes some passes, seldom for a while."""
        luck = self._rng.random()
        if luck < 0.5:
            return
        if luck < 0.95:
            for _ in range(1 + int((luck - 0.5) * 6)):
                await asyncio.sleep(0)
            return
        await asyncio.sleep(min(self.longest_pause, self._rng.choice((0.001, 0.01, 0.1))))

    def _run_once(self) -> None:
        ready: deque[asyncio.Handle] = self._ready
        if self._held:
            self._hold_back(ready)
        self.steps += len(ready)
        if self.steps > self.most_steps:
            raise Endless(f"no end after {self.steps} steps, at {self.time():.3f} s")
        if len(ready) > 1:
            self._shuffle(ready)
        super()._run_once()

    def _hold_back(self, ready: deque[asyncio.Handle]) -> None:
        handles = list(ready)
        ready.clear()
        for handle in handles:
            task = getattr(handle._callback, "__self__", None)  # type: ignore[attr-defined]
            task = getattr(task, "_host_task", task)  # anyio's scopes call again and again until theirs has stopped
            held = self._held.get(task.owner) if isinstance(task, SimulatedTask) else None
            (ready if held is None else held).append(handle)

    def _shuffle(self, ready: deque[asyncio.Handle]) -> None:
        handles = list(ready)
        steps = [place for place, handle in enumerate(handles) if _steps_a_task(handle)]
        dice = self._rng.random
        for last in range(len(steps) - 1, 0, -1):
            one, other = steps[last], steps[int(dice() * (last + 1))]
            handles[one], handles[other] = handles[other], handles[one]
        ready.clear()
        ready.extend(handles)


def _steps_a_task(handle: asyncio.Handle) -> bool:
    return isinstance(getattr(handle._callback, "__self__", None), asyncio.Task)  # type: ignore[attr-defined]
