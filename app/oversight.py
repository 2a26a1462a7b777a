"""What an operator sees of runs: everybody's, as their rows have them, and who views them here.

It is put together when somebody asks, out of what is there anyway: nothing is kept or counted for it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping

from attrs import frozen

from app.measures import Measures
from app.position import Position
from app.sessions.base import Listing, RunRecord, RunStatus, SessionStore


@frozen
class Overseen:
    """One run.

    Attributes:
        position: of its last event.
        viewers: how many stand in it, by transport: whose last event is one of its own.
        lag: events that the one of them which is furthest behind has still to be given.
    """

    record: RunRecord
    position: Position
    viewers: Mapping[str, int]
    lag: int


class Oversight:
    """Everybody's runs, and the viewers of this process."""

    def __init__(self, rows: SessionStore, measures: Measures) -> None:
        self._rows = rows
        self._measures = measures

    async def runs(self, statuses: Collection[RunStatus], limit: int, cursor: str | None) -> Listing[Overseen]:
        """The runs that are in one of these states, newest first.

        Raises:
            InvalidMessage: the cursor is none that this method gave.
        """
        page = await self._rows.every_run(statuses, limit, cursor)
        transports: dict[str, Counter[str]] = {run.id: Counter() for run in page.items}
        lags = dict.fromkeys(transports, 0)
        for viewer in self._measures.viewers:
            run_id = viewer.run()
            if run_id is not None and run_id in transports:
                transports[run_id][viewer.transport] += 1
                lags[run_id] = max(lags[run_id], viewer.behind())
        runs = (Overseen(run, self._position(run), transports[run.id], lags[run.id]) for run in page.items)
        return Listing(tuple(runs), page.next)

    def _position(self, run: RunRecord) -> Position:
        return Position(run.number, run.last_seq if run.ended_at is not None else self._measures.tail(run.id))
