"""What is counted while Runcast works: plain numbers, kept in one event loop, for whoever wants to expose them.

Counting happens once per append, per batch or per connection, never per message and viewer.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Final, Protocol

from attrs import Factory, define, field

from app.events import Event

_RUN_S: Final = (0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600)
_FIRST_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_COMMIT_S: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


_REMEMBERED: Final = 1000
"""How many runs are remembered that were executed lately."""

_FAILED: Final = ("agent_error", "max_iterations", "deadline_exceeded", "agent_idle", "log_full", "internal_error")
_ENDINGS: Final = (
    ("completed", ""),
    ("cancelled", ""),
    ("interrupted", "run_interrupted"),
    *(("failed", code) for code in (*_FAILED, "other")),
)
"""How a run may end, by status and code (P7.4)."""


class Histogram:
    """How often a value fell into which range.

    Args:
        bounds: the upper bounds of the ranges, rising; a last one without a bound is added.

    Attributes:
        counts: values in each range.
        sum: of all values.
    """

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: Iterable[float]) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Count one value; one that equals a bound is within it."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value


class LoopHealth(Protocol):
    """How well the event loop turns."""

    lag: float
    """Seconds by which its last turn was late."""

    stalls: int
    """How often it was late by more than a second."""

    stalled: float
    """For how many seconds in all."""


@define(eq=False)
class ViewerCount:
    """One open viewer, as it is counted.

    Attributes:
        transport, dialect: how it is spoken to.
        behind: asked for how many events it has still to be given.
        run: asked for the id of the run that it was given events of last, or is given now; None before there was one.
        sent: messages handed to its transport so far.
    """

    transport: str
    dialect: str
    behind: Callable[[], int] = lambda: 0
    run: Callable[[], str | None] = lambda: None
    sent: int = 0


@define(eq=False, kw_only=True)
class Measures:
    """The numbers of one process.

    Attributes:
        running: runs that are executed now.
        queued: asked for how many runs wait for their turn now.
        ended: runs that have ended, by (status, error code; empty without one).
        run_seconds: from a run's turn to its end.
        first_event: seconds from a run's turn to its first event, in its log.
        first_said: the same to the first event that is its agent's.
        events: events that are in a log, by class.
        commits: seconds that each commit of appends to the live log took.
        viewers: the viewers that are open now.
        viewed: viewers that were opened, by (transport, dialect).
        sent: messages to viewers that have gone, by (transport, dialect).
        tails: the last seqs of the runs that are executed now, by run id.
        waiting: asked for whether the agent of a run that is executed now waits for somebody's approval, by run id.
        gaps: positions that could not be honoured (P3.6).
        resumes: viewers that began after a position which they brought along, by transport.
        cuts: viewers whose stream was ended from this side before its natural end, by (transport, reason).
        rejected: requests and commands that were refused, by (door, code).
        loop: the event loop, if it is watched.
    """

    running: int = field(init=False, default=0)
    queued: Callable[[], int] = field(init=False, default=lambda: 0)
    ended: Counter[tuple[str, str]] = field(init=False, default=Factory(lambda: Counter(dict.fromkeys(_ENDINGS, 0))))
    run_seconds: Histogram = field(init=False, default=Factory(lambda: Histogram(_RUN_S)))
    first_event: Histogram = field(init=False, default=Factory(lambda: Histogram(_FIRST_S)))
    first_said: Histogram = field(init=False, default=Factory(lambda: Histogram(_FIRST_S)))
    events: Counter[type[Event]] = field(init=False, default=Factory(Counter))
    commits: Histogram = field(init=False, default=Factory(lambda: Histogram(_COMMIT_S)))
    viewers: set[ViewerCount] = field(init=False, default=Factory(set))
    viewed: Counter[tuple[str, str]] = field(init=False, default=Factory(Counter))
    sent: Counter[tuple[str, str]] = field(init=False, default=Factory(Counter))
    tails: dict[str, int] = field(init=False, default=Factory(dict[str, int]))
    waiting: dict[str, Callable[[], bool]] = field(init=False, default=Factory(dict[str, Callable[[], bool]]))
    _last_tails: dict[str, int] = field(init=False, default=Factory(dict[str, int]))
    gaps: int = field(init=False, default=0)
    resumes: Counter[str] = field(init=False, default=Factory(Counter))
    cuts: Counter[tuple[str, str]] = field(init=False, default=Factory(Counter))
    rejected: Counter[tuple[str, str]] = field(init=False, default=Factory(Counter))

    loop: LoopHealth | None = field(init=False, default=None)

    def expect(self, transport: str, dialect: str, cuts: Iterable[str]) -> None:
        """Show viewers of this kind as none, before there is one, and the reasons for which they may be cut."""
        self.viewed[transport, dialect] += 0
        self.resumes[transport] += 0
        for reason in cuts:
            self.cuts[transport, reason] += 0

    def tail(self, run_id: str) -> int:
        """The last seq of a run that is executed, or was lately; 0 of any other."""
        return self.tails.get(run_id) or self._last_tails.get(run_id, 0)

    def asks(self, run_id: str) -> bool:
        """Whether a run's agent waits for somebody's approval; not if it is executed elsewhere, or no more."""
        waiting = self.waiting.get(run_id)
        return waiting is not None and waiting()

    def leave(self, run_id: str) -> None:
        """A run is executed no more; its viewers may not have had all of it yet."""
        self._last_tails[run_id] = self.tails.pop(run_id)
        self.waiting.pop(run_id, None)
        if len(self._last_tails) > _REMEMBERED:
            del self._last_tails[next(iter(self._last_tails))]

    def end(self, status: str, code: str) -> None:
        """Count a run that has ended; agents may make up codes of their own, which count as one."""
        self.ended[status, code if (status, code) in _ENDINGS else "other"] += 1

    def attach(self, viewer: ViewerCount, *, resumed: bool) -> None:
        """Count a viewer as open until `detach`."""
        self.viewers.add(viewer)
        self.viewed[viewer.transport, viewer.dialect] += 1
        self.resumes[viewer.transport] += resumed

    def detach(self, viewer: ViewerCount) -> None:
        """A viewer has gone; what it was sent stays counted."""
        self.viewers.discard(viewer)
        self.sent[viewer.transport, viewer.dialect] += viewer.sent
