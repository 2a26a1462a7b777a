"""How many may watch and how much may run at once: counted here and nowhere else (P6.6)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from typing import Self

from attrs import frozen

from app.errors import Crowded, RateLimited

_OWNERS = 10_000
"""How many sessions' owners are remembered beyond those whose runs are in progress."""


@frozen(kw_only=True)
class Capacity:
    """The limits; those per principal are None where nobody has to say who they are.

    Attributes:
        viewers, viewers_per_principal: open streams, sockets and long polls.
        runs, runs_per_principal: sessions with a run in progress; what waits in a session's queue does not count.
    """

    viewers: int = 10_000
    viewers_per_principal: int | None = None
    runs: int = 500
    runs_per_principal: int | None = None


class Seats:
    """The places of viewers.

    Attributes:
        taken: how many are.
    """

    def __init__(self, capacity: Capacity) -> None:
        self._capacity = capacity
        self._by_principal: Counter[str] = Counter()
        self.taken = 0

    def take(self, principal: str) -> Seat:
        """Take a place.

        Raises:
            RateLimited: the principal has as many as it may. Crowded: all are taken.
        """
        own = self._capacity.viewers_per_principal
        if own is not None and self._by_principal[principal] >= own:
            raise RateLimited(f"you have {own} streams open, which is as many as you may")
        if self.taken >= self._capacity.viewers:
            raise Crowded("this server has as many viewers as it takes")
        self._by_principal[principal] += 1
        self.taken += 1
        return Seat(self, principal)

    def give_back(self, principal: str) -> None:
        """Free one; a seat does it when it is left."""
        self.taken -= 1
        self._by_principal[principal] -= 1
        if not self._by_principal[principal]:
            del self._by_principal[principal]


class Seat:
    """One viewer's place; leaving it twice does no harm."""

    def __init__(self, seats: Seats, principal: str) -> None:
        self._seats: Seats | None = seats
        self._principal = principal

    def leave(self) -> None:
        """Make room for the next one."""
        seats, self._seats = self._seats, None
        if seats is not None:
            seats.give_back(self._principal)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.leave()


class RunPlaces:
    """The places of runs, one for each session with a run in progress: derived from what is, so that none can leak.

    Args:
        active: the ids of the sessions that have runs here, in progress or waiting.
    """

    def __init__(self, capacity: Capacity, active: Callable[[], AbstractSet[str]]) -> None:
        self._capacity = capacity
        self._active = active
        self._owners: dict[str, str] = {}
        self._starting: Counter[str] = Counter()

    @contextmanager
    def starting(self, principal: str, session_id: str) -> Iterator[None]:
        """Hold a place while a run is being started; a session that has one needs no other.

        Raises:
            RateLimited: there is none.
        """
        sessions = self._active() | self._starting.keys()
        if session_id not in sessions:
            self._refuse_if_full(principal, sessions)
        if len(self._owners) > _OWNERS + len(sessions):
            self._owners = {session: self._owners[session] for session in sessions if session in self._owners}
        self._owners[session_id] = principal
        self._starting[session_id] += 1
        try:
            yield
        finally:
            self._starting[session_id] -= 1
            if not self._starting[session_id]:
                del self._starting[session_id]

    def _refuse_if_full(self, principal: str, sessions: AbstractSet[str]) -> None:
        own = self._capacity.runs_per_principal
        if own is not None and sum(self._owners.get(session) == principal for session in sessions) >= own:
            raise RateLimited(f"you have {own} runs in progress, which is as many as you may")
        if len(sessions) >= self._capacity.runs:
            raise RateLimited("this server has as many runs in progress as it takes")
