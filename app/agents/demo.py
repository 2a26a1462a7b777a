"""The demo agent: what Runcast shows without any model, network or key.

Words in the message that steer it (anywhere, separated by blanks; everything else is echoed):

| word | effect |
|---|---|
| `/length N` | the answer has N text deltas, 0 to 50,000 |
| `/rate N` | N tokens a second, 0 to 100,000; 0 is as fast as possible |
| `/quiet` | text only: no thinking, tools or subagent |
| `/fail` | the second tool call fails |
| `/error` | ends in the middle of the text with an AgentError |
| `/crash` | ends in the middle of the text with an unexpected exception |
| `/custom` | adds a Custom event |
| `/approve` | asks before it calls another tool, and waits for the answer |
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Iterator

from app.agents.base import UPLOADED, Turn
from app.agents.demo_script import Order, answer, findings, longest_word, read_order, thinking
from app.errors import AgentError
from app.events import (
    ApprovalRequested,
    ContextCompressed,
    Custom,
    Event,
    StreamEnd,
    TextDelta,
    TextEnd,
    ThinkingDelta,
    ThinkingEnd,
    ToolEvent,
    ToolStarted,
    TurnThinking,
    Usage,
)

RESEARCHER = "researcher"
"""The name of the demo's subagent."""

CONTEXT = 8192
"""The context window that the demo agent claims, in words."""

REMEMBERED = 20
"""How many earlier messages the demo agent takes into account."""

_TOOL_TICKS = 8
_TOGETHER = 32
_SHORTEST_SLEEP = 0.001


class DemoAgent:
    """Deterministic: the same message at the same turn is always answered by the same events.

    Args:
        tokens_per_second: the pace unless the message says `/rate`; 0 is as fast as possible.
        length: text deltas per answer unless the message says `/length`; None is the natural length, about 130.
    """

    def __init__(self, *, tokens_per_second: float = 40, length: int | None = None) -> None:
        self._rate = tokens_per_second
        self._length = length

    async def run_stream(self, turn: Turn) -> AsyncGenerator[Event | str]:
        """Perform one run.

        Raises:
            AgentError: the message asked for it, or holds an option with a bad number.
            RuntimeError: the message asked for it.
        """
        # Where files are on this machine is not for everybody who follows.
        asked = turn.content.rpartition(UPLOADED)[0] if turn.files else turn.content
        order = read_order(asked, length=self._length, rate=self._rate)
        pace = _Pace(order.rate)
        spoken = 0
        text: list[str] = []
        for event in _script(order, turn):
            if event is None:
                await pace.tick(_TOOL_TICKS)
                continue
            if isinstance(event, ApprovalRequested):
                yield await _approved(turn, event)
                continue
            if isinstance(event, TextDelta | ThinkingDelta):
                await pace.tick(1)
                spoken += 1
            if isinstance(event, TextDelta) and event.agent is None:
                text.append(event.delta)
            yield event
        read = len(turn.content.split()) + sum(len(message.content.split()) for message in turn.history[-REMEMBERED:])
        yield StreamEnd("".join(text), read + spoken, CONTEXT, usage=Usage(read, spoken))


async def _approved(turn: Turn, asked: ApprovalRequested) -> ToolEvent:
    """The end of a tool call that waited for somebody's approval."""
    answer = await turn.approve(asked.tool_name, asked.arguments, reason=asked.reason, call_id=asked.call_id)
    result = "deleted" if answer else f"not allowed{f': {answer.comment}' if answer.comment else ''}"
    return ToolEvent(asked.tool_name, asked.arguments, result, success=answer.approved, call_id=asked.call_id)


class _Pace:
    """Ticks at a rate, measured from the first one, so that late ticks are made up for."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._ticks = 0
        self._loop = asyncio.get_running_loop()
        self._start = self._loop.time()

    async def tick(self, count: int) -> None:
        self._ticks += count
        ahead = self._start + self._ticks / self._rate - self._loop.time() if self._rate else 0
        if ahead >= _SHORTEST_SLEEP:
            await asyncio.sleep(ahead)
        elif self._ticks % _TOGETHER == 0:
            await asyncio.sleep(0)  # others want the loop too


def _script(order: Order, turn: Turn) -> Iterator[Event | None]:
    """The events of a run; None is the time that a tool takes."""
    number = 1 + sum(message.role == "user" for message in turn.history)
    if len(turn.history) > REMEMBERED:
        yield ContextCompressed(len(turn.history), REMEMBERED)
    if "quiet" not in order.flags:
        yield from _thoughts(thinking(order, number))
        yield from _tool_calls(order)
        yield from _research(order)
    if "approve" in order.flags:
        yield from _question()
    if "custom" in order.flags:
        yield Custom("demo", {"turn": number, "flags": sorted(order.flags)})
    yield from _text(order, [*_said(order, turn, number)])


def _said(order: Order, turn: Turn, number: int) -> Iterator[str]:
    return answer(order, turn_number=number, images=len(turn.images), files=[file.name for file in turn.files])


def _words(text: str) -> Iterable[str]:
    return text.replace(" ", "\0 ").split("\0")


def _thoughts(text: str, agent: str | None = None) -> Iterator[Event]:
    for piece in _words(text):
        yield ThinkingDelta(piece, agent=agent)
    yield ThinkingEnd(agent=agent)
    yield TurnThinking(text, is_subagent=agent is not None, agent=agent)


def _tool_calls(order: Order) -> Iterator[Event | None]:
    given = {"text": order.words[:200]}
    yield ToolStarted("count_words", given, call_id="demo-count")
    yield None
    counted = {"words": len(order.words.split()), "characters": len(order.words)}
    yield ToolEvent("count_words", given, counted, success=True, call_id="demo-count")
    asked = {"query": " ".join(order.words.split()[:3])}
    yield ToolStarted("search_notes", asked, call_id="demo-search")
    yield None
    if "fail" in order.flags:
        yield ToolEvent("search_notes", asked, "the notes can't be reached", success=False, call_id="demo-search")
    else:
        yield ToolEvent("search_notes", asked, {"notes": []}, success=True, call_id="demo-search")


def _question() -> Iterator[Event]:
    given = {"older_than_days": 30}
    yield ToolStarted("delete_notes", given, call_id="demo-delete")
    yield ApprovalRequested("delete_notes", given, reason="what is deleted is gone", call_id="demo-delete")


def _research(order: Order) -> Iterator[Event | None]:
    yield from _thoughts("I was asked to look closer. I will measure the words.", RESEARCHER)
    started = ToolStarted(
        "longest_word", {"text": order.words[:200]}, is_subagent=True, call_id="demo-longest", agent=RESEARCHER
    )
    yield started
    yield None
    yield ToolEvent(
        started.tool_name,
        started.arguments,
        longest_word(order.words),
        success=True,
        is_subagent=True,
        call_id=started.call_id,
        agent=RESEARCHER,
    )
    for piece in _words(findings(order)):
        yield TextDelta(piece, agent=RESEARCHER)
    yield TextEnd(agent=RESEARCHER)


def _text(order: Order, pieces: list[str]) -> Iterator[Event]:
    half = len(pieces) // 2
    yield from map(TextDelta, pieces[:half])
    if "error" in order.flags:
        raise AgentError("the demo agent was asked to end with an error")
    if "crash" in order.flags:
        raise RuntimeError("the demo agent was asked to crash")
    yield from map(TextDelta, pieces[half:])
