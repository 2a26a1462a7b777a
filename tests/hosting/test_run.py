"""How runs end, whatever the agent does; what its log and its row say then."""

import asyncio
import gc
import logging
import weakref
from contextlib import suppress
from typing import Any

import pytest
from structlog.testing import capture_logs

import app.hosting.run as hosted
from app.agents.base import Turn
from app.errors import AgentError, Fenced, MaxIterationsReached, StoreUnavailable
from app.events import (
    ContextCompressed,
    Custom,
    Event,
    RunCancelled,
    RunFailed,
    RunStarted,
    StreamEnd,
    TextDelta,
    TextEnd,
    TextStarted,
    ToolEvent,
    ToolStarted,
    Usage,
)
from app.hosting.conversation import NewMessage
from app.hosting.ending import insist
from app.recorder import UNFINISHED
from app.sessions.base import Run, RunError, RunStatus
from tests.house import ME, PATIENCE, House

pytestmark = pytest.mark.anyio


async def perform(open_house: Any, agent: Any) -> tuple[Run, list[Event]]:
    """The row and the log of a run of this agent."""
    house = await open_house(agent)
    run = await house.ended(await house.start(await house.session()))
    log = await house.events(run)
    assert isinstance(log[0], RunStarted)
    assert run.last_seq == len(log)
    assert run.ended_at is not None
    assert (await house.registry.session(ME, run.session_id)).active_run is None
    assert await house.rows.unfinished_runs() == []
    assert await house.log.runs() == []
    return run, log[1:]


async def test_a_run_completes_with_its_agents_own_ending(open_house):
    async def agent(turn: Turn):
        yield TextDelta(f"You said {turn.content}")
        yield StreamEnd("The end", 3, 9, usage=Usage(1, 2))

    run, log = await perform(open_house, agent)
    assert log[-1] == StreamEnd("The end", 3, 9, usage=Usage(1, 2))
    assert (run.status, run.output, run.error) == (RunStatus.COMPLETED, "The end", None)


async def test_an_agent_that_just_returns_has_completed(open_house):
    async def agent(turn: Turn):
        yield "Hello "
        yield "there"

    run, log = await perform(open_house, agent)
    part = log[0].part
    assert log == [
        TextStarted(part),
        TextDelta("Hello ", part=part),
        TextDelta("there", part=part),
        TextEnd(part=part),
        StreamEnd("Hello there"),
    ]
    assert (run.status, run.output) == (RunStatus.COMPLETED, "Hello there")


async def test_an_agent_that_says_nothing_has_completed(open_house):
    async def agent(turn: Turn):
        return
        yield

    run, log = await perform(open_house, agent)
    assert log == [StreamEnd("")]
    assert run.output == ""


async def test_what_is_said_after_the_end_is_discarded(open_house):
    async def agent(turn: Turn):
        yield "a"
        yield StreamEnd("")
        yield "b"

    _, log = await perform(open_house, agent)
    assert log[-1] == StreamEnd("a")


@pytest.mark.parametrize(
    ("error", "failed"),
    [
        (AgentError("out of fuel"), RunFailed("agent_error", "out of fuel")),
        (AgentError("hot", code="own_code"), RunFailed("own_code", "hot")),
        (AgentError("hot", code="run_interrupted"), RunFailed("agent_error", "hot")),
        (AgentError("hot", code="Not A Code"), RunFailed("agent_error", "hot")),
        (MaxIterationsReached("too far"), RunFailed("max_iterations", "too far")),
    ],
)
async def test_an_error_that_is_meant_for_the_client_is_shown(open_house, error, failed):
    async def agent(turn: Turn):
        yield "so far"
        yield ToolStarted("search", {"q": 1}, call_id="c")
        raise error

    run, log = await perform(open_house, agent)
    assert log[-2:] == [ToolEvent("search", {"q": 1}, UNFINISHED, success=False, call_id="c"), failed]
    assert (run.status, run.output) == (RunStatus.FAILED, "so far")
    assert run.error == RunError(failed.code, failed.message)


