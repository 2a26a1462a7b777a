"""A running server against its own OpenAPI document: valid and invalid requests, single and in chains."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.gateway import Gateway

DOCUMENT = Path(__file__).parents[2] / "openapi" / "openapi.json"
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
)


@pytest.mark.timeout(300)
def test_every_answer_is_one_that_the_document_declares(gateway: Gateway, tmp_path: Path) -> None:
    command = [
        str(Path(sys.executable).with_name("schemathesis")),
        "run",
        f"{gateway.url}/schema/openapi.json",
        f"--checks={','.join(CHECKS)}",
        "--exclude-operation-id=followSession",  # a session's stream never ends by itself
        "--request-timeout=10",
        "--max-examples=30",
        "--generation-deterministic",
        "--no-color",
    ]

    outcome = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=280)

    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    tested = sum(len(methods) for methods in json.loads(DOCUMENT.read_text())["paths"].values()) - 1
    assert f"{tested} operations" in outcome.stdout or f"Tested: {tested}" in outcome.stdout
