"""Fourteen promises that hold whatever happens, and the test that fails when one of them is broken."""

from __future__ import annotations

import ast
import asyncio
from collections import Counter
from pathlib import Path
from typing import Final
from unittest import mock

import pytest
from attrs import define, field

from app.dialects.base import Frame
from app.dialects.native import Native
from app.events import Event
from app.hosting.conversation import NewMessage
from app.position import Position
from tests.simulation.agents import Plan
from tests.simulation.judge import NATIVE
from tests.simulation.people import ME
from tests.simulation.schedule import Schedule, play
from tests.simulation.storage import MemoryDisks
from tests.simulation.world import World

TESTS: Final = Path(__file__).parents[1]

INVARIANTS: Final = {
    "I1 a viewer gets everything in order, once, and one terminal": (
        "simulation/test_following.py::test_every_viewer_gets_everything_in_order_and_once",
        "simulation/test_several_hosts.py::test_processes_that_die_or_are_held_up_leave_no_run_and_no_viewer_behind",
    ),
    "I2 a replay from anywhere, and what follows live, are the log from there": (
        "simulation/test_following.py::test_every_viewer_gets_everything_in_order_and_once",
        "simulation/test_restarting.py::test_after_a_kill_nothing_that_was_shown_is_lost_and_every_run_ends",
    ),
    "I3 what is stored, and what is said, can be read back": (
        "runlog/test_codec.py::test_any_event_of_a_class_comes_back_equal",
        "dialects/test_native.py::test_whatever_the_text_the_json_is_one_line_and_says_it_again",
    ),
    "I4 WebSocket and SSE say the same bytes": (
        "transports/test_follow.py::test_the_json_text_is_the_same_byte_for_byte_on_both_transports_and_in_the_log",
    ),
    "I5 a session has one run in progress at most": (
        "simulation/test_starting.py::test_a_session_runs_one_run_at_a_time_and_a_key_starts_one_run",
        "simulation/test_real_files.py::test_the_real_stores_keep_every_promise_as_well",
        "simulation/test_several_hosts.py::test_processes_that_lose_each_others_words_are_one_gateway",
    ),
    "I6 nothing that is said after a cancel was answered is shown": (
        "simulation/test_ending.py::test_a_cancelled_run_ends_once_and_shows_nothing_said_later",
    ),
    "I7 after a crash no run stays in progress": (
        "simulation/test_restarting.py::test_after_a_kill_nothing_that_was_shown_is_lost_and_every_run_ends",
        "simulation/test_several_hosts.py::test_processes_that_die_or_are_held_up_leave_no_run_and_no_viewer_behind",
    ),
    "I8 what was acknowledged is there after a kill, and nothing is shown before it is durable": (
        "runlog/test_sqlite.py::test_every_acknowledged_event_is_there_after_kill_9",
        "simulation/test_real_files.py::test_the_real_stores_keep_every_promise_as_well",
    ),
    "I9 when everybody has left, nothing is held": (
        "simulation/test_following.py::test_every_viewer_gets_everything_in_order_and_once",
        "simulation/test_starting.py::test_a_session_runs_one_run_at_a_time_and_a_key_starts_one_run",
    ),
    "I10 no viewer changes what another gets, or when": (
        "simulation/test_invariants.py::test_a_viewer_that_takes_nothing_delays_nobody",
        "simulation/test_following.py::test_every_viewer_gets_everything_in_order_and_once",
    ),
    "I11 a key starts one run, however often it is sent": (
        "simulation/test_starting.py::test_a_session_runs_one_run_at_a_time_and_a_key_starts_one_run",
        "simulation/test_state_machine.py::test_the_registry_behaves_as_plain_lists_do",
        "simulation/test_real_files.py::test_the_real_stores_keep_every_promise_as_well",
    ),
    "I12 a stranger's session is one that never was": (
        "transports/test_doors.py::test_a_foreign_session_is_one_that_never_was",
    ),
    "I13 an event is encoded once for a dialect, however many follow": (
        "simulation/test_invariants.py::test_an_event_is_encoded_once_for_all_its_viewers",
    ),
    "I14 no secret is in a log line or a message": ("test_canary.py::test_no_secret_is_in_a_log_line_or_an_answer",),
}


@pytest.mark.parametrize("invariant", INVARIANTS)
def test_every_invariant_has_its_tests(invariant: str) -> None:
    for where in INVARIANTS[invariant]:
        file, _, name = where.partition("::")
        assert name in _names_in(TESTS / file), where


