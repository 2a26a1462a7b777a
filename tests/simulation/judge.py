"""What must be true when the curtain has fallen, whatever the schedule was."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from app.dialects.base import Frame
from app.dialects.native import Native
from app.events import (
    Event,
    RunCancelled,
    RunFailed,
    RunStarted,
    StreamEnd,
    Terminal,
    TextDelta,
    TextEnd,
    TextStarted,
    ThinkingDelta,
    ThinkingEnd,
    ThinkingStarted,
    ToolEvent,
    ToolStarted,
)
from app.position import Position
from app.runlog.base import Entry
from app.runlog.compaction import compact
from app.sessions.base import Run, RunStatus
from tests.simulation.agents import Performance
from tests.simulation.people import Connection
from tests.simulation.world import World

NATIVE = Native()
PAGE = 7


def frame_of(number: int, entry: Entry) -> Frame | None:
    frames = NATIVE.frames(Position(number, entry.seq), entry.event)
    return frames[0] if frames else None


class Logs:
    """A session's logs as the ledger has them, by run number."""

    def __init__(self, world: World, session: str) -> None:
        self.numbers = world.numbers(session)
        self.entries = {
            number: [Entry(seq, event) for seq, event in enumerate(world.ledger.of(run_id).events, 1)]
            for number, run_id in self.numbers.items()
        }
        self._shown: dict[int, list[tuple[Entry, Frame]]] = {}

    def due(self, after: Position, until: Position) -> Iterator[tuple[Position, Entry, Frame]]:
        """Every event that native clients see, strictly after one position and up to another."""
        for number in range(max(after.run, 1), until.run + 1):
            for entry, frame in self.shown(number):
                if (number > after.run or entry.seq > after.seq) and (number < until.run or entry.seq <= until.seq):
                    yield Position(number, entry.seq), entry, frame

    def shown(self, number: int) -> list[tuple[Entry, Frame]]:
        """The events of a run that native clients see, and how."""
        if number not in self._shown:
            frames = ((entry, frame_of(number, entry)) for entry in self.entries.get(number, ()))
            self._shown[number] = [(entry, frame) for entry, frame in frames if frame is not None]
        return self._shown[number]

    def has(self, position: Position) -> bool:
        return position.seq <= len(self.entries.get(position.run, ()))

    def end(self) -> Position:
        last = max(self.entries, default=0)
        return Position(last, len(self.entries.get(last, ())))


def judge_connection(logs: Logs, connection: Connection) -> Position | None:
    """I1, I2, I10: everything after the start, in order, none twice, and the bytes are those of everybody.

    The answer is the position up to which it has everything, None if it has nothing and asked for nothing.
    """
    at = connection.after
    if at is not None and not logs.has(at) and connection.frames:
        assert b'"gap"' in connection.frames[0].json, f"{at} was never there, and nobody says so (P3.6)"
    said_caught_up = False
    for place, frame in enumerate(connection.frames):
        if frame.id is None:
            message = json.loads(frame.json)
            if message["type"] == "run_queued":
                continue
            if message["type"] == "gap":
                assert place == 0, "a gap that does not come first"
                at = _after_gap(logs, connection, message)
                continue
            assert message["type"] == "caught_up", message
            assert not said_caught_up, "caught_up twice"
            said_caught_up = True
            at = _judge_caught_up(logs, connection, at, Position.parse(message["position"]))
            continue
        if at is None:
            at = _judge_start(connection, frame.id)
        if connection.target is not None and at.run < frame.id.run:
            at = Position(frame.id.run, 0)
        _judge_frame(logs, at, frame)
        at = frame.id
    if connection.ended == "end":
        assert at is not None
        assert at == Position(at.run, len(logs.entries[at.run])), f"a clean end at {at}, before the terminal (P3.10)"
    return at


def _after_gap(logs: Logs, connection: Connection, message: dict[str, Any]) -> Position:
    asked = connection.after
    assert asked is not None, "a gap for somebody who asked for nothing"
    assert message["requested"] == str(asked)
    assert asked > connection.latest or not logs.has(asked), f"a gap for {asked}, which was there (P3.6)"
    first = connection.latest.run if connection.target is not None else 0
    return Position(first, 0)


