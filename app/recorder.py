"""An agent's raw stream -> complete, well-nested events: the only state machine over events.

What the recorder promises to whoever reads the log: RunStarted comes first and exactly one terminal last; every delta
stands between the start and the end of its part; every ToolEvent follows a ToolStarted with the same, unique
`call_id`, and every ApprovalResolved an ApprovalRequested; every value is JSON. Dialects can therefore be pure, and a
reader can begin anywhere. It knows no clock, no storage and no wire.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from attrs import define, evolve

from app.events import (
    ApprovalRequested,
    ApprovalResolved,
    Custom,
    Delta,
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
    TurnThinking,
)
from app.recorder_values import (
    FIELD_LIMIT,
    agents_own,
    capped_json,
    capped_object,
    checked,
    clean_text,
    pieces,
    rendered,
    shown_text,
)

UNFINISHED = "(the run ended before this call did)"
"""The result of a tool call that the run's end cut short."""

UNANSWERED = "(the run ended before this was answered)"
"""The comment of an approval that nobody answered in time; it counts as refused."""

_Kind = Literal["text", "thinking"]


@define
class _Part:
    kind: _Kind
    id: str
    agent: str | None

    def end(self) -> Event:
        return (TextEnd if self.kind == "text" else ThinkingEnd)(part=self.id, agent=self.agent)


