"""A viewer: one open response that follows a run or a session from a position.

Catching up and following live are the same loop, for a session as for a run. Nothing here depends on how fast the
viewer takes what it is given; a viewer that stalls holds its cursor and nobody else.
"""

from __future__ import annotations

import weakref
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from types import TracebackType
from typing import Self

import anyio
from attrs import frozen

from app.capacity import Seat
from app.dialects.base import Batch, Dialect, Frame
from app.errors import Gap, SessionNotFound
from app.measures import Measures
from app.position import Position
from app.runlog.base import Page, RunLog
from app.runlog.cursor import Cursor
from app.sessions.base import Waiting
from app.viewing.extents import Extents
from app.viewing.run_feed import RunFeed, RunFeeds
from app.viewing.session_feed import Ear, SessionFeed

Batches = AsyncGenerator[Batch, None]


class Viewer:
    """What a transport sends from: enter it, then iterate over its batches.

    Args:
        following: where its batches come from.
        seat: its place among the viewers, left when it has ended, or was dropped before it began.

    Attributes:
        drained: it was ended from this side because the process is going away (P7.3).
        dialect: the name of the words that it is given.
    """

    def __init__(self, batches: Batches, following: Following, seat: Seat) -> None:
        self._batches = batches
        self._following = following
        self._leave = weakref.finalize(self, seat.leave)
        self._leave.atexit = False
        self._scope = anyio.CancelScope()
        self.drained = False
        self.dialect = following.dialect

    @property
    def behind(self) -> int:
        """How many events of its run come after the last ones that it was given."""
        return self._following.behind

    @property
    def run_id(self) -> str | None:
        """The run that it stands in: the last one that it was given events of; None before there was one."""
        return self._following.run_id

    def drain(self) -> None:
        """End it, wherever it is: waiting, or in a send that does not return."""
        self.drained = True
        self._scope.cancel()

    async def __aenter__(self) -> Self:
        self._scope.__enter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self._leave()
        await self._batches.aclose()
        return bool(self._scope.__exit__(kind, error, trace))

    def __aiter__(self) -> Batches:
        return self._batches


@frozen
class Slice:
    """A piece of a run's log, in frames: where to go on from, and whether nothing will follow."""

    frames: tuple[Frame, ...]
    next: Position
    done: bool


@frozen
class Numbered:
    """A run and its number, which is settled once it has begun: one that waits may be moved (P4.4).

    Attributes:
        number: as it was when the run was looked up.
        settled: what it is once the run has events.
    """

    id: str
    number: int
    settled: Callable[[], Awaitable[int]]


