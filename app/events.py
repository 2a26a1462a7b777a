"""What an agent can say, and what the recorder adds: the domain's vocabulary, one union.

Fields that an agent need not know are keyword-only and have defaults: `call_id` and `part` are filled in by the
recorder, `agent` names the subagent that spoke and is None for the main one. Events know nothing of wires or storage.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from attrs import field, frozen


@frozen
class FileRef:
    """A file that came with a message: the id and the name that the upload route answered."""

    id: str
    name: str


@frozen
class RunInput:
    """What started a run: the user's text, how many images came with it, and which files."""

    content: str
    images: int = 0
    files: tuple[FileRef, ...] = ()


@frozen
class Usage:
    """Tokens that the run's model calls read and wrote."""

    input_tokens: int
    output_tokens: int


@frozen
class RunStarted:
    """A run began. Always the log's first event, written by the recorder; `at` is UTC."""

    run_id: str
    session_id: str
    input: RunInput
    at: datetime


@frozen
class ThinkingStarted:
    """A stretch of thinking begins; its deltas and its end carry the same `part`."""

    part: str
    agent: str | None = field(default=None, kw_only=True)


@frozen
class ThinkingDelta:
    """A piece of the model's thinking."""

    delta: str
    part: str = field(default="", kw_only=True)
    agent: str | None = field(default=None, kw_only=True)


@frozen
class ThinkingEnd:
    """The stretch of thinking is over."""

    part: str = field(default="", kw_only=True)
    agent: str | None = field(default=None, kw_only=True)


@frozen
class TextStarted:
    """A stretch of answer text begins; its deltas and its end carry the same `part`."""

    part: str
    agent: str | None = field(default=None, kw_only=True)


@frozen
class TextDelta:
    """A piece of the answer's text."""

    delta: str
    part: str = field(default="", kw_only=True)
    agent: str | None = field(default=None, kw_only=True)


@frozen
class TextEnd:
    """The stretch of text is over."""

    part: str = field(default="", kw_only=True)
    agent: str | None = field(default=None, kw_only=True)


@frozen
class ToolStarted:
    """A tool was called and works."""

    tool_name: str
    arguments: dict[str, Any]
    is_subagent: bool = False
    call_id: str = field(default="", kw_only=True)
    agent: str | None = field(default=None, kw_only=True)
    truncated: bool = field(default=False, kw_only=True)


@frozen
class ToolEvent:
    """A tool call ended. `result` may be any value; the recorder renders it as a string (P2.4)."""

    tool_name: str
    arguments: dict[str, Any]
    result: Any
    success: bool
    is_subagent: bool = False
    call_id: str = field(default="", kw_only=True)
    agent: str | None = field(default=None, kw_only=True)
    truncated: bool = field(default=False, kw_only=True)


@frozen
class TurnThinking:
    """The whole thinking of one model turn, after its deltas."""

    thinking: str
    is_subagent: bool = False
    agent: str | None = field(default=None, kw_only=True)


@frozen
class ContextCompressed:
    """The agent shortened its history: how many messages there were, and are."""

    messages_before: int
    messages_after: int


@frozen
class ApprovalRequested:
    """The agent asks whether it may run a tool."""

    tool_name: str
    arguments: dict[str, Any]
    reason: str | None = field(default=None, kw_only=True)
    call_id: str = field(default="", kw_only=True)
    truncated: bool = field(default=False, kw_only=True)


@frozen
class ApprovalResolved:
    """Somebody answered an ApprovalRequested."""

    call_id: str
    approved: bool
    comment: str | None = field(default=None, kw_only=True)


@frozen
class Custom:
    """Anything else an agent wants its clients to see; `data` is any JSON."""

    name: str
    data: Any = None
    truncated: bool = field(default=False, kw_only=True)


@frozen
class StreamEnd:
    """Terminal: the run completed. `full_content` is the answer's whole text; tokens are counts."""

    full_content: str
    context_tokens: int = 0
    max_context_tokens: int = 0
    usage: Usage | None = field(default=None, kw_only=True)


@frozen
class RunCancelled:
    """Terminal: the run was cancelled. `content` is the text so far."""

    content: str
    reason: str


@frozen
class RunFailed:
    """Terminal: the run failed, with a code of P7.4; `incident` leads to the log line of an unexpected error (P6.5)."""

    code: str
    message: str
    incident: str | None = None


Delta = ThinkingDelta | TextDelta
Terminal = StreamEnd | RunCancelled | RunFailed
Event = (
    RunStarted
    | ThinkingStarted
    | ThinkingDelta
    | ThinkingEnd
    | TextStarted
    | TextDelta
    | TextEnd
    | ToolStarted
    | ToolEvent
    | TurnThinking
    | ContextCompressed
    | ApprovalRequested
    | ApprovalResolved
    | Custom
    | Terminal
)
"""Everything that a log can hold."""
