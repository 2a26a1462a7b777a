"""The conversation as the model remembers it: loading, saving, and leaving out the oldest turns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic_ai.messages import (
    BinaryContent,
    ModelMessage,
    ModelMessagesTypeAdapter,
    ModelRequest,
    ModelResponse,
    TextPart,
    UserContent,
    UserPromptPart,
)

from app.agents.base import Turn

KEY = "messages"
"""Where `Turn.state` keeps pydantic-ai's messages."""

_CHARACTERS_PER_TOKEN = 4
_TOKENS_PER_IMAGE = 1000
_LEAVE = 0.75


def load(turn: Turn) -> list[ModelMessage]:
    """The conversation so far: as the last run left it, else from the transcript.

    A state that this version of pydantic-ai can't read counts as none.
    """
    stored = turn.state.get(KEY)
    if stored is not None:
        try:
            return ModelMessagesTypeAdapter.validate_python(stored)
        except ValueError:
            pass
    return [_plain(message.role, message.content) for message in turn.history if message.content]


def save(turn: Turn, messages: Sequence[ModelMessage]) -> None:
    """Leave the conversation in the turn's state, as JSON values."""
    turn.state[KEY] = ModelMessagesTypeAdapter.dump_python(list(messages), mode="json")


def prompt(turn: Turn) -> str | list[UserContent]:
    """What the user sent, images after the text."""
    if not turn.images:
        return turn.content
    return [turn.content, *(BinaryContent(image.data, media_type=image.media_type) for image in turn.images)]


def context_tokens(messages: Sequence[ModelMessage]) -> int:
    """How many tokens the conversation takes: what the provider counted last, and an estimate of what came after."""
    for index in range(len(messages) - 1, -1, -1):
        message = messages[index]
        if isinstance(message, ModelResponse) and message.usage.input_tokens:
            counted = message.usage.input_tokens + message.usage.output_tokens
            return counted + sum(map(_estimate, messages[index + 1 :]))
    return sum(map(_estimate, messages))


def compress(messages: list[ModelMessage], limit: int) -> list[ModelMessage]:
    """Leave out the oldest turns, down to three quarters of `limit` tokens, if there are more than `limit`.

    Turns are left out whole, so that no tool result loses its call, and the latest one always stays. Instructions are
    not part of any turn: they go with every request.
    """
    size = context_tokens(messages)
    if size <= limit:
        return messages
    turns = _turns(messages)
    while len(turns) > 1 and size > limit * _LEAVE:
        size -= sum(map(_estimate, turns.pop(0)))
    return [message for turn in turns for message in turn]


def _turns(messages: Sequence[ModelMessage]) -> list[list[ModelMessage]]:
    turns: list[list[ModelMessage]] = []
    for message in messages:
        asks = isinstance(message, ModelRequest) and any(isinstance(part, UserPromptPart) for part in message.parts)
        if asks or not turns:
            turns.append([])
        turns[-1].append(message)
    return turns


def _estimate(message: ModelMessage) -> int:
    return sum(_estimate_value(getattr(part, name, None)) for part in message.parts for name in ("content", "args"))


def _estimate_value(value: Any) -> int:
    match value:
        case None:
            return 0
        case BinaryContent():
            return _TOKENS_PER_IMAGE
        case list() | tuple():
            return sum(map(_estimate_value, value))
        case _:
            return len(str(value)) // _CHARACTERS_PER_TOKEN + 1


def _plain(role: str, content: str) -> ModelMessage:
    if role == "user":
        return ModelRequest(parts=[UserPromptPart(content)])
    return ModelResponse(parts=[TextPart(content)])
