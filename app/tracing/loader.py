"""The environment -> a Tracing: OpenTelemetry where its standard variables ask for it, else none."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points, version
from importlib.util import find_spec
from typing import Any, Final

import structlog

from app.errors import ConfigurationError, installs
from app.tracing.base import NO_TRACING, Tracing

log = structlog.get_logger()

_ASKS: Final = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_TRACES_EXPORTER")
_OTLP: Final = {"http/protobuf": "otlp_proto_http", "grpc": "otlp_proto_grpc"}
"""The name under which an exporter is installed, by the protocol that it speaks."""


def tracing_of(environment: Mapping[str, str]) -> Tracing:
    """Tracing as the variables `OTEL_*` have it; the SDK and its exporters read the rest of them themselves.

    Raises:
        ConfigurationError: an exporter is named that is not installed.
    """
    off = environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    if off or not any(environment.get(name) for name in _ASKS):
        return NO_TRACING
    names = _exporters(environment)
    if not names:
        return NO_TRACING
    if find_spec("opentelemetry") is None or find_spec("opentelemetry.sdk") is None:
        log.warning("tracing.not_installed", hint=installs("otel"))
        return NO_TRACING
    return _open_telemetry([_installed(name) for name in names])


def _exporters(environment: Mapping[str, str]) -> list[str]:
    protocol = environment.get("OTEL_EXPORTER_OTLP_PROTOCOL") or "http/protobuf"
    protocol = environment.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or protocol
    named = (environment.get("OTEL_TRACES_EXPORTER") or "otlp").split(",")
    names = [name.strip() for name in named if name.strip() not in ("", "none")]
    return [_OTLP.get(protocol, protocol) if name == "otlp" else name for name in names]


def _installed(name: str) -> EntryPoint:
    found = entry_points(group="opentelemetry_traces_exporter", name=name)
    if not found:
        raise ConfigurationError(f"OTEL_TRACES_EXPORTER or OTEL_EXPORTER_OTLP_PROTOCOL: {name} is not installed")
    return next(iter(found))


def _open_telemetry(exporters: list[EntryPoint]) -> Tracing:
    # Here, since without the extra there is nothing to import, and without the variables no reason to.
    from opentelemetry import trace  # noqa: PLC0415
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    from app.tracing.opentelemetry import OpenTelemetry  # noqa: PLC0415

    if isinstance(set_up := trace.get_tracer_provider(), TracerProvider):  # by whoever started this process
        return OpenTelemetry(set_up)
    ours: dict[str, Any] = {"service.name": "runcast", "service.version": version("runcast")}
    # What the environment says of the service wins over what we would.
    provider = TracerProvider(resource=Resource.create(ours).merge(OTELResourceDetector().detect()))
    for exporter in exporters:
        provider.add_span_processor(BatchSpanProcessor(exporter.load()()))
    trace.set_tracer_provider(provider)  # so that spans of agents and their libraries go the same way
    return OpenTelemetry(provider)
