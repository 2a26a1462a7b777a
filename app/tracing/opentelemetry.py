"""Spans by OpenTelemetry: one for each run, one for each viewer's connection, none for anything smaller.

Names are those of the semantic conventions for generative AI (semantic-conventions-genai 0.1, in development) where
they have a word, else `runcast.*`. What users and agents say is never in a span.
"""

from __future__ import annotations

import contextvars
from collections.abc import Mapping
from typing import Any, Final

import anyio
from opentelemetry import context, propagate, trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode

from app.events import Event, RunFailed, StreamEnd
from app.sessions.base import Run, RunStatus
from app.tracing.base import Cause, ConnectionSpan, RunSpan

_LAST_SPANS_S: Final = 3.0
"""Seconds that are spent on handing over the last spans when the process ends."""

_FAULTS: Final = frozenset({"failed", "too_slow"})
"""Reasons of a connection's end that are errors: of the server, or of the peer."""


class OpenTelemetry:
    """The Tracing port over a tracer provider."""

    def __init__(self, provider: TracerProvider) -> None:
        self.headers = frozenset(propagate.get_global_textmap().fields)
        self._provider = provider
        self._tracer = provider.get_tracer("runcast")

    def run(self, run: Run, profile: str, cause: Cause | None) -> RunSpan:
        """As `Tracing.run`."""
        attributes = {
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.agent.name": profile,
            "gen_ai.conversation.id": run.session_id,
            "runcast.run.id": run.id,
            "runcast.run.number": run.number,
        }
        return _Run(self._start(f"invoke_agent {profile}", SpanKind.INTERNAL, attributes, cause))

    def connection(
        self, transport: str, dialect: str, session_id: str, cause: Cause | None, *, resumed: bool
    ) -> ConnectionSpan:
        """As `Tracing.connection`."""
        attributes = {
            "runcast.transport": transport,
            "runcast.dialect": dialect,
            "runcast.resumed": resumed,
            "gen_ai.conversation.id": session_id,
        }
        return _Connection(self._start(f"follow {transport}", SpanKind.SERVER, attributes, cause))

    async def close(self) -> None:
        """As `Tracing.close`; a collector that does not answer is not waited for."""
        with anyio.move_on_after(_LAST_SPANS_S):
            await anyio.to_thread.run_sync(self._provider.shutdown, abandon_on_cancel=True)

    def _start(self, name: str, kind: SpanKind, attributes: Mapping[str, Any], cause: Cause | None) -> Span:
        origin = propagate.extract(dict(cause.headers), context=context.Context()) if cause else context.Context()
        if cause is None or not cause.goes_on:
            return self._tracer.start_span(name, origin, kind, attributes)
        found = trace.get_current_span(origin).get_span_context()
        links = [Link(found)] if found.is_valid else []
        return self._tracer.start_span(name, context.Context(), kind, attributes, links)


class _Run:
    def __init__(self, span: Span) -> None:
        self._span = span

    def context(self) -> contextvars.Context:
        fresh = contextvars.Context()
        fresh.run(context.attach, trace.set_span_in_context(self._span, context.Context()))
        return fresh

    def end(self, status: RunStatus, terminal: Event, *, events: int, first_said: float | None) -> None:
        span = self._span
        span.set_attributes({"runcast.run.status": status.value, "runcast.run.events": events})
        if first_said is not None:
            span.set_attribute("gen_ai.response.time_to_first_chunk", first_said)
        if isinstance(terminal, StreamEnd) and (usage := terminal.usage) is not None:
            span.set_attribute("gen_ai.usage.input_tokens", usage.input_tokens)
            span.set_attribute("gen_ai.usage.output_tokens", usage.output_tokens)
        if isinstance(terminal, RunFailed):
            span.set_attribute("error.type", terminal.code)
            if terminal.incident is not None:
                span.set_attribute("runcast.incident", terminal.incident)
            span.set_status(Status(StatusCode.ERROR, terminal.code))
        span.end()

    def lose(self) -> None:
        self._span.set_status(Status(StatusCode.ERROR, "ended elsewhere"))
        self._span.end()


class _Connection:
    def __init__(self, span: Span) -> None:
        self._span = span

    @property
    def cause(self) -> Cause:
        headers: dict[str, str] = {}
        propagate.inject(headers, trace.set_span_in_context(self._span, context.Context()))
        return Cause(headers, goes_on=True)

    def end(self, *, reason: str, code: int | None, sent: int) -> None:
        span = self._span
        span.set_attributes({"runcast.close.reason": reason, "runcast.messages.sent": sent})
        if code is not None:
            span.set_attribute("runcast.close.code", code)
        if reason in _FAULTS:
            span.set_attribute("error.type", reason)
            span.set_status(Status(StatusCode.ERROR, reason))
        span.end()