class Following:
    """How one viewer follows: the log to read, the feeds to share, the dialect to speak.

    Args:
        session_id: the session that it follows, or a run of it.
        kept: whether the session is there, and not deleted.

    Attributes:
        dialect: its name.
    """

    def __init__(
        self,
        log: RunLog,
        runs: RunFeeds,
        dialect: Dialect,
        measures: Measures,
        session_id: str,
        kept: Callable[[], Awaitable[bool]],
    ) -> None:
        self.dialect = dialect.name
        self._session_id = session_id
        self._kept = kept
        self._place: tuple[RunFeed, Cursor] | None = None
        self._log = log
        self._extents = Extents(log)
        self._runs = runs
        self._dialect = dialect
        self._measures = measures

    @property
    def behind(self) -> int:
        """How many events of the run come after the last ones that were given out, as far as is known here."""
        if self._place is None:
            return 0
        feed, cursor = self._place
        return max(0, max(feed.tail, self._measures.tail(feed.run_id)) - cursor.after)

    @property
    def run_id(self) -> str | None:
        """The run whose events are given out, or were last."""
        return self._place[0].run_id if self._place is not None else None

    async def run(self, run: Numbered, start: Position) -> Batches:
        """Follow one run, strictly after `start`, until its terminal (P3.3)."""
        first, tail = await self._extents.of(run.id, start.seq)
        number = await run.settled() if tail else run.number
        at, gap = self._begin(number, first, tail, start)
        if gap.frames:
            yield gap
        caught_up = CaughtUp(self._dialect, Position(number, tail))
        for batch in caught_up.at(Position(number, at)):
            yield batch
        if not tail:
            number = await self._begun(run)
        async with aclosing(self._entries(number, run.id, at, caught_up)) as batches:
            async for batch in batches:
                yield batch

    async def _begun(self, run: Numbered) -> int:
        """Wait for a run's first event; the number that it has then."""
        with self._runs.view(run.number, run.id, self._session_id) as feed, feed.listen() as bell:
            while await self._log.wait(run.id, 0, bell):
                if (await self._extents.of(run.id))[1]:
                    break
                self._runs.check(run.id)
            return await run.settled()

    async def read(self, run: Numbered, start: Position, *, limit: int, wait: float) -> Slice:
        """What there is of a run after `start`, up to `limit` events; waits `wait` seconds for a first one."""
        try:
            return await self._slice(run, start, limit, wait)
        except Gap:  # it was trimmed just now
            return await self._slice(run, start, limit, wait)

    async def _slice(self, run: Numbered, start: Position, limit: int, wait: float) -> Slice:
        at, gap = self._begin(run.number, *await self._extents.of(run.id, start.seq), start)
        with self._runs.view(run.number, run.id, self._session_id) as feed, feed.listen() as bell:
            page = await self._log.read(run.id, at, limit)
            frames = [*gap.frames, *await self._frames(run, feed, page)]
            with anyio.move_on_after(wait):
                while not frames and await self._log.wait(run.id, at, bell):
                    self._runs.check(run.id)
                    page = await self._log.read(run.id, at, limit)
                    frames = await self._frames(run, feed, page)
                    at = page.entries[-1].seq if page.entries else at
            at = page.entries[-1].seq if page.entries else at
            return Slice(tuple(frames), Position(feed.number, at), done=page.closed and at == page.tail)

    async def session(self, feed: SessionFeed, start: Position, ear: Ear, waiting: Sequence[Waiting] = ()) -> Batches:
        """Follow a session's runs in their order, strictly after `start`.

        The runs that are `waiting` when it begins are told of once it has caught up, those that `ear` hears of at once.

        Raises:
            SessionNotFound: the session was deleted, once its last run's terminal was given.
        """
        latest = await self._latest(feed, start)
        at = start
        if await self._extents.lost(feed, at, latest):
            earliest = await self._extents.earliest(feed)
            yield self._gap(at, earliest, latest)
            at = Position(earliest.run, max(earliest.seq - 1, 0))
        caught_up = CaughtUp(self._dialect, latest, self._queued(waiting))
        for batch in caught_up.at(at):
            yield batch
        number, seq = at.run, at.seq
        while not feed.gone:
            if (run_id := feed.run_id(number)) is not None:
                async with aclosing(self._entries(number, run_id, seq, caught_up, ear)) as batches:
                    async for batch in batches:
                        yield batch
            while (following := feed.following(number)) is None and not feed.gone:
                if not ear.bell.rung:
                    await feed.news()
                for batch in self._queued(ear.heard()):
                    yield batch
            number, seq = following or number, 0
        raise SessionNotFound("the session was deleted")

    async def _entries(
        self, number: int, run_id: str, after: int, caught_up: CaughtUp, ear: Ear | None = None
    ) -> Batches:
        with self._runs.view(number, run_id, self._session_id) as feed, feed.listen() as own:
            feed.number = number
            async with Cursor(self._log, run_id, after, bell=ear.bell if ear else own) as cursor:
                self._place = feed, cursor
                while (page := await _next(cursor)) is not None:
                    if isinstance(page, Gap):
                        yield await self._resume(feed, cursor)
                        continue
                    if ear is not None and ear.bell.rung:
                        for batch in self._queued(ear.heard()):
                            yield batch
                    if not page.entries:
                        if feed.gone or (ear is not None and ear.gone):
                            raise SessionNotFound("the session was deleted")
                        continue
                    if (batch := feed.batch(self._dialect, page)).frames:
                        yield batch
                    for batch in caught_up.at(Position(number, page.entries[-1].seq)):
                        yield batch

    def _queued(self, waiting: Sequence[Waiting]) -> list[Batch]:
        return [Batch(self._dialect.run_queued(each.run_id, each.number, each.ahead)) for each in waiting]

    def _begin(self, number: int, first: int, tail: int, start: Position) -> tuple[int, Batch]:
        """The seq to read after, and what to say first: `gap`, when the log can't go on from `start` (P3.6)."""
        latest = Position(number, tail)
        seq = start.seq if start.run == number else 0
        if start > latest or seq < first - 1:
            return first - 1, self._gap(start, Position(number, min(first, tail)), latest)
        return seq, Batch(())

    async def _resume(self, feed: RunFeed, cursor: Cursor) -> Batch:
        """Go on with what is left of a log that was trimmed or lost, or with what will be put in its place.

        Raises:
            SessionNotFound: nothing will be, since the session was deleted.
        """
        first, tail = await self._extents.of(feed.run_id)
        if not tail and not await self._kept():
            raise SessionNotFound("the session was deleted")
        feed.forget()
        requested, cursor.after = Position(feed.number, cursor.after), first - 1
        return self._gap(requested, Position(feed.number, min(first, tail)), Position(feed.number, tail))

    def _gap(self, requested: Position, earliest: Position, latest: Position) -> Batch:
        self._measures.gaps += 1
        return Batch(self._dialect.gap(requested, earliest, latest))

    async def _frames(self, run: Numbered, feed: RunFeed, page: Page) -> list[Frame]:
        if not page.entries:
            return []
        feed.number = await run.settled()
        return list(feed.batch(self._dialect, page).frames)

    async def _latest(self, feed: SessionFeed, start: Position) -> Position:
        last = feed.last()
        run_id = feed.run_id(last)
        if run_id is None:
            return Position(0, 0)
        _, tail = await self._extents.of(run_id, start.seq if start.run == last else 0)
        return Position(last, tail)


async def _next(cursor: Cursor) -> Page | Gap | None:
    """The cursor's next page, or the gap if the log can't go on from there any more."""
    try:
        return await cursor.next()
    except Gap as gap:
        return gap


class CaughtUp:
    """Says `caught_up` once, as soon as everything up to `target` has been sent, and `then` what else there is."""

    def __init__(self, dialect: Dialect, target: Position, then: Sequence[Batch] = ()) -> None:
        self._dialect = dialect
        self._target = target
        self._then = then
        self._said = False

    def at(self, position: Position) -> list[Batch]:
        """What there is to say now that everything up to `position` has been sent."""
        if self._said or position < self._target:
            return []
        self._said = True
        return [Batch(self._dialect.caught_up(position)), *self._then]
