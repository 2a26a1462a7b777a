"""JSON from the server -> the message classes that the server writes it from; what is unknown stays plain (P2.3)."""

from __future__ import annotations

from typing import Any, Final, get_args

import msgspec
from attrs import fields, frozen
from cattrs import BaseValidationError
from cattrs.preconf.msgspec import make_converter
from msgspec import UnsetType

from app.dialects.messages import ReplyMessage, StreamMessage

_TERMINALS: Final = ("stream_end", "stream_cancelled", "error")


@frozen(kw_only=True)
class UnknownMessage:
    """A message of a type, or a shape, that this version of the client doesn't know.

    Attributes:
        id: its position, if it came out of a log.
        fields: the whole JSON object.
    """

    type: str
    id: str | None
    fields: dict[str, Any]


Message = StreamMessage | UnknownMessage
"""What a stream carries."""

_converter = make_converter()


def _optional(value: Any, kind: Any) -> Any:
    given = next(each for each in get_args(kind) if each is not UnsetType)
    return _converter.structure(value, given)


_converter.register_structure_hook_func(lambda kind: UnsetType in get_args(kind), _optional)

_CLASSES: Final[dict[str, type]] = {fields(cls).type.default: cls for cls in get_args(StreamMessage | ReplyMessage)}


def read(text: str | bytes) -> Message | ReplyMessage:
    """Make a message of its JSON text.

    Raises:
        ValueError: it is no JSON object with a string `type` (P2.1).
    """
    given = msgspec.json.decode(text)
    kind = given.get("type") if isinstance(given, dict) else None
    if not isinstance(kind, str):
        raise ValueError("the server sent something that is no message")  # noqa: TRY004 - of text, not of a type
    try:
        message: Message | ReplyMessage = _converter.structure(given, _CLASSES[kind])
    except (KeyError, BaseValidationError):
        at = given.get("id")
        return UnknownMessage(type=kind, id=at if isinstance(at, str) else None, fields=given)
    return message


def position(message: Message | ReplyMessage) -> str | None:
    """The position that a message carries, None if it is about the connection (P2.2)."""
    at = getattr(message, "id", None)
    return at if isinstance(at, str) else None


def is_terminal(message: Message) -> bool:
    """Whether it is the last message of its run."""
    return message.type in _TERMINALS and position(message) is not None
