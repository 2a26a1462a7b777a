"""Everybody who follows something here: let in, counted, sent away."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing, nullcontext
from functools import partial
from weakref import WeakSet

import anyio

from app.capacity import Seats
from app.dialects.base import Dialect
from app.errors import SessionNotFound
from app.measures import Measures
from app.position import START, Position
from app.runlog.archived import ArchivedLog
from app.sessions.base import Run, RunStatus, SessionStore
from app.viewing.extents import Extents
from app.viewing.run_feed import RunFeeds
from app.viewing.session_feed import SessionFeeds
from app.viewing.viewer import Batches, Following, Numbered, Slice, Viewer

_FAREWELL = 2.0
"""Seconds that viewers of a deleted session have to take its last words."""

_AT_ONCE = 500
"""How many sessions are asked about in one query."""


class Audience:
    """The viewers of this process. Whether they may follow what they ask for is decided before they come here.

    Args:
        seats: how many there may be.
        on_count: told the id of a run or session, and its number of viewers, whenever that changes.
        shared: whether other processes start and delete here, too.

    Attributes:
        runs, sessions: what is viewed now.
        seats: how many viewers there are.
    """

    def __init__(
        self,
        log: ArchivedLog,
        rows: SessionStore,
        dialects: Mapping[str, Dialect],
        measures: Measures,
        *,
        seats: Seats,
        on_count: Callable[[str, int], None],
        shared: bool = False,
    ) -> None:
        self.runs = RunFeeds(on_count)
        self.sessions = SessionFeeds(self._begun_runs, on_count, shared=shared)
        self._shared = shared
        self.seats = seats
        self._log = log
        self._extents = Extents(log)
        self._rows = rows
        self._dialects = dialects
        self._measures = measures
        self._viewers: WeakSet[Viewer] = WeakSet()

    async def now(self, session_id: str) -> Position:
        """Where a viewer begins that names no position: before the run in progress, or after everything (P3.4)."""
        last = await self.sessions.last(session_id)
        return await self._extents.live(*last) if last is not None else START

    def follow_session(self, principal: str, session_id: str, start: Position, dialect: str) -> Viewer:
        """A viewer of a session, strictly after `start`.

        Raises:
            RateLimited: there are too many viewers.
        """
        following = self._following(dialect, session_id)
        return self._viewer(principal, self._batches(session_id, start, following), following)

    def follow_run(self, principal: str, run: Run, start: Position, dialect: str) -> Viewer:
        """A viewer of one run.

        Raises:
            RateLimited: there are too many viewers.
        """
        following = self._following(dialect, run.session_id)
        batches = following.run(self._numbered(run), start)
        return self._viewer(principal, self._held(run, batches) if self._shared else batches, following)

    async def read(self, principal: str, run: Run, start: Position, *, limit: int, wait: float) -> Slice:
        """A piece of a run's log in the native dialect; who waits for it is a viewer meanwhile.

        Raises:
            RateLimited: there are too many viewers.
        """
        with self.seats.take(principal) if wait else nullcontext():
            return await self._following("native", run.session_id).read(
                self._numbered(run), start, limit=limit, wait=wait
            )

    async def dismiss(self, session_id: str, run_ids: Sequence[str]) -> None:
        """Let the viewers of a deleted session have its last words, then nobody view its runs any more."""
        with anyio.move_on_after(_FAREWELL):
            await self.sessions.dismiss(session_id)
            await self.runs.empty(run_ids)
        self.runs.forbid(run_ids)

    async def catch_up(self, session_id: str) -> None:
        """Find out what those who view a session were not told."""
        if await self._rows.latest_numbers([session_id]):
            await self.sessions.refresh(session_id)
        else:
            await self._miss([session_id])

    async def look(self) -> None:
        """Find out what anybody who views something here was not told: what is told is told once, and may be lost.

        A session that is deleted is left to whoever deletes it, who lets its runs have their terminals first, until
        nothing of it is there any more.
        """
        known = self.sessions.last_known()
        viewed = [*{**known, **self.runs.by_session()}]
        for part in (viewed[start : start + _AT_ONCE] for start in range(0, len(viewed), _AT_ONCE)):
            latest = await self._rows.latest_numbers(part)
            for session_id in part:
                if latest.get(session_id, 0) > known.get(session_id, sys.maxsize):
                    await self.sessions.refresh(session_id)
            await self._miss([session_id for session_id in part if session_id not in latest])

    async def _miss(self, session_ids: Sequence[str]) -> None:
        """Dismiss whoever views sessions that are gone, or runs of theirs."""
        runs = self.runs.by_session() if session_ids else {}
        async with anyio.create_task_group() as group:
            for session_id in session_ids:
                group.start_soon(self.dismiss, session_id, runs.get(session_id, []))

    def drain(self) -> None:
        """Send everybody away (P7.3)."""
        for viewer in list(self._viewers):
            viewer.drain()

    async def _begun_runs(self, session_id: str) -> Sequence[tuple[int, str]]:
        begun = await self._rows.begun_runs(session_id)
        self._log.heed_trims(run.id for run in begun if run.trimmed)
        return [(run.number, run.id) for run in begun]

    def _viewer(self, principal: str, batches: Batches, following: Following) -> Viewer:
        viewer = Viewer(batches, following, self.seats.take(principal))
        self._viewers.add(viewer)
        return viewer

    async def _batches(self, session_id: str, start: Position, following: Following) -> Batches:
        with self.sessions.view(session_id) as feed, feed.listen() as ear:
            # A run's row is there before this process is told of it.
            if self._shared or not feed.loaded or start.run > feed.last():
                feed.add(await self._begun_runs(session_id))
                feed.loaded = True
            waiting = await self._rows.waiting_runs(session_id)  # or it was deleted since it was looked up
            async with aclosing(following.session(feed, start, ear, waiting)) as batches:
                async for batch in batches:
                    yield batch

    async def _held(self, run: Run, batches: Batches) -> Batches:
        """The batches of a run, unless its session was deleted in another process since the run was looked up."""
        async with aclosing(batches):
            with self.runs.view(run.number, run.id, run.session_id):
                if not await self._rows.holds_session(run.session_id):
                    raise SessionNotFound("the session was deleted")
                async for batch in batches:
                    yield batch

    def _numbered(self, run: Run) -> Numbered:
        async def settled() -> int:
            if run.status is not RunStatus.QUEUED:
                return run.number
            begun = await self._rows.get_run(run.session_id, run.id)
            return begun.number if begun is not None else run.number

        return Numbered(run.id, run.number, settled)

    def _following(self, dialect: str, session_id: str) -> Following:
        kept = partial(self._rows.holds_session, session_id)
        return Following(self._log, self.runs, self._dialects[dialect], self._measures, session_id, kept)
