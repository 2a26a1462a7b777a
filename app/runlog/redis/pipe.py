"""A pipe: commands of everybody who asks, in order, over one connection, with one pipeline in flight.

The pipeline in flight is the batching window: an idle pipe sends at once, a busy one finds everything that came
meanwhile. Whatever is sent here may be sent again: appends carry a mark that the server knows them by, everything else
reads or removes.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import structlog
from attrs import frozen
from redis.exceptions import (
    BusyLoadingError,
    ClusterError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    TryAgainError,
)

from app.errors import StoreFull, StoreUnavailable
from app.runlog.redis.server import Argument, Command, Server, Wire

log = structlog.get_logger()

PATIENCE: Final = 10.0
"""Seconds for which a command is tried."""

TIMEOUT: Final = 4.0
"""Seconds that a pipeline may take; longer than a server that is busy or paused usually does."""

_LAST_PATIENCE: Final = 1.0
"""Seconds for which a command is tried at most after the pipe was told to stop."""

_MOST_BYTES: Final = 4 * 1024 * 1024
_MOST_COMMANDS: Final = 1000
_FIRST_DELAY: Final = 0.05
_LONGEST_DELAY: Final = 0.5
_PASSING: Final = (BusyLoadingError, ClusterError, NoScriptError, ReadOnlyError, TryAgainError)
_PASSING_WORDS: Final = ("NOREPLICAS", "BUSY", "MASTERDOWN")


@frozen(eq=False)
class _Call:
    command: Command
    size: int
    until: float
    answer: Callable[[Any], None]


class Pipe:
    """Made inside the event loop that uses it.

    Args:
        patience: seconds after which a command that can't be delivered fails.
        timeout: seconds after which a pipeline is given up, and sent again over a new connection.
        observe: told the seconds that each pipeline took.
    """

    def __init__(
        self,
        server: Server,
        *,
        patience: float = PATIENCE,
        timeout: float = TIMEOUT,
        observe: Callable[[float], None] = lambda _: None,
    ) -> None:
        self._server = server
        self._patience = patience
        self._timeout = timeout
        self._observe = observe
        self._calls: deque[_Call] = deque()
        self._wire: Wire | None = None
        self._stopping = False
        self._last = math.inf
        self._news = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._worker = self._loop.create_task(self._work())

    def submit(
        self, command: Command, answer: Callable[[Any], None], *, size: int, patience: float | None = None
    ) -> None:
        """Hand over a command. It is tried whatever becomes of the caller.

        Args:
            command: its name and arguments.
            answer: called in order, with the server's answer, or with a StoreUnavailable: if that has no cause, the
                server refused, else it is not known whether the command was carried out. It must not raise.
            size: about how many bytes the command or its answer has.
            patience: instead of the pipe's own.
        """
        if self._stopping:
            answer(StoreUnavailable("the event log was shut"))
            return
        until = self._loop.time() + (self._patience if patience is None else patience)
        self._calls.append(_Call(command, size, until, answer))
        self._news.set()

    async def ask(self, *command: Argument, size: int = 64, patience: float | None = None) -> Any:
        """Send a command and wait for its answer.

        Raises:
            StoreUnavailable: there was none, or it was an error.
        """
        done: asyncio.Future[Any] = self._loop.create_future()

        def answer(value: Any) -> None:
            if not done.done():
                if isinstance(value, Exception):
                    done.set_exception(value)
                else:
                    done.set_result(value)

        self.submit(command, answer, size=size, patience=patience)
        return await done

    async def stop(self) -> None:
        """Carry out what was submitted before, or give it up soon; then close the connection."""
        self._stopping = True
        self._last = self._loop.time() + _LAST_PATIENCE
        self._news.set()
        await self._worker

    async def _work(self) -> None:
        delay = 0.0
        while self._calls or not self._stopping:
            if not self._calls:
                self._news.clear()
                await self._news.wait()
                continue
            batch = self._gather()
            failure = await self._carry_out(batch)
            if failure is None:
                delay = 0.0
                continue
            await self._hang_up()
            self._put_back(batch, failure)
            delay = min(max(delay * 2, _FIRST_DELAY), _LONGEST_DELAY)
            await asyncio.sleep(delay)
        await self._hang_up()

    def _gather(self) -> deque[_Call]:
        batch, size = deque[_Call](), 0
        while self._calls and len(batch) < _MOST_COMMANDS and (not batch or size < _MOST_BYTES):
            batch.append(self._calls.popleft())
            size += batch[-1].size
        return batch

    async def _carry_out(self, batch: deque[_Call]) -> Exception | None:
        """Send a batch and take what was answered out of it; why there is a rest, if there is."""
        began = renewed = self._loop.time()
        try:
            async with asyncio.timeout(self._timeout) as deadline:
                if self._wire is None:
                    self._wire = await self._server.connect()
                await self._wire.send([call.command for call in batch])
                while batch:
                    answer = await self._wire.receive()
                    if isinstance(answer, RedisError) and _passes(answer):
                        return answer
                    batch.popleft().answer(self._judged(answer))
                    if (now := self._loop.time()) > renewed + self._timeout / 2:  # it is slow, but it comes
                        deadline.reschedule(now + self._timeout)
                        renewed = now
        except TimeoutError:
            return TimeoutError(f"no answer within {self._timeout:g} s")
        except Exception as error:  # whatever it is, nobody may be left without an answer
            if not isinstance(error, RedisError | OSError):
                log.exception("redis.failed", server=self._server.name)
            return error
        self._observe(self._loop.time() - began)
        return None

    def _judged(self, answer: Any) -> Any:
        if isinstance(answer, Exception):
            kind = StoreFull if isinstance(answer, OutOfMemoryError) else StoreUnavailable
            return kind(f"{self._server.name} refused: {answer}")
        return answer

    def _put_back(self, batch: deque[_Call], failure: Exception) -> None:
        now = self._loop.time()
        for call in batch:
            if min(call.until, self._last) <= now:
                error = StoreUnavailable(f"{self._server.name} can't be reached: {failure}")
                error.__cause__ = failure
                call.answer(error)
        self._calls.extendleft(call for call in reversed(batch) if min(call.until, self._last) > now)

    async def _hang_up(self) -> None:
        wire, self._wire = self._wire, None
        if wire is not None:
            with suppress(RedisError, OSError):
                await wire.close()


def _passes(error: RedisError) -> bool:
    """Whether it happened for a reason that passes: all that follows is then sent again, to keep its order."""
    return isinstance(error, _PASSING) or str(error).startswith(_PASSING_WORDS)