def _names_in(file: Path) -> set[str]:
    nodes = list(ast.walk(ast.parse(file.read_text())))
    functions = {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    assigned = {target.id for node in nodes if isinstance(node, ast.Assign) for target in _names(node)}
    return functions | assigned


def _names(node: ast.Assign) -> list[ast.Name]:
    return [target for target in node.targets if isinstance(target, ast.Name)]


EVENTS: Final = 300
PACE: Final = 0.01
AT_MOST: Final = 0.05
"""Virtual seconds between an append that was acknowledged and its message."""


@define
class Arrivals:
    """When each message of a run came to one viewer, in virtual time."""

    frames: list[Frame] = field(factory=list)
    at: dict[Position, float] = field(factory=dict)


async def a_run_in_progress(world: World) -> tuple[str, str]:
    acts = [act for number in range(EVENTS) for act in (("say", f"word {number} "), ("sleep", PACE))]
    world.company.plans["talk"] = Plan(acts)
    session = (await world.registry.create_session(ME, None, None)).id
    return session, (await world.registry.start(ME, session, NewMessage("talk"))).run.id


async def take(world: World, session: str, run_id: str, arrivals: Arrivals) -> None:
    viewer = await world.registry.follow_run(ME, session, run_id, None)
    assert viewer is not None
    async with viewer:
        async for batch in viewer:
            for frame in batch.frames:
                if frame.id is not None:
                    arrivals.frames.append(frame)
                    arrivals.at[frame.id] = asyncio.get_running_loop().time()


async def take_nothing(world: World, session: str, run_id: str) -> None:
    viewer = await world.registry.follow_run(ME, session, run_id, None)
    assert viewer is not None
    async with viewer:
        async for _ in viewer:
            await asyncio.get_running_loop().create_future()


@pytest.mark.parametrize("seed", range(5))
def test_a_viewer_that_takes_nothing_delays_nobody(seed: int) -> None:
    """P3.9: beside ten that stall and five that leave, everything comes as soon as it is acknowledged, byte by byte."""
    among = Arrivals()

    async def scenario(schedule: Schedule) -> None:
        world = World(schedule, MemoryDisks())
        schedule.loop.longest_pause = 0.0
        await world.open()
        told = _note_acknowledgements(world)
        session, run_id = await a_run_in_progress(world)
        stalled = [asyncio.ensure_future(take_nothing(world, session, run_id)) for _ in range(10)]
        leaving = [asyncio.ensure_future(take(world, session, run_id, Arrivals())) for _ in range(5)]
        for task in leaving:
            schedule.loop.call_later(EVENTS * PACE * schedule.script.random(), task.cancel)
        await take(world, session, run_id, among)
        late = {str(at): came - told[at.seq] for at, came in among.at.items() if came - told[at.seq] > AT_MOST}
        assert not late, f"late by seconds: {late}"
        for task in stalled:
            task.cancel()
        await asyncio.wait([*stalled, *leaving])
        assert [frame.json for frame in among.frames] == _canonical(world, run_id)
        await world.close()

    play(seed, scenario)
    assert len(among.frames) > EVENTS


def _note_acknowledgements(world: World) -> dict[int, float]:
    """When each seq was acknowledged."""
    times: dict[int, float] = {}
    tell = world.ledger.tell

    def noted(batch, outcomes):
        tell(batch, outcomes)
        for kept in world.ledger.logs.values():
            for seq in range(len(times) + 1, kept.told + 1):
                times[seq] = world.schedule.loop.time()

    world.ledger.tell = noted  # type: ignore[method-assign]
    return times


def _canonical(world: World, run_id: str) -> list[bytes]:
    """The run's messages as a viewer gets them who keeps up."""
    events = enumerate(world.ledger.of(run_id).events, 1)
    return [frame.json for seq, event in events for frame in NATIVE.frames(Position(1, seq), event)]


@pytest.mark.parametrize("seed", range(5))
def test_an_event_is_encoded_once_for_all_its_viewers(seed: int) -> None:
    """I13: twenty viewers who keep up cost what one does."""
    encoded: Counter[Position] = Counter()
    frames = Native.frames

    def counted(self: Native, position: Position, event: Event) -> tuple[Frame, ...]:
        encoded[position] += 1
        return frames(self, position, event)

    async def scenario(schedule: Schedule) -> None:
        world = World(schedule, MemoryDisks())
        schedule.loop.longest_pause = 0.0
        await world.open()
        session, run_id = await a_run_in_progress(world)
        viewers = [Arrivals() for _ in range(20)]
        with mock.patch.object(Native, "frames", counted):
            await asyncio.gather(*(take(world, session, run_id, viewer) for viewer in viewers))
        events = len(world.ledger.of(run_id).events)
        assert encoded.total() == len(encoded) == events
        assert all(viewer.frames == viewers[0].frames for viewer in viewers), "a message was made anew for somebody"
        await world.close()

    play(seed, scenario)
