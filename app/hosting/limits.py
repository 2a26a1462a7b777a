"""How long a run may take, how long it may be silent, and how much it may say (P6.6, P7.1)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final

from attrs import frozen

from app.events import Event, RunFailed, StreamEnd, TextDelta, ThinkingDelta, TurnThinking
from app.runlog.codec import encode_event

_OVERHEAD: Final = 64
"""Bytes that a stored delta has besides its text."""

_PIECE: Final = 64 * 1024
_LOOKS: Final = 8
"""How often a run is looked at within the time that its agent may say nothing."""

_SPARE: Final = 8
"""Events kept free for what one more word of the agent may bring besides itself, the terminal among them."""


@frozen(kw_only=True)
class RunLimits:
    """What a run may take.

    Attributes:
        deadline: seconds until it is ended with `deadline_exceeded`; 0 for none.
        idle: seconds without a word of the agent until it is ended with `agent_idle`; 0 for none.
        events, bytes: what its log may hold; then it is ended with `log_full`.
    """

    deadline: float = 1800.0
    idle: float = 300.0
    events: int = 100_000
    bytes: int = 32 * 1024 * 1024

    @property
    def too_late(self) -> RunFailed:
        """The terminal of a run that took too long."""
        return RunFailed("deadline_exceeded", f"the run took longer than {self.deadline:g} seconds")

    @property
    def silent(self) -> RunFailed:
        """The terminal of a run whose agent said nothing."""
        return RunFailed("agent_idle", f"the agent said nothing for {self.idle:g} seconds")

    @property
    def full(self) -> RunFailed:
        """The terminal of a run whose log has no more room."""
        most = f"{self.events} events and {self.bytes} bytes"
        return RunFailed("log_full", f"the run said more than a log may hold: at most {most}")


class Timekeeper:
    """A run's deadline, and the wait for its agent's next word: a few looks at what was heard, at no cost to each word.

    Args:
        expired: told the terminal of a run whose time is over.
        heard: how often the agent has said something.
        excused: whether the agent's silence is not its own: it waits for a person, or for storage.
    """

    def __init__(
        self,
        limits: RunLimits,
        *,
        expired: Callable[[RunFailed], None],
        heard: Callable[[], int],
        excused: Callable[[], bool],
    ) -> None:
        self._limits = limits
        self._expired = expired
        self._heard = heard
        self._excused = excused
        self._loop = asyncio.get_running_loop()
        self._seen = -1
        self._since = 0.0
        self._deadline: asyncio.TimerHandle | None = None
        self._idle: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """The run begins."""
        if self._limits.deadline:
            self._deadline = self._loop.call_later(self._limits.deadline, self._too_late)
        if self._limits.idle:
            self._look()

    def stop(self) -> None:
        """The run is ending."""
        for timer in (self._deadline, self._idle):
            if timer is not None:
                timer.cancel()

    def _too_late(self) -> None:
        self._expired(self._limits.too_late)

    def _look(self) -> None:
        now, heard = self._loop.time(), self._heard()
        if heard != self._seen or self._excused():
            self._seen, self._since = heard, now
        if now - self._since >= self._limits.idle:
            self._expired(self._limits.silent)
        else:
            self._idle = self._loop.call_later(self._limits.idle / _LOOKS, self._look)


class Allowance:
    """The room that is left in a run's log.

    Attributes:
        events: how many were taken.
    """

    def __init__(self, limits: RunLimits) -> None:
        self._limits = limits
        self.events = 0
        self._bytes = 0

    def has_plenty(self, raw: Any) -> bool:
        """Whether there is room beyond doubt for what the agent says now; `fits` knows exactly, at a price."""
        # What is unclosed is at most what was said, and a character has at most four bytes.
        few, short = 2 * self.events + _SPARE, type(raw) is str and len(raw) <= _PIECE
        return short and few < self._limits.events and self._bytes + 4 * _PIECE < self._limits.bytes

    def fits(self, raw: Any, unclosed: int) -> bool:
        """Whether there is room for what the agent says now, and then still for the end of all that is unclosed."""
        size = _length(raw)
        needed = unclosed + _SPARE + size // _PIECE
        return self.events + needed <= self._limits.events and self._bytes + size <= self._limits.bytes

    def take(self, events: Sequence[Event]) -> None:
        """Count events as written."""
        self.events += len(events)
        for event in events:
            self._bytes += _size(event)


def _length(raw: Any) -> int:
    """Bytes of the text in it that is never cut; everything else is cut to something small."""
    match raw:
        case str():
            return _utf8(raw)
        case TextDelta(delta=text) | ThinkingDelta(delta=text) | StreamEnd(full_content=text):
            return _utf8(text) if isinstance(text, str) else 0
        case TurnThinking(thinking=text):
            return _utf8(text) if isinstance(text, str) else 0
        case _:
            return 0


def _size(event: Event) -> int:
    if type(event) is TextDelta or type(event) is ThinkingDelta:
        return _utf8(event.delta) + _OVERHEAD
    return len(encode_event(event))


def _utf8(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode(errors="replace"))
