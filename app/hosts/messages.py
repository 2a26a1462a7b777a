"""What goes over the wire between processes: JSON, whose first member says what it is.

Processes of two versions may be at work side by side while one takes the other's place; what one of them does not
know is none of its business.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from attrs import frozen

from app.errors import NoSuchApproval, NotReady, Refusal
from app.hosts.base import Approve, Began, Begin, Cancel, Deleted, Ended, Missed, News, Order, Waits

_CLASSES: Final[dict[str, Any]] = {
    cls.__name__: cls for cls in (Approve, Begin, Cancel, Began, Deleted, Ended, Missed, Waits)
}
_REFUSALS: Final[dict[str, type[Refusal]]] = {NoSuchApproval.code: NoSuchApproval}


@frozen
class Envelope:
    """An order or news, and who sends it.

    Attributes:
        number: the sender's, of an order that it wants answered.
    """

    sender: str
    what: Order | News
    number: int | None = None


@frozen
class Answer:
    """What came of the order with this number: nothing but a code and a message if it was refused."""

    number: int
    code: str | None = None
    message: str = ""

    @classmethod
    def of(cls, number: int, refusal: Refusal | None) -> Answer:
        """The answer to an order that was carried out, or refused."""
        return cls(number) if refusal is None else cls(number, refusal.code, str(refusal))

    @property
    def refusal(self) -> Refusal | None:
        """Why the order was refused, if it was."""
        return None if self.code is None else _REFUSALS.get(self.code, NotReady)(self.message)


def encode(message: Envelope | Answer) -> bytes:
    """The JSON text of a message."""
    match message:
        case Envelope():
            name = type(message.what).__name__
            return msgspec.json.encode([name, message.sender, message.number, message.what])
        case Answer():
            return msgspec.json.encode(["Answer", message])


def decode(text: bytes) -> Envelope | Answer | None:
    """The message, or None if it is none that this version knows."""
    try:
        name, *rest = msgspec.json.decode(text, type=list[Any])
        if name == "Answer":
            return msgspec.convert(rest[0], Answer)
        sender, number, what = rest
        return Envelope(sender, msgspec.convert(what, _CLASSES[name]), number)
    except (msgspec.MsgspecError, ValueError, LookupError, TypeError):
        return None
