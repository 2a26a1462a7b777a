"""Parameters that several routes take, each declared once."""

from __future__ import annotations

from typing import Annotated, Final

from litestar.di import NamedDependency
from litestar.params import HeaderParameter, KwargDefinition, QueryParameter, SkipValidation

from app.dialects.messages import StreamMessage
from app.position import Position
from app.registry import RunRegistry

RunEvent = Annotated[
    StreamMessage,
    KwargDefinition(schema_component_key="RunEvent"),
]
After = Annotated[
    str | None,
    QueryParameter(name="after", description="The position to begin strictly after, as `3-17`; `0` for all."),
]
LastEventId = Annotated[
    str | None, HeaderParameter(name="Last-Event-ID", description="As `after`, which it wins over.")
]
Registry = NamedDependency[SkipValidation[RunRegistry]]
Limit = Annotated[int, QueryParameter(name="limit", ge=1, le=200, description="At most so many items.")]
PageCursor = Annotated[str | None, QueryParameter(name="cursor", description="`next` of the page before.")]
PAGE: Final = 50


def start_of(after: str | None, last_event_id: str | None) -> Position | None:
    """Where a stream begins: `Last-Event-ID` wins over `after` (P3.4).

    Raises:
        BadPosition: what was given is no position (P3.6).
    """
    given = last_event_id or after
    return Position.parse(given) if given is not None else None
