"""The Dialect port, and Frame: one message, encoded once, in the forms that the transports send.

A dialect is pure: what it makes of an event depends on the event and its position alone, never on who views it
(P6.7) or what was said before. Transports know frames, not messages.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from app.events import Event
from app.position import Position


class Frame:
    """One message on the wire.

    Attributes:
        id: the position that the message carries, None for a message about the connection (P2.2).
        json: the message's JSON text in UTF-8, the same on every transport (P2.1).
    """

    __slots__ = ("_sse", "_text", "id", "json")

    def __init__(self, json: bytes, position: Position | None = None) -> None:
        self.id = position
        self.json = json
        self._text: str | None = None
        self._sse: bytes | None = None

    @property
    def text(self) -> str:
        """The JSON text as a WebSocket text frame wants it; made on first use, then shared."""
        if self._text is None:
            self._text = self.json.decode()
        return self._text

    @property
    def sse(self) -> bytes:
        """The JSON text as one unnamed server-sent event; made on first use, then shared."""
        if self._sse is None:
            head = b"id: %s\n" % str(self.id).encode() if self.id else b""
            self._sse = b"%sdata: %s\n\n" % (head, self.json)
        return self._sse


class Batch:
    """Frames that go out together, shared by every viewer that is due the same ones.

    Attributes:
        frames: in order.
        size: bytes of JSON in them.
    """

    __slots__ = ("_sse", "frames", "size")

    def __init__(self, frames: Iterable[Frame]) -> None:
        self.frames = tuple(frames)
        self.size = sum(len(frame.json) for frame in self.frames)
        self._sse: bytes | None = None

    @property
    def sse(self) -> bytes:
        """All of them as one chunk of an event stream; made on first use, then shared."""
        if self._sse is None:
            only = len(self.frames) == 1
            self._sse = self.frames[0].sse if only else b"".join(frame.sse for frame in self.frames)
        return self._sse


class Dialect(Protocol):
    """One wire vocabulary."""

    name: str

    def frames(self, position: Position, event: Event) -> tuple[Frame, ...]:
        """What the event is in this dialect; empty where it has no word for it."""

    def caught_up(self, position: Position) -> tuple[Frame, ...]:
        """Everything stored when the viewer attached has been sent, up to `position`."""

    def run_queued(self, run_id: str, number: int, ahead: int) -> tuple[Frame, ...]:
        """A run was accepted that has to wait for the `ahead` runs before it (P4.4)."""

    def gap(self, requested: Position, earliest: Position, latest: Position) -> tuple[Frame, ...]:
        """The position that was asked for can't be honoured; the stream goes on from `earliest` (P3.6)."""