class Unkind(AgentError):
    def __init__(self) -> None:
        pass


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("secret"),
        asyncio.CancelledError("secret"),
        SystemExit("secret"),
        TimeoutError("secret"),
        ExceptionGroup("secret", [ValueError("secret")]),
        Unkind(),
        AgentError(None),  # type: ignore[arg-type]
        BaseException("secret"),
    ],
    ids=lambda error: type(error).__name__ + str(len(error.args)),
)
async def test_of_any_other_error_the_client_learns_a_number(open_house, error):
    async def agent(turn: Turn):
        yield "so far"
        raise error

    with capture_logs() as logs:
        run, log = await perform(open_house, agent)
    failed = log[-1]
    assert failed == RunFailed("internal_error", "the agent failed unexpectedly", failed.incident)
    (line,) = [line for line in logs if line["event"] == "agent.crashed"]
    assert (line["incident"], line["run_id"]) == (failed.incident, run.id)
    assert line["exc_info"]
    assert "secret" not in str(log) + str(run)
    assert (run.status, run.output) == (RunStatus.FAILED, "so far")


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        5,
        ContextCompressed(None, 1),  # type: ignore[arg-type]
        TextDelta(b"bytes"),  # type: ignore[arg-type]
        StreamEnd("x", usage=object()),  # type: ignore[arg-type]
    ],
    ids=lambda wrong: type(wrong).__name__,
)
async def test_what_no_log_could_keep_fails_the_run(open_house, wrong):
    async def agent(turn: Turn):
        yield "so far"
        yield wrong
        yield "never"

    with capture_logs() as logs:
        _, log = await perform(open_house, agent)
    assert log[-1].code == "internal_error"
    assert [line["event"] for line in logs if line["log_level"] == "error"] == ["agent.crashed"]


async def test_an_agent_that_is_no_stream_fails_its_run(open_house):
    class Agent:
        def run_stream(self, turn):
            return ["not", "a", "stream"]

    with capture_logs():
        _, log = await perform(open_house, Agent())
    assert log[-1].code == "internal_error"


@pytest.mark.parametrize(("failures", "ends"), [(3, RunFailed), (2, StreamEnd)])
async def test_a_run_that_can_not_be_prepared_is_tried_again_before_it_fails(open_house, monkeypatch, failures, ends):
    async def agent(turn: Turn):
        yield "at last"

    house = await open_house(agent)
    get_state, failed = house.rows.get_state, []

    async def fail(session: str) -> dict[str, Any]:
        if len(failed) == failures:
            return await get_state(session)
        failed.append(session)
        raise StoreUnavailable("secret")

    monkeypatch.setattr(hosted, "_DELAYS", (0.0, 0.0))
    monkeypatch.setattr(house.rows, "get_state", fail)
    with capture_logs():
        run = await house.ended(await house.start(await house.session()))
    events = await house.events(run)
    assert (type(events[0]), type(events[-1])) == (RunStarted, ends)


async def test_a_failure_after_the_end_is_noted_and_changes_nothing(open_house, caplog):
    async def agent(turn: Turn):
        try:
            yield StreamEnd("done")
        finally:
            raise RuntimeError("late")

    caplog.set_level(logging.ERROR, "asyncio")
    with capture_logs() as logs:
        run, log = await perform(open_house, agent)
        gc.collect()
    assert log == [StreamEnd("done")]
    assert run.status == RunStatus.COMPLETED
    assert "agent.failed_late" in [line["event"] for line in logs]
    assert caplog.records == []


async def test_the_state_that_a_failed_run_left_is_kept(open_house):
    async def agent(turn: Turn):
        turn.state["seen"] = [turn.content]
        raise AgentError("no")
        yield

    run, _ = await perform(house_of := Keeper(open_house), agent)
    assert await house_of.house.rows.get_state(run.session_id) == {"seen": ["Hello"]}


