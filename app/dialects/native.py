"""The native dialect (protocol, section 2): event class -> message class, and one cattrs converter.

Silent about TextStarted, TextEnd and ThinkingStarted, so its ids rise without being consecutive (P3.5). A message is
encoded by the hook that cattrs resolved for its class, once per class: with every field passed through, that hook is
msgspec's own encoder.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final, get_args

from cattrs.fns import identity
from cattrs.preconf.msgspec import make_converter
from msgspec import UNSET, UnsetType

from app import events
from app.dialects import messages
from app.dialects.base import Frame
from app.dialects.messages import LogMessage, ReplyMessage, StreamMessage
from app.events import Event
from app.position import Position

_converter = make_converter()
_converter.register_unstructure_hook(Any, identity)
_converter.register_unstructure_hook_func(lambda kind: UnsetType in get_args(kind), identity)

Encode = Callable[[object], bytes]
_ENCODERS: Final[dict[type, Encode]] = {
    cls: _converter.get_dumps_hook(cls) for cls in get_args(StreamMessage | ReplyMessage)
}


def encode(message: StreamMessage | ReplyMessage) -> bytes:
    """The message's JSON text. Every frame of this dialect is made here."""
    return _ENCODERS[type(message)](message)


def _given(text: str | None) -> str | UnsetType:
    return UNSET if text is None else text


def _flag(truncated: bool) -> bool | UnsetType:
    return True if truncated else UNSET


def _stream_start(at: str, event: events.RunStarted) -> LogMessage:
    files = [messages.InputFile(id=file.id, name=file.name) for file in event.input.files]
    asked = messages.Input(content=event.input.content, images=event.input.images, files=files)
    return messages.StreamStart(id=at, run_id=event.run_id, session_id=event.session_id, input=asked, at=event.at)


def _tool_started(at: str, event: events.ToolStarted) -> LogMessage:
    return messages.ToolStarted(
        id=at,
        call_id=event.call_id,
        tool=event.tool_name,
        args=event.arguments,
        is_subagent=event.is_subagent,
        agent=_given(event.agent),
        truncated=_flag(event.truncated),
    )


def _tool_call(at: str, event: events.ToolEvent) -> LogMessage:
    return messages.ToolCall(
        id=at,
        call_id=event.call_id,
        tool=event.tool_name,
        args=event.arguments,
        result=event.result,
        success=event.success,
        is_subagent=event.is_subagent,
        agent=_given(event.agent),
        truncated=_flag(event.truncated),
    )


def _stream_end(at: str, event: events.StreamEnd) -> LogMessage:
    used = event.usage
    return messages.StreamEnd(
        id=at,
        content=event.full_content,
        context_tokens=event.context_tokens,
        max_context_tokens=event.max_context_tokens,
        usage=messages.TokenUsage(input_tokens=used.input_tokens, output_tokens=used.output_tokens) if used else UNSET,
    )


_MESSAGES: Final[dict[type, Callable[[str, Any], LogMessage] | None]] = {
    events.RunStarted: _stream_start,
    events.ThinkingStarted: None,
    events.ThinkingDelta: lambda at, e: messages.ThinkingDelta(id=at, delta=e.delta, agent=_given(e.agent)),
    events.ThinkingEnd: lambda at, e: messages.ThinkingEnd(id=at, agent=_given(e.agent)),
    events.TextStarted: None,
    events.TextDelta: lambda at, e: messages.StreamDelta(id=at, delta=e.delta, agent=_given(e.agent)),
    events.TextEnd: None,
    events.ToolStarted: _tool_started,
    events.ToolEvent: _tool_call,
    events.TurnThinking: lambda at, e: messages.TurnThinking(
        id=at, thinking=e.thinking, is_subagent=e.is_subagent, agent=_given(e.agent)
    ),
    events.ContextCompressed: lambda at, e: messages.ContextCompressed(
        id=at, messages_before=e.messages_before, messages_after=e.messages_after
    ),
    events.ApprovalRequested: lambda at, e: messages.ApprovalRequested(
        id=at,
        call_id=e.call_id,
        tool=e.tool_name,
        args=e.arguments,
        reason=_given(e.reason),
        truncated=_flag(e.truncated),
    ),
    events.ApprovalResolved: lambda at, e: messages.ApprovalResolved(
        id=at, call_id=e.call_id, approved=e.approved, comment=_given(e.comment)
    ),
    events.Custom: lambda at, e: messages.Custom(id=at, name=e.name, data=e.data, truncated=_flag(e.truncated)),
    events.StreamEnd: _stream_end,
    events.RunCancelled: lambda at, e: messages.StreamCancelled(id=at, content=e.content, reason=e.reason),
    events.RunFailed: lambda at, e: messages.Error(id=at, code=e.code, message=e.message, incident=_given(e.incident)),
}


@lru_cache(maxsize=1024)
def _caught_up(position: Position) -> tuple[Frame, ...]:
    # Viewers that attach together are due the same one.
    return (Frame(encode(messages.CaughtUp(position=str(position)))),)


@lru_cache(maxsize=1024)
def _run_queued(run_id: str, number: int, ahead: int) -> tuple[Frame, ...]:
    # Every viewer of the session is due the same one.
    return (Frame(encode(messages.RunQueued(run_id=run_id, number=number, ahead=ahead))),)


class Native:
    """The native dialect."""

    name = "native"

    def frames(self, position: Position, event: Event) -> tuple[Frame, ...]:
        """The event's message, or nothing where native has no word for it."""
        make = _MESSAGES[type(event)]
        return (Frame(encode(make(str(position), event)), position),) if make else ()

    def caught_up(self, position: Position) -> tuple[Frame, ...]:
        """`caught_up`."""
        return _caught_up(position)

    def run_queued(self, run_id: str, number: int, ahead: int) -> tuple[Frame, ...]:
        """`run_queued`."""
        return _run_queued(run_id, number, ahead)

    def gap(self, requested: Position, earliest: Position, latest: Position) -> tuple[Frame, ...]:
        """`gap`."""
        message = messages.Gap(requested=str(requested), earliest=str(earliest), latest=str(latest))
        return (Frame(encode(message)),)
