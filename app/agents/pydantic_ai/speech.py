"""From pydantic-ai's stream of one run to our events: the table of what becomes what."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic_ai.messages import (
    BaseToolCallPart,
    BaseToolReturnPart,
    FunctionToolCallEvent,
    FunctionToolResultEvent,
    NativeToolCallPart,
    NativeToolReturnPart,
    PartDeltaEvent,
    PartEndEvent,
    PartStartEvent,
    TextPart,
    TextPartDelta,
    ThinkingPart,
    ThinkingPartDelta,
)

from app.agents.pydantic_ai.tools import Forwarded
from app.events import (
    Event,
    TextDelta,
    TextEnd,
    ThinkingDelta,
    ThinkingEnd,
    ToolEvent,
    ToolStarted,
    TurnThinking,
)


class Speech:
    """What a run's model said so far.

    Attributes:
        text: the pieces of its answer.
    """

    def __init__(self) -> None:
        self.text: list[str] = []
        self._arguments: dict[str, dict[str, Any]] = {}

    def hear(self, heard: Any) -> Iterator[Event]:
        """The events that one event of pydantic-ai becomes; most become none or one."""
        match heard:
            case (
                PartDeltaEvent(delta=TextPartDelta(content_delta=delta)) | PartStartEvent(part=TextPart(content=delta))
            ):
                yield from self._say(delta)
            case (
                PartDeltaEvent(delta=ThinkingPartDelta(content_delta=delta))
                | PartStartEvent(part=ThinkingPart(content=delta))
            ):
                if delta:
                    yield ThinkingDelta(delta)
            case PartEndEvent(part=TextPart()):
                yield TextEnd()
            case PartEndEvent(part=ThinkingPart(content=thinking)) if thinking:
                yield ThinkingEnd()
                yield TurnThinking(thinking)
            case FunctionToolCallEvent(part=call) | PartEndEvent(part=NativeToolCallPart() as call):
                yield self._call(call)
            case FunctionToolResultEvent(part=result) | PartStartEvent(part=NativeToolReturnPart() as result):
                yield self._result(result)
            case Forwarded(event=event):
                yield event

    def _say(self, delta: str) -> Iterator[Event]:
        if delta:
            self.text.append(delta)
            yield TextDelta(delta)

    def _call(self, call: BaseToolCallPart[Any]) -> Event:
        arguments = self._arguments[call.tool_call_id] = call.args_as_dict()
        return ToolStarted(call.tool_name, arguments, call_id=call.tool_call_id)

    def _result(self, result: BaseToolReturnPart[Any]) -> Event:
        return ToolEvent(
            result.tool_name,
            self._arguments.pop(result.tool_call_id, {}),
            result.model_response_str(),
            success=result.outcome == "success",
            call_id=result.tool_call_id,
        )