@pytest.mark.parametrize("unfit", [object(), {1: float}, "\ud800"])
async def test_state_that_is_no_json_is_dropped_and_the_run_ends_all_the_same(open_house, unfit):
    async def agent(turn: Turn):
        turn.state["unfit"] = unfit
        yield "done"

    with capture_logs() as logs:
        run, _ = await perform(house_of := Keeper(open_house), agent)
    assert run.status == RunStatus.COMPLETED
    assert await house_of.house.rows.get_state(run.session_id) == {}
    assert "agent.state_is_not_json" in [line["event"] for line in logs]


class Keeper:
    """Opens a house and remembers it."""

    def __init__(self, open_house: Any) -> None:
        self._open = open_house
        self.house: House

    async def __call__(self, agent: Any) -> House:
        self.house = await self._open(agent)
        return self.house


async def test_an_agent_that_takes_no_notice_of_its_cancellation_is_left_behind(open_house, monkeypatch):
    monkeypatch.setattr("app.hosting.run._STOP_GRACE", 0.01)
    release, deaf = asyncio.Event(), asyncio.Event()

    async def agent(turn: Turn):
        yield "so far"
        while not release.is_set():
            deaf.set()
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue
        yield "too late"

    house = await open_house(agent)
    run = await house.start(await house.session())
    async with asyncio.timeout(PATIENCE):
        await deaf.wait()
    with capture_logs() as logs:
        await house.registry.cancel(ME, run.session_id)
        ended = await house.ended(run)
    assert ended.status == RunStatus.CANCELLED
    assert "agent.would_not_stop" in [line["event"] for line in logs]
    log = await house.events(run)
    assert log[-1] == RunCancelled("so far", "cancelled")
    release.set()
    await asyncio.sleep(0)
    assert await house.events(run) == log


async def test_an_agent_that_was_left_behind_is_not_collected_while_it_waits(open_house, monkeypatch):
    monkeypatch.setattr("app.hosting.run._STOP_GRACE", 0.01)
    waits: weakref.WeakSet[asyncio.Future[None]] = weakref.WeakSet()
    deaf = asyncio.Event()

    async def agent(turn: Turn):
        yield "so far"
        while not waits or not next(iter(waits)).done():
            with suppress(asyncio.CancelledError):
                waits.clear()
                waits.add(wait := asyncio.get_running_loop().create_future())
                deaf.set()
                await asyncio.shield(wait)

    house = await open_house(agent)
    run = await house.start(await house.session())
    async with asyncio.timeout(PATIENCE):
        await deaf.wait()
    await house.registry.cancel(ME, run.session_id)
    await house.ended(run)
    gc.collect()

    assert len(waits) == 1
    next(iter(waits)).set_result(None)


async def test_what_an_agent_says_while_it_is_being_stopped_is_discarded(open_house):
    speaking = asyncio.Event()

    async def agent(turn: Turn):
        yield "so far"
        try:
            speaking.set()
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            yield "last words"
            yield StreamEnd("no, I completed")

    house = await open_house(agent)
    run = await house.start(await house.session())
    async with asyncio.timeout(PATIENCE):
        await speaking.wait()
    await house.registry.cancel(ME, run.session_id)
    assert (await house.ended(run)).status == RunStatus.CANCELLED
    assert (await house.events(run))[-1] == RunCancelled("so far", "cancelled")


async def test_an_agent_that_never_pauses_neither_outruns_its_log_nor_holds_up_others(open_house):
    said = 0

    async def agent(turn: Turn):
        nonlocal said
        while True:
            said += 1
            yield Custom("tick", said)

    house = await open_house(agent)
    run = await house.start(await house.session())
    async with house.watch_run(run) as watch:
        seen = 0
        while seen < 2000:
            message = await watch.next()
            seen = message.get("data", seen)
        assert said - (await house.log.read(run.id, 0, 1)).tail <= 2 * 256
    await house.registry.cancel(ME, run.session_id)
    assert (await house.ended(run)).status == RunStatus.CANCELLED
    ticks = [event.data for event in await house.events(run) if isinstance(event, Custom)]
    assert ticks == list(range(1, len(ticks) + 1))


