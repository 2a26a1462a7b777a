"""One log line per request and per connection: no bodies, no query strings (tickets travel there)."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote

import structlog
from litestar.enums import ScopeType

from app.transports.auth.principals import ANYBODY

log = structlog.get_logger()

PROBE: Final = {"probe": True}
"""`opt` of the routes that machines ask again and again: they are told of only when something is wrong."""

_TOLD: Final = "runcast.told"
_OK: Final = 200
_AS_IT_IS: Final = "/:@!$&'()*+,;=~"
_LONGEST: Final = 256


def tell(scope: Any, **fields: Any) -> None:
    """Add fields to the line that this request or connection will get."""
    scope.setdefault(_TOLD, {}).update(fields)


def logged_path(scope: Any) -> str:
    """The path as it is logged: in one line, of an end, and in letters that no terminal acts on."""
    return quote(scope["path"], safe=_AS_IT_IS)[:_LONGEST]


def log_answer(scope: Any, status: int | None, took: float) -> None:
    """Write the line of a request, a stream or a socket, which took so many seconds."""
    fields: dict[str, Any] = {"took": round(took, 4)}
    if (caller := scope.get("user", ANYBODY)) != ANYBODY:
        fields["principal"] = caller
    told: dict[str, Any] = scope.get(_TOLD, {})
    if scope["type"] == ScopeType.WEBSOCKET:
        log.info("socket.closed", **fields, **told)
    elif told:
        log.info("stream.closed", method=scope["method"], status=status, **fields, **told)
    else:
        write = log.debug if status == _OK and _is_probe(scope) else log.info
        write("request.answered", method=scope["method"], status=status, **fields)


def _is_probe(scope: Any) -> bool:
    return PROBE.items() <= getattr(scope.get("route_handler"), "opt", {}).items()
