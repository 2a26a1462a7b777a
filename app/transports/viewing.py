"""One open viewer as operators see it: counted while it is there, told of in the line that is logged when it has gone.

Whoever sends adds to `count.sent`, once per batch.
"""

from __future__ import annotations

from types import TracebackType
from typing import Any, Final, Self

from litestar.datastructures import Headers

from app.measures import ViewerCount
from app.position import START, Position
from app.telemetry import Telemetry
from app.tracing.base import Cause, ConnectionSpan
from app.transports.access_log import tell
from app.viewing.viewer import Viewer

TRANSPORTS: Final = ("sse", "websocket")
CUTS: Final = ("too_slow", "draining", "session_deleted", "rate_limited", "too_large", "failed")
"""Why a stream ends from this side before its natural end."""


class Viewing:
    """Entered for as long as a viewer is open.

    Args:
        scope: the connection's ASGI scope.
        viewer: what is sent from.
        start: the position that the viewer brought along, if any.

    Attributes:
        count: the numbers of this viewer.
    """

    def __init__(
        self, telemetry: Telemetry, scope: Any, transport: str, viewer: Viewer, start: Position | None
    ) -> None:
        self.count = ViewerCount(transport, viewer.dialect, lambda: viewer.behind, lambda: viewer.run_id)
        self._viewer = viewer
        self._measures = telemetry.measures
        self._tracing = telemetry.tracing
        self._scope = scope
        self._resumed = start is not None and start > START
        self._reason: str | None = None
        self._code: int | None = None
        self._span: ConnectionSpan

    def __enter__(self) -> Self:
        self._measures.attach(self.count, resumed=self._resumed)
        self._span = self._tracing.connection(
            self.count.transport,
            self.count.dialect,
            self._scope["path_params"].get("session_id", ""),
            Cause.of(Headers.from_scope(self._scope), self._tracing.headers) if self._tracing.headers else None,
            resumed=self._resumed,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._measures.detach(self.count)
        reason = self._reason or "client_left"
        if reason in CUTS:
            self._measures.cuts[self.count.transport, reason] += 1
        self._span.end(reason=reason, code=self._code, sent=self.count.sent)
        tell(
            self._scope,
            transport=self.count.transport,
            dialect=self.count.dialect,
            reason=reason,
            sent=self.count.sent,
            behind=self._viewer.behind,
            resumed=self._resumed,
            **({} if self._code is None else {"code": self._code}),
        )

    @property
    def cause(self) -> Cause | None:
        """What a run is to name that is started over this connection."""
        return self._span.cause

    def ends(self, reason: str | None, code: int | None = None) -> None:
        """Say why it ends, and with which close code; the first word stands. Without any, the client left."""
        self._reason = self._reason or reason
        self._code = self._code or code
