"""Who talks to a simulated process: they start runs, follow, drop, come back, and note everything."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

from attrs import define, field
from sqlalchemy.exc import SQLAlchemyError

from app.dialects.base import Frame
from app.errors import Draining, QueueFull, RunActive, RunNotFound, SessionNotFound, StoreUnavailable
from app.hosting.conversation import NewMessage
from app.position import Position
from app.sessions.base import OnConflict
from app.viewing.viewer import Viewer
from tests.simulation.world import World
from tests.simulation.writing import Life

ME = "ada"
MOST_DROPS = 8
STORE_FAILED = (OSError, SQLAlchemyError, StoreUnavailable)


@define(eq=False)
class Connection:
    """One open viewer, from its side.

    Attributes:
        after: where it asked to begin.
        latest: the session's or run's last durable position when it asked.
        open_then: the run in progress had no terminal when it asked; `open_at_first` when it got its first message.
        ended: how it ended: `end`, `left`, or an error's name.
    """

    target: str | None
    after: Position | None
    latest: Position
    open_then: bool
    open_at_first: bool = True
    frames: list[Frame] = field(factory=list)
    ended: str = "left"
    drained: bool = False


@define(eq=False)
class Watcher:
    """Somebody who follows a session, or one run, and comes back after every drop with the position it has.

    Attributes:
        drops: how likely it is to drop after a while, each of the first times it follows.
        stalls: how likely it is to take nothing for a while.
        at: the last position it received.
    """

    world: World
    name: str
    session: str
    run_id: str | None = None
    first_after: Position | None = None
    drops: float = 0.0
    stalls: float = 0.0
    at: Position | None = None
    done: bool = False
    connections: list[Connection] = field(factory=list)
    moved: asyncio.Event = field(factory=asyncio.Event)

    async def live(self) -> None:
        """Follow until there is nothing to come, through drops, drains and restarts."""
        while not self.done:
            await self.world.opened.wait()
            try:
                await self._connect()
            except SessionNotFound:
                self._finish("the session is gone")
            except RunNotFound:
                self._finish("the run is gone")
            except Draining:
                self.say("is turned away")
                await asyncio.sleep(0.5)
            except STORE_FAILED as error:
                self.say("is failed", type(error).__name__)
                await asyncio.sleep(0.5)

    def _finish(self, why: str) -> None:
        self.say(why)
        self.done = True
        self.moved.set()

    async def _connect(self) -> None:
        world = self.world
        after = self.at if self.at is not None else self.first_after
        latest, open_then = latest_of(world, self.session, self.run_id)
        if self.run_id is None:
            viewer: Viewer | None = await world.registry.follow_session(ME, self.session, after)
        else:
            viewer = await world.registry.follow_run(ME, self.session, self.run_id, after)
        connection = Connection(self.run_id, after, latest, open_then)
        self.say("follows after", after, "latest", latest)
        if viewer is None:
            assert self.at is not None, "nothing is left to send, to somebody who has nothing"
            self._finish("has it all (204)")
            return
        self.connections.append(connection)
        await self._read(viewer, connection)

    async def _read(self, viewer: Viewer, connection: Connection) -> None:
        dice = self.world.schedule.script
        drops = len(self.connections) < MOST_DROPS and dice.random() < self.drops
        patience = dice.choice((0.0, 0.01, 0.3, 2.0)) if drops else None
        try:
            async with viewer, asyncio.timeout(patience):
                async for batch in viewer:
                    for frame in batch.frames:
                        self._take(connection, frame)
                    if dice.random() < self.stalls:
                        await asyncio.sleep(dice.choice((0, 0, 0.05, 3.0)))
                connection.ended = "end"
        except TimeoutError:
            self.say("drops at", self.at)
            return
        except SessionNotFound:
            connection.ended = "gone"
            raise
        finally:
            connection.drained = viewer.drained
        if viewer.drained:
            connection.ended = "drained"
            self.say("is sent away at", self.at)
            await asyncio.sleep(0)
        elif self.run_id is not None:
            self._finish("has seen the end")

    def _take(self, connection: Connection, frame: Frame) -> None:
        if not connection.frames and connection.open_then:
            connection.open_at_first = self._is_in_progress(connection.latest.run)
        connection.frames.append(frame)
        self.moved.set()
        self.moved = asyncio.Event()
        self.say("gets", frame.id, frame.json[:60].decode())
        if frame.id is not None:
            self.at = frame.id
            self._check_durable(frame.id)

    def _is_in_progress(self, number: int) -> bool:
        """Whether this is the session's last run with events, and is still to have its terminal."""
        logs = {each: self.world.ledger.of(run_id) for each, run_id in self.world.numbers(self.session).items()}
        later = any(kept.told for each, kept in logs.items() if each > number)
        return not later and not logs[number].seen_to_end

    def _check_durable(self, position: Position) -> None:
        # P7.2, at the very moment at which it is shown.
        run_id = self.world.numbers(self.session)[position.run]
        kept = self.world.ledger.of(run_id)
        assert position.seq <= len(kept.events), f"{position} is shown, but only {len(kept.events)} events are durable"

    def has_all(self, end: Position) -> bool:
        """Whether nothing is left to come, now that the session's end is known."""
        if self.done or self.at == end:
            return True
        if self.at is not None or not self.connections:
            return False
        said = [json.loads(frame.json) for frame in self.connections[-1].frames if frame.id is None]
        return any(message["type"] == "caught_up" and message["position"] == str(end) for message in said)

    def say(self, *what: object) -> None:
        self.world.schedule.say(self.name, *what)


