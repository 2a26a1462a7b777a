"""The registry over its log against a model of plain lists, in whatever order hypothesis finds most telling."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Coroutine
from typing import Any, TypeVar

from attrs import define, field
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule

from app.agents.base import Turn
from app.errors import AgentError, IdempotencyMismatch, RunActive, RunNotFound, SessionNotFound
from app.events import StreamEnd
from app.hosting.conversation import NewMessage
from app.position import Position
from app.viewing.viewer import Viewer
from tests.simulation.agents import Company
from tests.simulation.campaign import SCHEDULES
from tests.simulation.judge import PAGE
from tests.simulation.people import ME
from tests.simulation.schedule import Schedule, clean_up, seeded_ids
from tests.simulation.storage import MemoryDisks
from tests.simulation.world import World

T = TypeVar("T")
EXAMPLES = min(300, SCHEDULES // 20)


class Directed(Company):
    """An agent that says what it is told to, run by run."""

    def __init__(self, schedule: Schedule) -> None:
        super().__init__(schedule)
        self.lines: dict[str, asyncio.Queue[Any]] = {}

    async def run_stream(self, turn: Turn) -> AsyncIterator[Any]:
        lines = self.lines.setdefault(turn.content, asyncio.Queue())
        while True:
            line = await lines.get()
            if isinstance(line, Exception):
                raise line
            yield line
            if isinstance(line, StreamEnd):
                return


@define(eq=False)
class Told:
    """What the model knows of a run: the words that were said, and how it ended.

    Attributes:
        words: in the order in which they were said.
        end: the terminal's `type` on the wire, None while it goes on.
        trimmed: nothing but the terminal is left of its log.
    """

    session: str
    run_id: str
    number: int
    content: str
    key: str | None
    words: list[str] = field(factory=list)
    end: str | None = None
    trimmed: bool = False


@define(eq=False)
class Seat:
    """A viewer that takes a batch for every permit it is given, and stalls in between."""

    run: Told
    viewer: Viewer
    after: Position | None
    permits: asyncio.Semaphore
    got: list[dict[str, Any]] = field(factory=list)
    task: asyncio.Task[None] | None = None

    async def watch(self) -> None:
        async with self.viewer as viewer:
            async for batch in viewer:
                await self.permits.acquire()
                self.got += [json.loads(frame.json) for frame in batch.frames]

    @property
    def at(self) -> Position | None:
        ids = [message["id"] for message in self.got if "id" in message]
        return Position.parse(ids[-1]) if ids else self.after

    @property
    def words(self) -> str:
        return "".join(message["delta"] for message in self.got if message["type"] == "stream_delta")


class Machine(RuleBasedStateMachine):
    sessions = Bundle("sessions")
    runs = Bundle("runs")
    seats = Bundle("seats")

    @initialize(target=sessions, seed=st.integers(0, 2**32))
    def open(self, seed: int) -> str:
        self.schedule = Schedule(seed)
        self.ids = seeded_ids(seed)
        self.ids.__enter__()
        self.world = World(self.schedule, MemoryDisks())
        self.agent = self.world.company = Directed(self.schedule)
        self.told: dict[str, list[Told]] = {}
        self.watched: list[Seat] = []
        self.said = 0
        self.run(self.world.open())
        return self.create_session()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        asyncio.set_event_loop(self.schedule.loop)
        try:
            return self.schedule.loop.run_until_complete(work)
        finally:
            asyncio.set_event_loop(None)

    def settle(self, seconds: float = 1.0) -> None:
        self.run(asyncio.sleep(seconds))

    def active(self, session: str) -> Told | None:
        return next((run for run in self.told[session] if run.end is None), None)

    # rules

    @rule(target=sessions)
    def another_session(self) -> str:
        return self.create_session()

    def create_session(self) -> str:
        session = self.run(self.world.registry.create_session(ME, None, None)).id
        self.told[session] = []
        return session

    @rule(target=runs, session=sessions, keyed=st.booleans())
    def start(self, session: str, keyed: bool) -> Any:
        self.said += 1
        message = NewMessage(f"m{self.said}", idempotency_key=f"k{self.said}" if keyed else None)
        try:
            started = self.run(self.world.registry.start(ME, session, message))
        except SessionNotFound:
            assert session not in self.told
            return multiple()
        except RunActive:
            assert self.active(session) is not None
            return multiple()
        assert started.created
        assert self.active(session) is None
        run = Told(session, started.run.id, started.run.number, message.content, message.idempotency_key)
        assert run.number == len(self.told[session]) + 1
        self.told[session].append(run)
        return run

    @rule(run=runs, other=st.booleans())
    def retry(self, run: Told, other: bool) -> None:
        """The same key again: the same run, with another body a refusal."""
        if run.key is None or run.session not in self.told:
            return
        content = "something else" if other else run.content
        try:
            again = self.run(self.world.registry.start(ME, run.session, NewMessage(content, idempotency_key=run.key)))
        except IdempotencyMismatch:
            assert other
            return
        assert not other
        assert (again.created, again.run.id) == (False, run.run_id)

    @rule(run=runs, count=st.integers(1, 5), at_once=st.booleans())
    def append(self, run: Told, count: int, at_once: bool) -> None:
        for _ in range(count):
            self.said += 1
            self.tell(run, f"w{self.said} ")
            if run.end is None:
                run.words.append(f"w{self.said} ")
        if at_once:
            self.settle()

    @rule(run=runs)
    def finish(self, run: Told) -> None:
        self.tell(run, StreamEnd("".join(run.words)))
        self.ends(run, "stream_end")

    @rule(run=runs)
    def fail(self, run: Told) -> None:
        self.tell(run, AgentError("no more"))
        self.ends(run, "error")

    @rule(run=runs)
    def cancel(self, run: Told) -> None:
        if run.session in self.told:
            self.settle()
            self.run(self.world.registry.cancel(ME, run.session, run.run_id))
            self.ends(run, "stream_cancelled")

    def tell(self, run: Told, line: Any) -> None:
        if run.end is None:
            self.agent.lines.setdefault(run.content, asyncio.Queue()).put_nowait(line)

    def ends(self, run: Told, how: str) -> None:
        self.settle(10)
        run.end = run.end or how

    @rule(target=seats, run=runs, back=st.none() | st.integers(0, 3))
    def follow(self, run: Told, back: int | None) -> Any:
        """From the first event, or from some that are there already."""
        after = None
        if back is not None and run.session in self.told:
            there = len(self.world.ledger.of(run.run_id).events)
            after = Position(run.number, max(0, there - back))
        return self.sit(run, after)

    def sit(self, run: Told, after: Position | None) -> Any:
        try:
            viewer = self.run(self.world.registry.follow_run(ME, run.session, run.run_id, after))
        except (SessionNotFound, RunNotFound):
            assert run.session not in self.told
            return multiple()
        if viewer is None:
            assert run.end is not None
            return multiple()
        seat = Seat(run, viewer, after, asyncio.Semaphore(0))
        seat.task = self.schedule.loop.create_task(seat.watch())
        self.watched.append(seat)
        return seat

    @rule(seat=seats, batches=st.integers(1, 4))
    def read(self, seat: Seat, batches: int) -> None:
        """Take some; what is never taken is a stall."""
        for _ in range(batches):
            seat.permits.release()
        self.settle(0.5)

    @rule(seat=consumes(seats))
    def drop(self, seat: Seat) -> None:
        self.leave(seat)

    @rule(target=seats, seat=consumes(seats))
    def resume(self, seat: Seat) -> Any:
        """Drop, and come back with the last position that was received."""
        self.leave(seat)
        return self.sit(seat.run, seat.at)

    def leave(self, seat: Seat) -> None:
        assert seat.task is not None
        seat.task.cancel()
        self.run(asyncio.wait({seat.task}))  # type: ignore[arg-type]
        if seat in self.watched:
            self.watched.remove(seat)

    @rule(session=sessions, luck=st.integers(0, 5))
    def delete(self, session: str, luck: int) -> None:
        """The terminal for who watches, then nothing."""
        if luck or session not in self.told:
            return
        for seat in self.watched:
            for _ in range(100):
                seat.permits.release()
        self.run(self.world.registry.delete_session(ME, session))
        for run in self.told.pop(session):
            run.end = run.end or "stream_cancelled"
            assert self.world.ledger.of(run.run_id).dropped

    @rule(luck=st.integers(0, 7))
    def crash_and_restart(self, luck: int) -> None:
        if luck:
            return  # it would be most of what ever happens
        self.watched.clear()
        self.run(self.crash())
        for runs in self.told.values():
            for run in runs:
                if run.end is None:
                    # What was not acknowledged may be lost; what is left is how it began.
                    kept = self.words_in_log(run)
                    assert "".join(run.words).startswith(kept)
                    run.words = [kept]
                    run.end = "error"

    async def crash(self) -> None:
        await self.world.crash()
        self.agent.lines.clear()
        await self.world.open()

    def words_in_log(self, run: Told) -> str:
        deltas = [event.delta for event in self.world.ledger.of(run.run_id).events if hasattr(event, "delta")]
        return "".join(deltas)

    @rule(run=runs)
    def trim(self, run: Told) -> None:
        """What retention leaves of a log is its terminal; who comes for more is told by a gap (P3.6)."""
        if run.end is not None and run.session in self.told and not self.is_watched(run):
            self.settle(10)
            self.run(self.world.log.trim(run.run_id))
            run.trimmed = True

    def is_watched(self, run: Told) -> bool:
        return any(seat.run is run and seat.task is not None and not seat.task.done() for seat in self.watched)

    @rule(seconds=st.sampled_from([-86400.0, -1.0, 3600.0, 10.0**8]))
    def clock_jump(self, seconds: float) -> None:
        """The wall clock is set: order and timeouts are none of its business."""
        self.world.jump += seconds

    @rule(seconds=st.sampled_from([0.0, 0.01, 40.0]))
    def time_passes(self, seconds: float) -> None:
        self.settle(seconds)

    # what holds all the time

    @invariant()
    def viewers_have_a_stretch_of_what_was_said(self) -> None:
        for seat in getattr(self, "watched", ()):
            ids = [Position.parse(message["id"]) for message in seat.got if "id" in message]
            assert ids == sorted(set(ids))
            whole = "".join(seat.run.words)
            assert seat.words in whole
            if not seat.run.trimmed and (seat.after is None or seat.after.seq == 0):
                assert whole.startswith(seat.words)
            ends = [
                m["type"] for m in seat.got if "id" in m and m["type"] in ("stream_end", "stream_cancelled", "error")
            ]
            assert ends in ([], [seat.run.end])

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        try:
            self.finish_all()
        finally:
            clean_up(self.schedule.loop)
            self.ids.__exit__(None, None, None)
            self.schedule.loop.close()

    def finish_all(self) -> None:
        for runs in self.told.values():
            for run in runs:
                if run.end is None:
                    self.finish(run)
        for seat in list(self.watched):
            for _ in range(1000):
                seat.permits.release()
        self.settle(10)
        for seat in list(self.watched):
            self.check_to_the_end(seat)
        for runs in self.told.values():
            for run in runs:
                self.check_log(run)
        assert self.world.held() == {}
        self.run(self.world.close())

    def check_to_the_end(self, seat: Seat) -> None:
        assert seat.task is not None
        assert seat.task.done()
        if not seat.got and seat.run.session not in self.told:
            return  # the session was deleted before it had begun to read
        assert seat.got[-1]["type"] == seat.run.end or seat.got[-1]["type"] == "caught_up"
        assert "".join(seat.run.words).endswith(seat.words)

    def check_log(self, run: Told) -> None:
        row = self.run(self.world.registry.run(ME, run.session, run.run_id))
        found = self.run(self.world.registry.read_log(ME, run.session, run.run_id, None, limit=PAGE * 100, wait=0))
        messages = [json.loads(frame.json) for frame in found.frames]
        assert row.ended_at is not None
        if run.trimmed:
            assert [message["type"] for message in messages] == ["gap", run.end]
            return
        assert messages[0]["type"] == "stream_start"
        assert messages[-1]["type"] == run.end
        words = "".join(message["delta"] for message in messages if message["type"] == "stream_delta")
        assert words == "".join(run.words)


Machine.TestCase.settings = settings(
    max_examples=EXAMPLES,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
test_the_registry_behaves_as_plain_lists_do = Machine.TestCase
