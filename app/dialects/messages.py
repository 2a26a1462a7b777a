"""The native dialect's messages: one class per `type` of section 2 of the protocol.

These classes are the wire, the OpenAPI schemas, and the types of generated SDKs at once: fields have the wire's names
and order, an optional field that is UNSET is absent, and docstrings are the schemas' descriptions.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from attrs import frozen
from msgspec import UNSET, UnsetType

Text = str | UnsetType


# Without slots msgspec writes fields in the order in which they are declared; with them, in alphabetical order.
@frozen(kw_only=True, slots=False)
class InputFile:
    """A file that came with the user's message."""

    id: str
    name: str


@frozen(kw_only=True, slots=False)
class Input:
    """The user's message that started the run; `images` counts them."""

    content: str
    images: int
    files: list[InputFile]


@frozen(kw_only=True, slots=False)
class TokenUsage:
    """Tokens that the run's model calls read and wrote."""

    input_tokens: int
    output_tokens: int


@frozen(kw_only=True, slots=False)
class StreamStart:
    """A run began."""

    type: Literal["stream_start"] = "stream_start"
    id: str
    run_id: str
    session_id: str
    input: Input
    at: datetime


@frozen(kw_only=True, slots=False)
class ThinkingDelta:
    """A piece of the model's thinking."""

    type: Literal["thinking_delta"] = "thinking_delta"
    id: str
    delta: str
    agent: Text = UNSET


@frozen(kw_only=True, slots=False)
class ThinkingEnd:
    """A stretch of thinking is over."""

    type: Literal["thinking_end"] = "thinking_end"
    id: str
    agent: Text = UNSET


@frozen(kw_only=True, slots=False)
class StreamDelta:
    """A piece of the answer's text."""

    type: Literal["stream_delta"] = "stream_delta"
    id: str
    delta: str
    agent: Text = UNSET


@frozen(kw_only=True, slots=False)
class ToolStarted:
    """A tool was called."""

    type: Literal["tool_started"] = "tool_started"
    id: str
    call_id: str
    tool: str
    args: dict[str, Any]
    is_subagent: bool
    agent: Text = UNSET
    truncated: bool | UnsetType = UNSET


@frozen(kw_only=True, slots=False)
class ToolCall:
    """A tool call ended."""

    type: Literal["tool_call"] = "tool_call"
    id: str
    call_id: str
    tool: str
    args: dict[str, Any]
    result: str
    success: bool
    is_subagent: bool
    agent: Text = UNSET
    truncated: bool | UnsetType = UNSET


@frozen(kw_only=True, slots=False)
class TurnThinking:
    """The whole thinking of one model turn."""

    type: Literal["turn_thinking"] = "turn_thinking"
    id: str
    thinking: str
    is_subagent: bool
    agent: Text = UNSET


@frozen(kw_only=True, slots=False)
class ContextCompressed:
    """The agent shortened its history."""

    type: Literal["context_compressed"] = "context_compressed"
    id: str
    messages_before: int
    messages_after: int


@frozen(kw_only=True, slots=False)
class ApprovalRequested:
    """The agent asks whether it may run a tool."""

    type: Literal["approval_requested"] = "approval_requested"
    id: str
    call_id: str
    tool: str
    args: dict[str, Any]
    reason: Text = UNSET
    truncated: bool | UnsetType = UNSET


@frozen(kw_only=True, slots=False)
class ApprovalResolved:
    """Somebody answered an `approval_requested`."""

    type: Literal["approval_resolved"] = "approval_resolved"
    id: str
    call_id: str
    approved: bool
    comment: Text = UNSET


@frozen(kw_only=True, slots=False)
class Custom:
    """Whatever else the agent has to say."""

    type: Literal["custom"] = "custom"
    id: str
    name: str
    data: Any
    truncated: bool | UnsetType = UNSET


@frozen(kw_only=True, slots=False)
class StreamEnd:
    """Terminal: the run completed; `content` is the answer's whole text."""

    type: Literal["stream_end"] = "stream_end"
    id: str
    content: str
    context_tokens: int
    max_context_tokens: int
    usage: TokenUsage | UnsetType = UNSET


@frozen(kw_only=True, slots=False)
class StreamCancelled:
    """Terminal: the run was cancelled; `content` is the text so far."""

    type: Literal["stream_cancelled"] = "stream_cancelled"
    id: str
    content: str
    reason: str


@frozen(kw_only=True, slots=False)
class Error:
    """With an `id`: the terminal of a run that failed. Without: a command was refused, the connection goes on."""

    type: Literal["error"] = "error"
    id: Text = UNSET
    code: str
    message: str
    incident: Text = UNSET
    request_id: Text = UNSET


@frozen(kw_only=True, slots=False)
class CaughtUp:
    """Everything stored when the connection attached has been sent; what follows is live."""

    type: Literal["caught_up"] = "caught_up"
    position: str


@frozen(kw_only=True, slots=False)
class RunQueued:
    """A run was accepted and waits for the `ahead` runs before it; said again when it gets another number."""

    type: Literal["run_queued"] = "run_queued"
    run_id: str
    number: int
    ahead: int


@frozen(kw_only=True, slots=False)
class Gap:
    """The position asked for can't be honoured; the stream goes on from `earliest`."""

    type: Literal["gap"] = "gap"
    requested: str
    earliest: str
    latest: str


@frozen(kw_only=True, slots=False)
class Ack:
    """A command that carried a `request_id` was carried out."""

    type: Literal["ack"] = "ack"
    request_id: str
    run_id: Text = UNSET


@frozen(kw_only=True, slots=False)
class Pong:
    """The answer to `ping`."""

    type: Literal["pong"] = "pong"


LogMessage = (
    StreamStart
    | ThinkingDelta
    | ThinkingEnd
    | StreamDelta
    | ToolStarted
    | ToolCall
    | TurnThinking
    | ContextCompressed
    | ApprovalRequested
    | ApprovalResolved
    | Custom
    | StreamEnd
    | StreamCancelled
    | Error
)
"""What comes out of a log."""

StreamMessage = LogMessage | CaughtUp | RunQueued | Gap
"""What a stream of server-sent events carries."""

ReplyMessage = Ack | Pong | Error
"""What answers a command on a WebSocket."""