def latest_of(world: World, session: str, run_id: str | None) -> tuple[Position, bool]:
    """The last position that was acknowledged, and whether its run is still to have its terminal.

    A run that ended while it waited comes when those before it have ended.
    """
    latest, open_ = Position(0, 0), False
    for number, each in sorted(world.numbers(session).items()):
        kept = world.ledger.of(each)
        if kept.told and run_id in (None, each):
            latest, open_ = Position(number, kept.told), not kept.seen_to_end
        if run_id is None and not kept.seen_to_end:
            break
    return latest, open_


@define(eq=False)
class Said:
    """A message that somebody sends, under one key: what came of it.

    Attributes:
        run_ids: the runs that answers named; never more than one.
        created: how many answers said that the run was new.
        refused: the last refusal, if it was not taken.
    """

    content: str
    key: str | None
    cancel_when_left: bool = False
    on_conflict: OnConflict = "reject"
    tries: int = 1
    copies: int = 1
    run_ids: set[str] = field(factory=set)
    created: int = 0
    unsure: bool = False
    refused: str | None = None


@define(eq=False)
class Speaker:
    """Somebody who sends messages into a session, one after the other."""

    world: World
    name: str
    session: str
    messages: list[Said]
    pause: Callable[[], float]
    next: int = 0

    async def live(self) -> None:
        while self.next < len(self.messages):
            message = self.messages[self.next]
            await self.world.opened.wait()
            await self._send(message)
            self.next += 1
            await asyncio.sleep(self.pause())

    def _is_well(self, life: Life) -> bool:
        """Whether nothing keeps the process of that time from answering."""
        return life is self.world.life and not life.struck and self.world.opened.is_set()

    def resume(self) -> None:
        """Go on after the process died; what was sent without a key can't be asked for again."""
        if self.next < len(self.messages):
            message = self.messages[self.next]
            if message.run_ids or (message.unsure and message.key is None):
                self.next += 1

    async def _send(self, message: Said) -> None:
        for _ in range(message.tries):
            # Whoever dies while it waits for an answer does not know; it may ask again only under a key.
            message.unsure = message.refused is None
            async with asyncio.TaskGroup() as tasks:
                for _ in range(message.copies):
                    tasks.create_task(self._start(message))
            message.unsure = False
            if message.run_ids:
                return
            await asyncio.sleep(self.pause())

    async def _start(self, message: Said) -> None:
        self.say("sends", repr(message.content), "key", message.key)
        life = self.world.life
        try:
            started = await self.world.registry.start(
                ME,
                self.session,
                NewMessage(
                    message.content,
                    cancel_when_left=message.cancel_when_left,
                    on_conflict=message.on_conflict,
                    idempotency_key=message.key,
                ),
            )
        except (RunActive, QueueFull, Draining, SessionNotFound, *STORE_FAILED) as refusal:
            if isinstance(refusal, STORE_FAILED) and self._is_well(life):
                raise AssertionError("a start fails, though every disk is well") from refusal
            message.refused = type(refusal).__name__
            self.say("is refused", message.refused)
            return
        message.run_ids.add(started.run.id)
        message.created += started.created
        self.say("has started" if started.created else "meets", started.run.id[:8], "number", started.run.number)

    def say(self, *what: object) -> None:
        self.world.schedule.say(self.name, *what)
