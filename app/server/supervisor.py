"""Several workers behind one listening socket: started together, replaced when they die, told to go together."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any, Final

import structlog
from attrs import define, field

from app.errors import ConfigurationError
from app.server.stop_signals import stop_signals
from app.server.workers import Work, begin

log = structlog.get_logger()

_STEADY_S: Final = 30.0
"""Seconds that a worker has to live for its successor to begin at once."""

_FIRST_S: Final = 0.5
_LONGEST_S: Final = 30.0


@define(eq=False)
class _Worker:
    process: SpawnProcess
    said: Connection
    began: float
    serves: bool = False
    refused: str | None = None


@define(eq=False)
class _Place:
    """One of the workers that there should be, and who fills it."""

    number: int
    worker: _Worker | None = None
    due: float = 0.0
    deaths: int = field(default=0, init=False)


class Supervisor:
    """Keeps so many workers at work until a signal asks to stop.

    Args:
        count: how many.
        work: what each of them does.
        serving: called once all of them have accepted connections.
        stopping: called when it is time to go.
    """

    def __init__(self, count: int, work: Work, *, serving: Callable[[], None], stopping: Callable[[], None]) -> None:
        self._work = work
        self._serving = serving
        self._on_stop = stopping
        self._places = [_Place(number) for number in range(count)]
        self._served = False
        self._stopping = False
        self._failure: ConfigurationError | SystemExit | None = None

    def run(self) -> int:
        """Wait until every worker has ended, as a signal asked for; its number.

        Raises:
            ConfigurationError: a worker could not start as configured, and none had before.
            SystemExit: it ended before it served, and said nothing.
        """
        with stop_signals() as signals:
            try:
                while not self._stopping or any(place.worker for place in self._places):
                    self._start_who_is_due()
                    wait([signals.woken, *self._watched()], self._patience())
                    for _ in signals.taken():
                        self._stop()
                    for place in self._places:
                        self._look_after(place)
            except BaseException:
                self._stop()
                raise
        if self._failure is not None:
            raise self._failure
        return signals.first

    def _start_who_is_due(self) -> None:
        for place in self._places:
            if place.worker is None and not self._stopping and place.due <= time.monotonic():
                self._start(place)

    def _start(self, place: _Place) -> None:
        try:
            place.worker = _Worker(*begin(self._work, place.number), time.monotonic())
        except OSError as error:  # no memory, no process number: there may be some later
            place.due = time.monotonic() + _LONGEST_S
            log.error("worker.not_started", worker=place.number, reason=str(error), retry_in=_LONGEST_S)  # noqa: TRY400

    def _watched(self) -> Iterator[Any]:
        for place in self._places:
            if place.worker is not None:
                yield place.worker.process.sentinel
                if not place.worker.serves and place.worker.refused is None:
                    yield place.worker.said

    def _patience(self) -> float | None:
        waiting = [place.due for place in self._places if place.worker is None]
        return max(0.0, min(waiting) - time.monotonic()) if waiting and not self._stopping else None

    def _look_after(self, place: _Place) -> None:
        worker = place.worker
        if worker is None:
            return
        self._hear(worker)
        if worker.process.exitcode is not None:
            place.worker = None
            self._bury(place, worker)
            worker.said.close()
            worker.process.close()

    def _hear(self, worker: _Worker) -> None:
        if worker.serves or worker.refused is not None or not worker.said.poll():
            return
        try:
            worker.refused = worker.said.recv()
        except EOFError:  # it died
            return
        worker.serves = worker.refused is None
        if not self._served and all(place.worker is not None and place.worker.serves for place in self._places):
            self._served = True
            self._serving()

    def _bury(self, place: _Place, worker: _Worker) -> None:
        """Note that a worker has ended, and how its place is to be filled."""
        if self._stopping:
            return
        status = worker.process.exitcode or 0
        lived = time.monotonic() - worker.began
        ended = log.bind(worker=place.number, pid=worker.process.pid, status=_said(status), lived=round(lived, 1))
        if self._served or worker.serves:
            place.deaths = 0 if lived >= _STEADY_S else place.deaths + 1
            delay = min(_FIRST_S * 2 ** (place.deaths - 1), _LONGEST_S) if place.deaths else 0.0
            place.due = time.monotonic() + delay
            ended.error("worker.ended", reason=worker.refused, retry_in=delay)
            return
        # The others would fare no better.
        if worker.refused is not None:
            self._failure = ConfigurationError(worker.refused)
        else:
            self._failure = SystemExit(_code(status))
            ended.error("worker.ended", reason="it ended before it served, and so does the command")
        self._stop()

    def _stop(self) -> None:
        """Pass on that it is time to go, or, the second time, not to wait any longer (P7.3)."""
        self._stopping = True
        self._on_stop()
        for place in self._places:
            if place.worker is not None:
                place.worker.process.terminate()


def _code(status: int) -> int:
    """The exit status of a shell whose command ended so."""
    return status if status > 0 else 128 - status


def _said(status: int) -> str:
    return signal.Signals(-status).name if status < 0 else str(status)