class Recorder:
    """The recorder of one run.

    Attributes:
        content: the main agent's text so far.
        terminal: the run's terminal event once it has one; nothing is recorded after it.
    """

    def __init__(self, started: RunStarted) -> None:
        self._started = started
        self._begun = False
        self._parts: dict[str | None, _Part] = {}
        self._calls: dict[str, ToolStarted] = {}
        self._approvals: dict[str, ApprovalRequested] = {}
        self._questions: set[str] = set()
        self._asked: dict[str, str] = {}
        self._seen_calls: set[str] = set()
        self._minted = 0
        self._text: list[str] = []
        self.terminal: Terminal | None = None

    @property
    def content(self) -> str:
        if len(self._text) > 1:
            self._text = ["".join(self._text)]
        return self._text[0] if self._text else ""

    @property
    def unclosed(self) -> int:
        """How many events besides the terminal the run's end would bring."""
        return len(self._parts) + len(self._calls) + len(self._approvals)

    def begin(self) -> list[Event]:
        """RunStarted, once."""
        if self._begun:
            return []
        self._begun = True
        asked = self._started.input
        return [evolve(self._started, input=evolve(asked, content=clean_text(asked.content)))]

    def feed(self, raw: Event | str) -> list[Event]:
        """Complete what the agent said; nothing comes of it once the run has its terminal.

        Raises:
            TypeError: it is neither an event nor a string, or a field has another type than it is declared with.
        """
        if self.terminal is not None:
            return []
        if (next_words := self._next_words(raw)) is not None:
            return [next_words]
        raw = checked(TextDelta(raw) if isinstance(raw, str) else raw)
        match raw:
            case TextDelta() | ThinkingDelta():
                return self._delta(raw)
            case TextEnd() | ThinkingEnd():
                return self._end_part(raw.agent, "text" if isinstance(raw, TextEnd) else "thinking")
            case ToolStarted():
                return self._tool_started(raw)
            case ToolEvent():
                return self._tool_ended(raw)
            case RunFailed():
                return self.end(agents_own(raw))
            case StreamEnd() | RunCancelled():
                return self.end(raw)
            case RunStarted() | TextStarted() | ThinkingStarted():
                return []
            case _:
                return self._plain(raw)

    def end(self, terminal: Terminal) -> list[Event]:
        """Close what is open and end the run; the terminal is the last of the events returned.

        An empty `content` of the terminal is filled with the text so far.

        Raises:
            TypeError: as `feed`.
        """
        if self.terminal is not None:
            return []
        self.terminal = self._completed(checked(terminal))
        return [*self.begin(), *self._close_all(), self.terminal]

    def finish(self) -> list[Event]:
        """End the run of an agent that returned without a StreamEnd."""
        return self.end(StreamEnd(""))

    def replay(self, events: Iterable[Event]) -> None:
        """Take up the state of a log that another recorder wrote."""
        for event in events:
            self._remember(event)

    # parts

    def _next_words(self, raw: Event | str) -> TextDelta | None:
        """What nearly every word of an agent is, at a fraction of the cost: more text of an answer that has begun."""
        text = raw.delta if type(raw) is TextDelta and raw.agent is None else raw
        part = self._parts.get(None)
        if type(text) is not str or part is None or part.kind != "text":
            return None
        if not (text.isascii() and 0 < len(text) <= FIELD_LIMIT):
            return None
        self._text.append(text)
        return TextDelta(text, part=part.id)

    def _delta(self, raw: Delta) -> list[Event]:
        if not (text := raw.delta):
            return []
        kind: _Kind = "text" if isinstance(raw, TextDelta) else "thinking"
        opened, part = self._open(kind, raw.agent)
        if kind == "text" and raw.agent is None:
            self._text.append(text)
        return [*opened, *(evolve(raw, delta=piece, part=part.id) for piece in pieces(text))]

    def _open(self, kind: _Kind, agent: str | None) -> tuple[list[Event], _Part]:
        part = self._parts.get(agent)
        if part is not None and part.kind == kind:
            return [], part
        ended = self._end_part(agent)
        part = self._parts[agent] = _Part(kind, self._mint("part"), agent)
        started = TextStarted if kind == "text" else ThinkingStarted
        return [*ended, started(part.id, agent=agent)], part

    def _end_part(self, agent: str | None, kind: _Kind | None = None) -> list[Event]:
        part = self._parts.get(agent)
        if part is None or (kind is not None and part.kind != kind):
            return []
        del self._parts[agent]
        return [part.end()]

    # tool calls

    def _tool_started(self, raw: ToolStarted) -> list[Event]:
        arguments, truncated = capped_object(raw.arguments)
        event = evolve(
            raw,
            arguments=arguments,
            truncated=raw.truncated or truncated,
            call_id=self._new_call_id(raw.call_id),
        )
        self._calls[event.call_id] = event
        return [*self._end_part(raw.agent), event]

    def _tool_ended(self, raw: ToolEvent) -> list[Event]:
        started: list[Event] = []
        call_id = self._open_call(raw)
        if call_id is None:
            started = self._tool_started(
                ToolStarted(raw.tool_name, raw.arguments, raw.is_subagent, call_id=raw.call_id, agent=raw.agent)
            )
            call_id = next(reversed(self._calls))
        call = self._calls.pop(call_id)
        result, cut = rendered(raw.result)
        arguments, truncated = capped_object(raw.arguments) if raw.arguments else (call.arguments, call.truncated)
        event = evolve(
            raw,
            tool_name=call.tool_name,
            arguments=arguments,
            result=result,
            call_id=call_id,
            truncated=raw.truncated or cut or truncated,
        )
        return [*started, *self._end_part(raw.agent), event]

    def _new_call_id(self, wanted: str) -> str:
        call_id = wanted or self._mint("call")
        while call_id in self._seen_calls:  # some providers count their calls anew in every turn
            call_id = self._mint(wanted or "call")
        self._seen_calls.add(call_id)
        self._asked[call_id] = wanted or call_id
        return call_id

    def _open_call(self, raw: ToolEvent) -> str | None:
        """The open call that has ended: by its id, else by its tool; of several, the first."""
        named = {i: call for i, call in self._calls.items() if not raw.call_id or self._asked.get(i, i) == raw.call_id}
        same = (i for i, call in named.items() if (call.tool_name, call.agent) == (raw.tool_name, raw.agent))
        return next(same, next(iter(named), None) if raw.call_id else None)

    # the rest

    def _plain(self, raw: Event) -> list[Event]:
        match raw:
            case Custom():
                data, truncated = capped_json(raw.data)
                return [evolve(raw, data=data, truncated=raw.truncated or truncated)]
            case TurnThinking():
                return [evolve(raw, thinking=shown_text(raw.thinking)[0])]
            case ApprovalRequested():
                return [self._approval_requested(raw)]
            case ApprovalResolved():
                return [raw] if self._approvals.pop(raw.call_id, None) else []
            case _:
                return [raw]

    def _approval_requested(self, raw: ApprovalRequested) -> Event:
        arguments, truncated = capped_object(raw.arguments)
        wanted = raw.call_id
        about = next((i for i in self._calls if wanted and self._asked.get(i) == wanted), wanted)
        if not about or about in self._questions or (about in self._seen_calls and about not in self._calls):
            about = self._mint(wanted or "approval")
        self._questions.add(about)
        event = self._approvals[about] = evolve(
            raw, arguments=arguments, call_id=about, truncated=raw.truncated or truncated
        )
        return event

    def _completed(self, terminal: Terminal) -> Terminal:
        match terminal:
            case StreamEnd():
                return evolve(terminal, full_content=terminal.full_content or self.content)
            case RunCancelled():
                return evolve(terminal, content=terminal.content or self.content)
            case RunFailed():
                message, _ = shown_text(terminal.message)
                return evolve(terminal, message=message)

    def _close_all(self) -> list[Event]:
        events = [part.end() for part in self._parts.values()]
        events += [
            ToolEvent(
                call.tool_name,
                call.arguments,
                UNFINISHED,
                success=False,
                is_subagent=call.is_subagent,
                call_id=call.call_id,
                agent=call.agent,
                truncated=call.truncated,
            )
            for call in self._calls.values()
        ]
        events += [ApprovalResolved(each, approved=False, comment=UNANSWERED) for each in self._approvals]
        self._parts.clear()
        self._calls.clear()
        self._approvals.clear()
        return events

    def _mint(self, prefix: str) -> str:
        self._minted += 1
        return f"{prefix}-{self._minted}"

    def _remember(self, event: Event) -> None:
        match event:
            case RunStarted():
                self._begun = True
            case TextStarted() | ThinkingStarted():
                kind: _Kind = "text" if isinstance(event, TextStarted) else "thinking"
                self._parts[event.agent] = _Part(kind, event.part, event.agent)
            case TextEnd() | ThinkingEnd():
                self._parts.pop(event.agent, None)
            case TextDelta(agent=None):
                self._text.append(event.delta)
            case ToolStarted():
                self._calls[event.call_id] = event
            case ToolEvent():
                self._calls.pop(event.call_id, None)
            case ApprovalRequested():
                self._approvals[event.call_id] = event
            case ApprovalResolved():
                self._approvals.pop(event.call_id, None)
            case StreamEnd() | RunCancelled() | RunFailed():
                self.terminal = event
