"""Who is told of what happens: the numbers that `/metrics` shows, and the traces."""

from __future__ import annotations

from attrs import Factory, frozen

from app.measures import Measures
from app.tracing.base import NO_TRACING, Tracing


@frozen
class Telemetry:
    """What a process counts into, and where it traces; by default into nothing that anybody reads."""

    measures: Measures = Factory(Measures)
    tracing: Tracing = NO_TRACING
