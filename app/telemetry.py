"""Who is told of what happens: the numbers that `/metrics` shows, and the traces."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import Context
from datetime import datetime

from attrs import Factory, frozen

from app.events import Event, RunStarted
from app.measures import Measures
from app.sessions.base import Outcome, Run
from app.siblings import Siblings
from app.tracing.base import NO_TRACING, Cause, Tracing


@frozen
class Telemetry:
    """What a process counts into, and where it traces; by default into nothing that anybody reads.

    Attributes:
        siblings: who has to be asked as well by whoever wants to see all that happens behind this port.
    """

    measures: Measures = Factory(Measures)
    tracing: Tracing = NO_TRACING
    siblings: Siblings | None = None


class RunWatch:
    """One run that is executed here, from its turn to its end, as operators see it.

    Args:
        run: its row, as it was when its turn came.
        profile: the name of its agent.
        cause: the request that started it, if it names its trace.
        clock: what the times in the row were taken from.
    """

    def __init__(
        self, telemetry: Telemetry, run: Run, profile: str, cause: Cause | None, clock: Callable[[], datetime]
    ) -> None:
        self._measures = telemetry.measures
        self._clock = clock
        self._began = run.started_at or run.created_at
        self._shown = False
        self._first_said: float | None = None
        self._span = telemetry.tracing.run(run, profile, cause)
        self._over = False
        self._run_id = run.id
        self._measures.tails[run.id] = 0
        self._measures.running += 1

    def context(self) -> Context:
        """A fresh context for the agent, in which what it traces belongs to this run."""
        return self._span.context()

    def approvals(self, waiting: Callable[[], bool]) -> None:
        """Told how to find out whether its agent waits for somebody's approval."""
        self._measures.waiting[self._run_id] = waiting

    def appended(self, events: Sequence[Event]) -> None:
        """Told of every append once it is durable."""
        self._measures.tails[self._run_id] += len(events)
        if self._first_said is not None:
            return
        passed = self._since(self._clock())
        if not self._shown:
            self._shown = True
            self._measures.first_event.observe(passed)
        if any(not isinstance(event, RunStarted) for event in events):
            self._first_said = passed
            self._measures.first_said.observe(passed)

    def ended(self, outcome: Outcome, terminal: Event) -> None:
        """How it ended is decided."""
        self._measures.run_seconds.observe(self._since(outcome.at))
        self._span.end(outcome.status, terminal, events=outcome.last_seq, first_said=self._first_said)
        self._measures.tails[self._run_id] = outcome.last_seq
        self._over = True
        self._measures.running -= 1

    def close(self) -> None:
        """It is executed no more; unless `ended` was told how, somebody else has ended it."""
        self._measures.leave(self._run_id)
        if not self._over:
            self._over = True
            self._measures.running -= 1
            self._span.lose()

    def _since(self, at: datetime) -> float:
        return max(0.0, (at - self._began).total_seconds())  # clocks jump
