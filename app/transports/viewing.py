"""One open viewer as operators see it: counted while it is there, told of in the line that is logged when it has gone.

Whoever sends adds to `count.sent`, once per batch.
"""

from __future__ import annotations

from types import TracebackType
from typing import Any, Final, Self

from app.measures import Measures, ViewerCount
from app.position import START, Position
from app.transports.access_log import tell

TRANSPORTS: Final = ("sse", "websocket")
CUTS: Final = frozenset({"too_slow", "draining", "session_deleted", "refused_frames", "failed"})
"""Why a stream ends from this side before its natural end."""


class Viewing:
    """Entered for as long as a viewer is open.

    Args:
        scope: the connection's ASGI scope.
        start: the position that the viewer brought along, if any.

    Attributes:
        count: the numbers of this viewer.
    """

    def __init__(self, measures: Measures, scope: Any, transport: str, dialect: str, start: Position | None) -> None:
        self.count = ViewerCount(transport, dialect)
        self._measures = measures
        self._scope = scope
        self._resumed = start is not None and start > START
        self._reason: str | None = None

    def __enter__(self) -> Self:
        self._measures.attach(self.count, resumed=self._resumed)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._measures.detach(self.count)
        reason = self._reason or "client_left"
        if reason in CUTS:
            self._measures.cuts[self.count.transport, reason] += 1
        tell(
            self._scope,
            transport=self.count.transport,
            dialect=self.count.dialect,
            reason=reason,
            sent=self.count.sent,
            resumed=self._resumed,
        )

    def ends(self, reason: str) -> None:
        """Say why it ends; the first reason stands. Without one, it was the client who left."""
        self._reason = self._reason or reason
