"""A running server against its own OpenAPI document: valid and invalid requests, single and in chains."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.callers import ADA, keyed
from tests.gateway import Launch

DOCUMENT = Path(__file__).parents[2] / "openapi" / "openapi.json"
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "ignored_auth",
)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_every_answer_is_one_that_the_document_declares(launch: Launch, tmp_path: Path) -> None:
    gateway = keyed(launch)
    paths = json.loads(DOCUMENT.read_text(encoding="utf-8"))["paths"]
    operations = sum(len(methods) for methods in paths.values())
    command = [
        str(Path(sys.executable).with_name("schemathesis")),
        "run",
        f"{gateway.url}/schema/openapi.json",
        f"--checks={','.join(CHECKS)}",
        "--exclude-operation-id=followSession",  # a session's stream never ends by itself
        f"--header=Authorization: Bearer {ADA.key}",
        "--request-timeout=10",
        "--max-examples=30",
        "--generation-deterministic",
        "--no-color",
    ]

    outcome = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=280)

    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    assert f"Tested: {operations - 1}" in outcome.stdout
