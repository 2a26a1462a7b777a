"""Following: which runs this process hears of, and whether what it has heard is still so.

Windows are right as long as they are told of every append. What is published is told at once, but may be missed, and
the server may lose what it had; so every window that somebody may rely on is looked after: at short intervals, in one
pipeline, and at once after a connection was lost or a message did not follow from what was known.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final

import structlog
from attrs import frozen

from app.errors import StoreUnavailable
from app.runlog.codec import decode_segment
from app.runlog.redis.authorship import Authorship, Place
from app.runlog.redis.names import Names
from app.runlog.redis.scripts import LOOK
from app.runlog.redis.shard import Shard
from app.runlog.window import Window
from app.runlog.windows import Windows

log = structlog.get_logger()

LOOK_EVERY: Final = 1.25
_GRACE: Final = 5 / 3
"""How many intervals a lost log has before its followers are told: its writer may close it meanwhile."""

_EMPTY: Final = 4
"""How many intervals a log may be empty before those who wait for it are told to look elsewhere."""

_IDLE: Final = 7
"""How many intervals after which a run that nobody waits on is not heard of any more."""


@frozen
class State:
    """How far a log is.

    Attributes:
        known: it goes on from the place that was asked about.
    """

    place: Place
    closed: bool
    known: bool


class Following:
    """What keeps the windows true.

    Args:
        shard_of: where a run's log is.
        lost: told once of a run of this process's own whose log was found to be lost: its id, the last seq that the
            log had, and the one that it has.
        look_every: seconds between looks.
    """

    def __init__(
        self,
        names: Names,
        windows: Windows,
        authorship: Authorship,
        shard_of: Callable[[str], Shard],
        lost: Callable[[str, int, int], None] | None,
        look_every: float = LOOK_EVERY,
    ) -> None:
        self._names = names
        self._windows = windows
        self._authorship = authorship
        self._shard_of = shard_of
        self._lost = lost
        self._look_every = look_every
        self._loop = asyncio.get_running_loop()
        self._followed: dict[str, float] = {}
        self._suspects: dict[str, tuple[Place, float]] = {}
        self._hurry = asyncio.Event()
        self._looking: dict[Shard, asyncio.Task[None]] = {}
        self._worker = self._loop.create_task(self._work())

    async def follow(self, run_id: str, window: Window) -> None:
        """Learn how far a log is, and from now on hear of what is appended.

        Raises:
            StoreUnavailable: the server can't be reached.
        """
        if run_id not in self._authorship.places:
            self._followed[run_id] = self._loop.time()
            await self._shard_of(run_id).subscriber.subscribe(self._names.channel(run_id))
        state = await self._look(run_id, Place(0, ""))
        if not window.known:
            window.mark = state.place.mark
            window.learn(state.place.seq, closed=state.closed)
        if not (window.closed or run_id in self._authorship.places or run_id in self._followed):
            self._windows.drop(run_id)  # it was taken from this process meanwhile

    def use(self, run_id: str) -> None:
        """Somebody reads or waits here."""
        if run_id in self._followed:
            self._followed[run_id] = self._loop.time()

    def hurry(self) -> None:
        """Look at once: something may have been missed."""
        self._hurry.set()

    def hear(self, channel: str, message: bytes) -> None:
        """Take in what was published: an append, or that a log was dropped."""
        head, _, body = message.partition(b"\n")
        try:
            run_id, first, count, closed, follows, mark = head.decode().rsplit(" ", 5)
            is_drop = not int(count)
        except ValueError:  # anybody may publish
            log.warning("runlog.not_understood", channel=channel)
            return
        if is_drop:
            self.forget(run_id)
        elif self._names.run_of_channel(channel) is None:
            log.warning("runlog.taken", run_id=run_id, at=int(first))
            self._authorship.forget(run_id)
            if run_id not in self._followed:
                self._windows.drop(run_id)
        elif run_id in self._followed:
            self._take_in(run_id, int(first), int(count), body, Place(0, follows), mark, closed=closed == "1")

    def forget(self, run_id: str) -> None:
        """The log was dropped."""
        self._authorship.forget(run_id)
        self._windows.drop(run_id)

    async def stop(self) -> None:
        """Look no more."""
        tasks = {self._worker, *self._looking.values()}
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)

    def _take_in(
        self, run_id: str, first_seq: int, count: int, body: bytes, follows: Place, mark: str, *, closed: bool
    ) -> None:
        window = self._windows.open(run_id)
        if window.known:
            if first_seq + count - 1 <= window.tail:
                return  # it was told before; if it is another history, the next look shows it
            if first_seq != window.tail + 1 or (window.tail and follows.mark != window.mark):
                self.hurry()
                return
        try:
            events = decode_segment(body)
        except StoreUnavailable:  # a newer version wrote it; who reads it is told so
            self._windows.drop(run_id)
            return
        self._windows.publish(run_id, first_seq, events, size=len(body), closed=closed, mark=mark)

    async def _work(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._look_every):
                    await self._hurry.wait()
            self._hurry.clear()
            self._tidy()
            self._look_everywhere(self._relied_on())

    def _relied_on(self) -> dict[str, Place]:
        windows = ((run_id, self._windows.get(run_id)) for run_id in self._followed)
        followed = {
            run_id: Place(window.tail, window.mark)
            for run_id, window in windows
            if window is not None and window.known and not window.closed
        }
        return followed | self._authorship.places

    def _tidy(self) -> None:
        now = self._loop.time()
        idle = [run_id for run_id in self._windows.idle() if self._is_idle(run_id, now)]
        gone = [run_id for run_id in self._followed if self._windows.get(run_id) is None]
        # Somebody may have waited before this process made the first append: from then on it knows by itself.
        mine = [run_id for run_id in self._followed if run_id in self._authorship.places]
        for run_id in (*idle, *gone, *mine):
            if self._followed.pop(run_id, None) is not None:
                self._shard_of(run_id).subscriber.unsubscribe(self._names.channel(run_id))
            if run_id not in self._authorship.places:
                self._windows.drop(run_id)

    def _is_idle(self, run_id: str, now: float) -> bool:
        return now - self._followed.get(run_id, -math.inf) > _IDLE * self._look_every

    def _look_everywhere(self, places: dict[str, Place]) -> None:
        """Look at every shard, save those that have not answered yet: none has to wait for another."""
        self._suspects = {run_id: suspect for run_id, suspect in self._suspects.items() if run_id in places}
        by_shard: dict[Shard, list[tuple[str, Place]]] = {}
        for run_id, place in places.items():
            by_shard.setdefault(self._shard_of(run_id), []).append((run_id, place))
        for shard, theirs in by_shard.items():
            if shard not in self._looking:
                task = self._looking[shard] = self._loop.create_task(self._look_at(theirs))
                task.add_done_callback(lambda _, shard=shard: self._looking.pop(shard))  # type: ignore[misc]

    async def _look_at(self, places: Sequence[tuple[str, Place]]) -> None:
        looks = (self._look(run_id, place) for run_id, place in places)
        states = await asyncio.gather(*looks, return_exceptions=True)
        for (run_id, place), state in zip(places, states, strict=True):
            if isinstance(state, State):
                self._judge(run_id, place, state)
            elif not isinstance(state, StoreUnavailable):
                raise state

    async def _look(self, run_id: str, place: Place) -> State:
        key = self._names.log(run_id)
        answer: Any = await self._shard_of(run_id).reader.ask("EVALSHA", LOOK.sha, 1, key, place.seq, place.mark)
        tail, closed, mark, known = answer
        return State(Place(tail, mark.decode()), bool(closed), bool(known))

    def _judge(self, run_id: str, place: Place, state: State) -> None:
        mine = self._authorship.places.get(run_id)
        if mine is not None and mine == place and state.known:
            if not self._authorship.is_mine(state.place.mark):
                self._authorship.forget(run_id)
                self._windows.drop(run_id)
            self._suspects.pop(run_id, None)
        elif mine is not None and mine == place:
            self._suspect(run_id, place, state, writer=True)
        elif (window := self._windows.get(run_id)) is not None and Place(window.tail, window.mark) == place:
            if not state.known or state.place.seq == 0:  # it may have come, and gone into the archive, unheard
                self._suspect(run_id, place, state, writer=False)
                return
            self._suspects.pop(run_id, None)
            if state.place.seq > window.tail:
                self._windows.skip(run_id, state.place.seq, closed=state.closed, mark=state.place.mark)

    def _suspect(self, run_id: str, place: Place, state: State, *, writer: bool) -> None:
        now = self._loop.time()
        suspected, since = self._suspects.get(run_id, (None, now))
        if suspected != place:
            self._suspects[run_id] = place, now
            if writer and self._lost is not None:
                self._lost(run_id, place.seq, state.place.seq)
        elif now - since >= (_GRACE if place.seq else _EMPTY) * self._look_every and not (writer and self._lost):
            del self._suspects[run_id]
            if state.place.seq:
                self._windows.lose(run_id, state.place.seq, state.place.seq)
            else:
                self._windows.drop(run_id)
