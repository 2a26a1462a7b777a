"""The agent of the simulations: it says what its plan says, and remembers what it said."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

from attrs import define, field

from app.agents.base import Turn
from app.errors import AgentError
from app.events import Custom, Event, StreamEnd, TextDelta, ThinkingDelta, ToolEvent, ToolStarted
from tests.simulation.schedule import Schedule
from tests.simulation.writing import Life

LONG = 100_000.0

Act = tuple[str, Any]
"""What to do, and with what."""


@define
class Plan:
    """What a run is to be like.

    Attributes:
        stubborn: seconds for which it takes no cancellation.
    """

    acts: list[Act]
    stubborn: float = 0.0

    @property
    def text(self) -> str:
        """The whole text, if nothing comes between."""
        return "".join(what for act, what in self.acts if act == "say" and isinstance(what, str))


@define
class Performance:
    """One run as its agent saw it.

    Attributes:
        said: the texts of the main agent that were taken from it, in order.
        answers: what it was told when it asked: about what, yes or no, and the comment.
        stopping: it was told to stop.
    """

    run_id: str
    session_id: str
    plan: Plan
    said: list[str] = field(factory=list)
    answers: list[tuple[str, bool, str | None]] = field(factory=list)
    done: bool = False
    stopping: bool = False
    over: bool = False


class Company:
    """Every performance there was."""

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule
        self.life = Life(schedule)
        self.plans: dict[str, Plan] = {}
        self.performances: dict[str, Performance] = {}

    async def run_stream(self, turn: Turn) -> AsyncIterator[Event | str]:
        self._schedule.say("agent", "begins", turn.run_id[:8], repr(turn.content))
        performance = self._enter(turn)
        until = None
        try:
            for act, what in performance.plan.acts:
                if act == "say":
                    if isinstance(what, str):
                        performance.said.append(what)
                    yield what
                    continue
                try:
                    await self._act(turn, performance, act, what)
                except asyncio.CancelledError:
                    performance.stopping = True
                    if self.life.dead or not performance.plan.stubborn:
                        raise
                    now = self._schedule.loop.time()
                    until = until if until is not None else now + performance.plan.stubborn
                    if now >= until:
                        raise
            performance.done = True
        except asyncio.CancelledError:
            performance.stopping = True
            raise
        finally:
            performance.over = True
            self._schedule.say("agent", "leaves", turn.run_id[:8], "done" if performance.done else "early")

    def _enter(self, turn: Turn) -> Performance:
        assert turn.run_id not in self.performances, f"run {turn.run_id} is performed twice"
        for other in self.performances.values():
            at_once = other.session_id == turn.session_id and not other.over
            assert not at_once or other.stopping, f"runs {other.run_id} and {turn.run_id} are performed at once"
        performance = Performance(turn.run_id, turn.session_id, self.plans[turn.content])
        self.performances[turn.run_id] = performance
        return performance

    async def _act(self, turn: Turn, performance: Performance, act: str, what: Any) -> None:
        match act:
            case "sleep":
                await asyncio.sleep(what)
            case "hang":
                await asyncio.get_running_loop().create_future()
            case "raise":
                raise what
            case "ask":
                answer = await turn.approve(what)
                performance.answers.append((what, answer.approved, answer.comment))
            case _:
                raise ValueError(act)


def some_plan(dice: random.Random, words: str, *, length: int, ending: str) -> Plan:
    """A plan of up to `length` sayings; `ending` is one of ENDINGS."""
    acts: list[Act] = []
    for number in range(dice.randint(0, length)):
        acts += dice.choice(_SAYINGS)(dice, words, number)
    plan = Plan(acts)
    _ENDINGS[ending](plan, dice)
    return plan


def _text(_: random.Random, words: str, number: int) -> list[Act]:
    return [("say", f"{words}.{number} ")]


def _thinking(_: random.Random, __: str, number: int) -> list[Act]:
    return [("say", ThinkingDelta(f"({number})"))]


def _tool(dice: random.Random, _: str, number: int) -> list[Act]:
    return [
        ("say", ToolStarted("look", {"n": number}, call_id=f"c{number}")),
        ("sleep", dice.choice((0, 0, 0.2))),
        ("say", ToolEvent("look", {}, f"seen {number}", success=True, call_id=f"c{number}")),
    ]


def _custom(_: random.Random, __: str, number: int) -> list[Act]:
    return [("say", Custom("n", number))]


def _pause(dice: random.Random, _: str, __: int) -> list[Act]:
    return [("sleep", dice.choice((0, 0, 0.001, 0.05, 1.0)))]


_SAYINGS = (_text, _text, _text, _text, _thinking, _tool, _custom, _pause, _pause)


def _return(_: Plan, __: random.Random) -> None:
    """Come to an end without a StreamEnd."""


def _end(plan: Plan, _: random.Random) -> None:
    plan.acts.append(("say", StreamEnd(plan.text)))


def _late(plan: Plan, _: random.Random) -> None:
    """Go on after the StreamEnd."""
    plan.acts += [("say", StreamEnd(plan.text)), ("say", TextDelta("too late"))]


def _somewhere(plan: Plan, dice: random.Random, act: Act) -> None:
    plan.acts.insert(dice.randint(0, len(plan.acts)), act)


def _raise(plan: Plan, dice: random.Random) -> None:
    _somewhere(plan, dice, ("raise", ValueError("a bug")))


def _fail(plan: Plan, dice: random.Random) -> None:
    _somewhere(plan, dice, ("raise", AgentError("no more")))


def _hang(plan: Plan, dice: random.Random) -> None:
    _somewhere(plan, dice, ("hang", None))


def _stubborn(plan: Plan, dice: random.Random) -> None:
    """Hang, and hold out for a while when it is cancelled."""
    _hang(plan, dice)
    plan.acts += [("say", "after all"), ("sleep", dice.choice((1.0, 4.999, 5.0, 60.0))), ("say", "still here")]
    plan.stubborn = dice.choice((0.5, 4.9, 30.0, LONG))


def _ask(plan: Plan, dice: random.Random) -> None:
    """Ask people once or twice, then end."""
    for number in range(dice.randint(1, 2)):
        _somewhere(plan, dice, ("ask", f"tool {number}"))
    _end(plan, dice)


_ENDINGS = {
    "return": _return,
    "end": _end,
    "late": _late,
    "raise": _raise,
    "fail": _fail,
    "hang": _hang,
    "stubborn": _stubborn,
    "ask": _ask,
}
ENDINGS = tuple(_ENDINGS)
SOON = ("return", "end", "late", "raise", "fail")
"""Those of runs that come to an end by themselves."""
