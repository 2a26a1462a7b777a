"""Spans as an exporter gets them, for what the house tells of runs and connections."""

from datetime import UTC, datetime

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from app.events import RunCancelled, RunFailed, StreamEnd, Terminal, Usage
from app.sessions.base import Run, RunStatus
from app.tracing.base import Cause
from app.tracing.opentelemetry import OpenTelemetry

NOW = datetime(2026, 11, 25, tzinfo=UTC)
RUN = Run("run_1", "ses_1", 3, RunStatus.RUNNING, "what was asked", 0, (), NOW, NOW)
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
CAUSE = Cause({"traceparent": f"00-{TRACE}-{PARENT}-01"})


class Recorded:
    """A tracing, and the spans that came out of it."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracing = OpenTelemetry(provider)
        self.tracer = provider.get_tracer("an agent's own")

    def only(self) -> ReadableSpan:
        (span,) = self._exporter.get_finished_spans()
        return span

    def named(self, name: str) -> ReadableSpan:
        (span,) = (span for span in self._exporter.get_finished_spans() if span.name == name)
        return span


@pytest.fixture
def recorded() -> Recorded:
    return Recorded()


def ended(recorded: Recorded, status: RunStatus, terminal: Terminal) -> ReadableSpan:
    recorded.tracing.run(RUN, "helper", None).end(status, terminal, events=7, first_said=0.25)
    return recorded.only()


def test_a_run_is_one_span_in_the_words_of_the_conventions(recorded: Recorded) -> None:
    span = ended(recorded, RunStatus.COMPLETED, StreamEnd("the answer", usage=Usage(12, 34)))

    assert (span.name, span.kind, span.parent) == ("invoke_agent helper", SpanKind.INTERNAL, None)
    assert span.status.status_code is StatusCode.UNSET
    assert span.attributes == {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.name": "helper",
        "gen_ai.conversation.id": "ses_1",
        "gen_ai.usage.input_tokens": 12,
        "gen_ai.usage.output_tokens": 34,
        "gen_ai.response.time_to_first_chunk": 0.25,
        "runcast.run.id": "run_1",
        "runcast.run.number": 3,
        "runcast.run.status": "completed",
        "runcast.run.events": 7,
    }


def test_a_failed_run_is_an_error_with_its_code_and_not_its_text(recorded: Recorded) -> None:
    span = ended(recorded, RunStatus.FAILED, RunFailed("internal_error", "the secret text", "cafe"))

    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, "internal_error")
    assert span.attributes is not None
    assert (span.attributes["error.type"], span.attributes["runcast.incident"]) == ("internal_error", "cafe")
    assert "secret" not in span.to_json()


def test_a_cancelled_run_is_no_error(recorded: Recorded) -> None:
    span = ended(recorded, RunStatus.CANCELLED, RunCancelled("so far", "cancelled"))

    assert span.status.status_code is StatusCode.UNSET
    assert "error.type" not in (span.attributes or {})


def test_a_run_that_somebody_else_ended_is_an_error(recorded: Recorded) -> None:
    recorded.tracing.run(RUN, "helper", None).lose()

    assert recorded.only().status.status_code is StatusCode.ERROR


def test_nothing_that_was_said_is_in_a_span(recorded: Recorded) -> None:
    assert not {"what was asked", "the answer"} & set(
        ended(recorded, RunStatus.COMPLETED, StreamEnd("the answer")).to_json().split('"')
    )


def test_a_run_belongs_to_the_trace_of_the_request_that_started_it(recorded: Recorded) -> None:
    recorded.tracing.run(RUN, "helper", CAUSE).end(RunStatus.COMPLETED, StreamEnd(""), events=1, first_said=None)
    span = recorded.only()

    assert span.parent is not None
    assert span.context is not None
    assert (f"{span.context.trace_id:032x}", f"{span.parent.span_id:016x}") == (TRACE, PARENT)


def test_a_run_that_was_started_over_a_connection_has_a_trace_of_its_own_and_a_link(recorded: Recorded) -> None:
    connection = recorded.tracing.connection("websocket", "native", "ses_1", CAUSE, resumed=False)
    run = recorded.tracing.run(RUN, "helper", connection.cause)
    run.end(RunStatus.COMPLETED, StreamEnd(""), events=1, first_said=None)
    connection.end(reason="client_left", code=1000, sent=1)
    of_run, of_connection = recorded.named("invoke_agent helper"), recorded.named("follow websocket")

    assert of_run.parent is None
    assert of_run.context is not None
    assert of_connection.context is not None
    assert of_run.context.trace_id != of_connection.context.trace_id
    assert [link.context.span_id for link in of_run.links] == [of_connection.context.span_id]


@pytest.mark.parametrize("headers", [{}, {"traceparent": "nonsense"}, {"traceparent": f"00-{'0' * 32}-{PARENT}-01"}])
def test_headers_that_name_no_trace_do_no_harm(recorded: Recorded, headers: dict[str, str]) -> None:
    for goes_on in (False, True):
        run = recorded.tracing.run(RUN, f"helper {goes_on}", Cause(headers, goes_on=goes_on))
        run.end(RunStatus.COMPLETED, StreamEnd(""), events=1, first_said=None)
        span = recorded.named(f"invoke_agent helper {goes_on}")
        assert (span.parent, list(span.links)) == (None, [])


def test_what_an_agent_traces_belongs_to_its_run(recorded: Recorded) -> None:
    run = recorded.tracing.run(RUN, "helper", None)
    run.context().run(lambda: recorded.tracer.start_span("a model's call").end())
    run.end(RunStatus.COMPLETED, StreamEnd(""), events=1, first_said=None)
    inner, outer = recorded.named("a model's call"), recorded.named("invoke_agent helper")

    assert inner.parent is not None
    assert outer.context is not None
    assert inner.parent.span_id == outer.context.span_id
    assert not trace.get_current_span().get_span_context().is_valid


def test_a_connection_is_one_span_with_what_became_of_it(recorded: Recorded) -> None:
    connection = recorded.tracing.connection("websocket", "native", "ses_1", CAUSE, resumed=True)
    connection.end(reason="too_slow", code=4508, sent=42)
    span = recorded.only()

    assert (span.name, span.kind) == ("follow websocket", SpanKind.SERVER)
    assert span.parent is not None
    assert f"{span.parent.span_id:016x}" == PARENT
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, "too_slow")
    assert span.attributes == {
        "gen_ai.conversation.id": "ses_1",
        "runcast.transport": "websocket",
        "runcast.dialect": "native",
        "runcast.resumed": True,
        "runcast.close.reason": "too_slow",
        "runcast.close.code": 4508,
        "runcast.messages.sent": 42,
        "error.type": "too_slow",
    }


@pytest.mark.parametrize("reason", ["client_left", "run_ended", "draining", "session_deleted"])
def test_a_connection_that_ends_as_it_should_is_no_error(recorded: Recorded, reason: str) -> None:
    recorded.tracing.connection("sse", "native", "ses_1", None, resumed=False).end(reason=reason, code=None, sent=0)

    assert recorded.only().status.status_code is StatusCode.UNSET
