"""What an operator sees of runs: everybody's, as their rows have them, and who views them behind this port.

It is put together when somebody asks, out of what is there anyway: nothing is kept or counted for it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from typing import Final

from attrs import Factory, define, frozen

from app.measures import Measures
from app.position import Position
from app.sessions.base import Listing, RunRecord, RunStatus, SessionStore
from app.siblings import Siblings


@frozen
class Overseen:
    """One run.

    Attributes:
        position: of its last event.
        viewers: how many stand in it, by transport: whose last event is one of its own.
        lag: events that the one of them which is furthest behind has still to be given.
        asks: whether its agent waits for somebody's approval.
    """

    record: RunRecord
    position: Position
    viewers: Mapping[str, int]
    lag: int
    asks: bool


@define
class Standing:
    """How a run stands in one process.

    Attributes:
        tail: its last seq, if it is executed there, or was lately.
        viewers: how many stand in it, by transport.
        lag: of the one of them which is furthest behind.
        asks: whether its agent waits for somebody's approval.
    """

    tail: int = 0
    viewers: dict[str, int] = Factory(dict[str, int])
    lag: int = 0
    asks: bool = False

    def add(self, other: Standing) -> None:
        """What another process knows of the run."""
        self.tail = max(self.tail, other.tail)
        self.viewers = dict(Counter(self.viewers) + Counter(other.viewers))
        self.lag = max(self.lag, other.lag)
        self.asks = self.asks or other.asks


Standings = dict[str, Standing]
"""By the runs' ids."""

STANDINGS: Final = "standings"


class Oversight:
    """Everybody's runs, and the viewers of this process and of the other workers behind its port.

    Args:
        rows: where everybody's runs are.
        measures: what this process has counted.
        siblings: the other workers, if there are any.
    """

    def __init__(self, rows: SessionStore, measures: Measures, siblings: Siblings | None = None) -> None:
        self._rows = rows
        self._measures = measures
        self._siblings = siblings

    async def runs(self, statuses: Collection[RunStatus], limit: int, cursor: str | None) -> Listing[Overseen]:
        """The runs that are in one of these states, newest first.

        Raises:
            InvalidMessage: the cursor is none that this method gave.
        """
        page = await self._rows.every_run(statuses, limit, cursor)
        standings = {run.id: Standing(self._measures.tail(run.id)) for run in page.items}
        told = [await self.standings()]
        if self._siblings is not None:
            told += (await self._siblings.ask(STANDINGS, Standings)).values()
        for each in told:
            for run_id in standings.keys() & each.keys():
                standings[run_id].add(each[run_id])
        return Listing(tuple(_overseen(run, standings[run.id]) for run in page.items), page.next)

    async def standings(self) -> Standings:
        """How the runs stand that are executed or viewed here."""
        found = {id_: Standing(tail, asks=self._measures.asks(id_)) for id_, tail in self._measures.tails.items()}
        for viewer in self._measures.viewers:
            if (run_id := viewer.run()) is not None:
                standing = found.setdefault(run_id, Standing())
                standing.viewers[viewer.transport] = standing.viewers.get(viewer.transport, 0) + 1
                standing.lag = max(standing.lag, viewer.behind())
        return found


def _overseen(run: RunRecord, standing: Standing) -> Overseen:
    seq = run.last_seq if run.ended_at is not None else standing.tail
    return Overseen(run, Position(run.number, seq), standing.viewers, standing.lag, standing.asks)
