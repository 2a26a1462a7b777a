"""What this process has appended, and what it therefore may say of a log.

Every append has a mark that no other append has, and names the mark that it follows. Two logs that hold the same mark
at the same seq hold the same events up to there, as in Raft's logs with their terms; that is how a log that went back
in time, or was begun again, is told from one that has only grown. It also makes an append that is sent twice one.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from itertools import count

from attrs import define, frozen

from app.events import Event
from app.runlog.redis.names import WRITER_CHARS


@frozen(eq=False)
class Append:
    """An append as it is sent.

    Attributes:
        mark: its own.
        follows: the mark that it must follow; empty for any.
        held: that mark's append was acknowledged here, so that a log without it has lost something.
    """

    run_id: str
    first_seq: int
    events: Sequence[Event]
    body: bytes
    closed: bool
    mark: str
    follows: str
    held: bool

    @property
    def last_seq(self) -> int:
        """The seq of its last event."""
        return self.first_seq + len(self.events) - 1


@frozen
class Place:
    """How far a log was, and the mark of the append that ended there."""

    seq: int
    mark: str


@define(eq=False)
class Authorship:
    """The logs that this process writes.

    Attributes:
        name: of this writer; every mark of its own begins with it.
        places: the open logs that it was the last to append to, as it was told.
    """

    name: str
    places: dict[str, Place]
    _unsure: dict[str, Append]
    _numbers: count[int]

    @classmethod
    def begin(cls) -> Authorship:
        """One that has written nothing."""
        return cls(secrets.token_hex(WRITER_CHARS // 2), {}, {}, count(1))

    def prepare(self, run_id: str, first_seq: int, events: Sequence[Event], body: bytes, *, closed: bool) -> Append:
        """Make an append; one that was not answered, and is made again, keeps its mark."""
        unsure = self._unsure.pop(run_id, None)
        if unsure is not None and (unsure.first_seq, unsure.closed, unsure.body) == (first_seq, closed, body):
            return unsure
        place = self.places.get(run_id)
        held = place is not None and place.seq == first_seq - 1
        follows = place.mark if place is not None and held else ""
        mark = f"{self.name}{next(self._numbers):x}"
        return Append(run_id, first_seq, events, body, closed, mark, follows, held)

    def doubt(self, append: Append) -> None:
        """Nobody knows whether this append was carried out."""
        self._unsure[append.run_id] = append

    def settle(self, append: Append) -> None:
        """This append was carried out."""
        if append.closed:
            self.forget(append.run_id)
        else:
            self.places[append.run_id] = Place(append.last_seq, append.mark)

    def forget(self, run_id: str) -> None:
        """The log is somebody else's, closed, or gone."""
        self.places.pop(run_id, None)
        self._unsure.pop(run_id, None)

    def is_mine(self, mark: str) -> bool:
        """Whether an append with this mark was made here."""
        return mark.startswith(self.name)