async def test_when_a_viewer_sees_the_terminal_the_row_has_ended_and_the_next_message_starts(open_house, puppet):
    house = await open_house(puppet)
    session = await house.session()
    async with house.watch(session) as watch:
        await watch.until("caught_up")
        for number in range(1, 4):
            run = await house.start(session)
            assert run.number == number
            puppet.says("a", StreamEnd("b"))
            await watch.until("stream_end")
            row = await house.rows.get_run(session, run.id)
            assert (row.status, row.output) == (RunStatus.COMPLETED, "b")


async def test_a_run_outlasts_a_failing_store(open_house, puppet, monkeypatch):
    monkeypatch.setattr("app.hosting.ending._LONGEST_RETRY", 0.01)
    house = await open_house(puppet)
    append, failures = house.log.append, [StoreUnavailable("disk full"), OSError("disk full")]

    async def failing(*args: Any, **more: Any) -> None:
        if failures:
            raise failures.pop()
        await append(*args, **more)

    monkeypatch.setattr(house.log, "append", failing)
    with capture_logs() as logs:
        run = await house.start(await house.session())
        puppet.says("a")
        puppet.returns()
        assert (await house.ended(run)).status == RunStatus.COMPLETED
    assert [line["event"] for line in logs].count("storage.failed") == 2
    assert [type(event) for event in await house.events(run)] == [
        RunStarted,
        TextStarted,
        TextDelta,
        TextEnd,
        StreamEnd,
    ]


async def test_a_fence_is_not_insisted_on():
    async def step() -> None:
        raise Fenced("moved on")

    with pytest.raises(Fenced):
        await insist(step, run_id="r")


async def test_a_log_that_somebody_else_closed_is_left_alone(open_house, puppet):
    house = await open_house(puppet)
    run = await house.start(await house.session())
    async with house.watch_run(run) as watch:
        await watch.until("stream_start")
    theirs = RunFailed("run_interrupted", "by another host")
    await house.log.append(run.id, 2, [theirs], closed=True)
    puppet.says("too late")
    with capture_logs() as logs:
        await house.ended(run)
    assert (await house.events(run))[1:] == [theirs]
    assert "run.lost" in [line["event"] for line in logs]


async def test_a_run_carries_nothing_of_the_request_that_started_it(open_house):
    from contextvars import ContextVar  # noqa: PLC0415

    request: ContextVar[str] = ContextVar("request", default="none")

    async def agent(turn: Turn):
        yield request.get()

    request.set("of somebody")
    run, _ = await perform(open_house, agent)
    assert run.output == "none"


async def test_sessions_do_not_wait_for_each_other(open_house):
    met = asyncio.Barrier(3)

    async def agent(turn: Turn):
        await met.wait()
        yield turn.content

    house = await open_house(agent)
    runs = [await house.start(await house.session(), f"message {n}") for n in range(3)]
    assert [(await house.ended(run)).output for run in runs] == ["message 0", "message 1", "message 2"]


async def test_a_start_that_is_refused_hosts_nothing(house):
    session = await house.session()
    await house.start(session)
    with pytest.raises(Exception, match="in progress"):
        await house.registry.start(ME, session, NewMessage("me too"))
    assert len(house.registry._hosting._hosted) == 1


@pytest.mark.parametrize("nothing", ["", TextEnd()], ids=["text", "end"])
async def test_an_agent_that_says_nothing_without_end_holds_up_nobody_and_can_be_cancelled(open_house, nothing):
    async def agent(turn: Turn):
        while True:
            yield nothing

    house = await open_house(agent)
    run = await house.start(await house.session())
    async with asyncio.timeout(PATIENCE):
        await house.registry.cancel(ME, run.session_id, run.id)
        ended = await house.ended(run)

    assert ended.status is RunStatus.CANCELLED
