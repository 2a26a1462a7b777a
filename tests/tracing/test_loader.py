"""Which tracing the environment asks for, and that none costs nothing."""

import subprocess
import sys

import pytest
from structlog.testing import capture_logs

from app.errors import ConfigurationError
from app.tracing import loader
from app.tracing.base import NO_TRACING
from app.tracing.loader import tracing_of
from tests.gateway import environment

ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"OTEL_SERVICE_NAME": "gateway"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": ""},
        ENDPOINT | {"OTEL_SDK_DISABLED": "true"},
        ENDPOINT | {"OTEL_TRACES_EXPORTER": "none"},
    ],
)
def test_nobody_traces_who_was_not_asked_to(variables: dict[str, str]) -> None:
    assert tracing_of(variables) is NO_TRACING


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "zipkin"),
        (ENDPOINT | {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "otlp_proto_grpc"),
        (ENDPOINT | {"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "pigeon"}, "pigeon"),
        ({"OTEL_TRACES_EXPORTER": "console,pigeon"}, "pigeon"),
    ],
)
def test_an_exporter_that_is_not_installed_is_named(variables: dict[str, str], named: str) -> None:
    with pytest.raises(ConfigurationError, match=named):
        tracing_of(variables)


def test_without_the_extra_there_is_a_hint_and_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loader, "find_spec", lambda _: None)
    with capture_logs() as said:
        assert tracing_of(ENDPOINT) is NO_TRACING

    assert [line["event"] for line in said] == ["tracing.not_installed"]
    assert "pip install -e '.[otel]'" in said[0]["hint"]
    assert "make run EXTRA=otel" in said[0]["hint"]


def test_nothing_is_imported_that_nobody_asked_for() -> None:
    script = """if True:
        import sys
        from app.main import create_app
        from app.settings import Settings
        create_app(Settings())
        ours = ("app.tracing.opentelemetry", "opentelemetry.sdk", "opentelemetry.exporter", "requests", "google")
        print([name for name in sys.modules if name.startswith(ours)])
    """
    clean = {name: value for name, value in environment().items() if not name.startswith("OTEL_")}
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=clean, check=True, timeout=60
    )

    assert done.stdout.strip() == "[]"