def _judge_start(connection: Connection, first: Position) -> Position:
    """Where somebody begins who names no position (P3.4)."""
    if connection.target is not None:
        assert first.seq == 1, f"a run stream begins at {first}"
    elif connection.open_then and connection.open_at_first:
        assert first == Position(connection.latest.run, 1), f"begins at {first}, not with the run in progress"
    else:
        assert first.seq == 1, f"begins at {first}, in the middle of a run"
        assert first.run >= connection.latest.run + (not connection.open_then), f"begins at {first}, long gone"
    return Position(first.run, 0)


def _judge_caught_up(logs: Logs, connection: Connection, at: Position | None, said: Position) -> Position:
    assert said >= connection.latest, f"caught up at {said}, but {connection.latest} was there when it came"
    if at is None:
        assert not (connection.open_then and connection.open_at_first) or said.seq == 0, "live, in the midst of a run"
        return said
    missing = [str(position) for position, _, _ in logs.due(at, said)]
    assert not missing, f"caught up at {said}, but {missing} did not come"
    return max(at, said)


def _judge_frame(logs: Logs, at: Position, frame: Frame) -> None:
    assert frame.id is not None
    assert frame.id > at, f"{frame.id} after {at}"
    due = list(logs.due(at, frame.id))
    assert due, f"{frame.id} is no event of the log"
    assert due[-1][0] == frame.id, f"{frame.id} is no event that a native client sees"
    expected: Frame | None = due[-1][2]
    if len(due) > 1:
        merged = compact([entry for _, entry, _ in due])
        runs = {position.run for position, _, _ in due}
        skipped = [str(position) for position, _, _ in due[:-1]]
        assert (len(merged), len(runs)) == (1, 1), f"{frame.id} came after {at}, and {skipped} did not"
        expected = frame_of(frame.id.run, merged[0])
    assert expected is not None
    assert frame.json == expected.json, f"{frame.id} reads {frame.json!r}, the log says {expected.json!r}"


def judge_log(run: Run, events: list[Event], performance: Performance | None) -> None:
    """The log of a run that is over: complete, well nested, ended once, and what its agent said."""
    assert events, f"run {run.id} has no events"
    assert isinstance(events[0], RunStarted), events[0]
    terminals = [seq for seq, event in enumerate(events, 1) if isinstance(event, Terminal)]
    assert terminals == [len(events)], f"terminals at {terminals} of {len(events)} (P7.1)"
    _judge_nesting(events)
    terminal = events[-1]
    assert run.ended_at is not None, f"run {run.number} has its terminal, but its row is {run.status}"
    assert run.last_seq == len(events), f"the row says {run.last_seq} events, the log has {len(events)}"
    _judge_status(run, terminal)
    text = "".join(event.delta for event in events if isinstance(event, TextDelta) and event.agent is None)
    said = "".join(performance.said) if performance else ""
    assert said.startswith(text), f"the log says {text!r}, the agent said {said!r}"
    if isinstance(terminal, StreamEnd):
        assert performance is not None
        assert text == performance.plan.text == terminal.full_content, "a run that completed lost words"
    if isinstance(terminal, RunCancelled):
        assert terminal.content == text


def _judge_status(run: Run, terminal: Event) -> None:
    match terminal:
        case StreamEnd():
            expected = RunStatus.COMPLETED
        case RunCancelled():
            expected = RunStatus.CANCELLED
        case RunFailed(code="run_interrupted"):
            expected = RunStatus.INTERRUPTED
        case _:
            expected = RunStatus.FAILED
    assert run.status is expected, f"the row says {run.status}, the log {terminal}"


def _judge_nesting(events: list[Event]) -> None:
    parts: set[str] = set()
    calls: set[str] = set()
    for event in events:
        match event:
            case TextStarted() | ThinkingStarted():
                assert event.part not in parts
                parts.add(event.part)
            case TextDelta() | ThinkingDelta():
                assert event.part in parts, f"{event} outside of its part"
            case TextEnd() | ThinkingEnd():
                parts.remove(event.part)
            case ToolStarted():
                assert event.call_id not in calls
                calls.add(event.call_id)
            case ToolEvent():
                calls.remove(event.call_id)
            case _:
                pass
    assert not parts, f"parts {parts} never end"
    assert not calls, f"calls {calls} never end"
