"""The exported OpenAPI document: current, valid, fit for generators, and true of a running server."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from click.testing import CliRunner
from openapi_spec_validator import validate

from app.__main__ import main
from app.dialects.messages import StreamMessage
from app.transports.cattrs_plugin import tag_of

ROOT = Path(__file__).parents[2]
COMMITTED = ROOT / "openapi" / "openapi.json"


@pytest.fixture(name="document", scope="module")
def _document() -> dict[str, Any]:
    return json.loads(COMMITTED.read_text(encoding="utf-8"))


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method, path, operation


def test_the_committed_document_is_what_the_app_exports() -> None:
    exported = CliRunner().invoke(main, ["openapi"], catch_exceptions=False)

    assert exported.output == COMMITTED.read_text(encoding="utf-8"), "run `make openapi`"


def test_it_is_a_valid_openapi_3_1_document(document: dict[str, Any]) -> None:
    validate(document)

    assert document["openapi"].startswith("3.1.")


def test_run_event_is_a_named_union_with_a_complete_discriminator(document: dict[str, Any]) -> None:
    union = document["components"]["schemas"]["RunEvent"]
    expected = {tag_of(cls): f"#/components/schemas/{cls.__name__}" for cls in get_args(StreamMessage)}

    assert union["discriminator"] == {"propertyName": "type", "mapping": expected}
    assert {member["$ref"] for member in union["oneOf"]} == set(expected.values())


def test_every_member_requires_its_constant_type(document: dict[str, Any]) -> None:
    for cls in get_args(StreamMessage):
        schema = document["components"]["schemas"][cls.__name__]

        assert schema["properties"]["type"] == {"type": "string", "const": tag_of(cls)}
        assert "type" in schema["required"]
        assert schema["description"]


@pytest.mark.parametrize("name", ["followSession", "followRun"])
def test_streams_declare_one_media_type_whose_schema_is_the_event(document: dict[str, Any], name: str) -> None:
    stream = next(op for _, _, op in operations(document) if op["operationId"] == name)

    assert stream["responses"]["200"]["content"] == {
        "text/event-stream": {"schema": {"$ref": "#/components/schemas/RunEvent"}}
    }
    assert "204" not in stream["responses"]


def test_every_operation_has_an_id_of_its_own_and_declares_its_refusals_as_problems(document: dict[str, Any]) -> None:
    ids = [operation["operationId"] for _, _, operation in operations(document)]

    assert len(ids) == len(set(ids))
    assert all(re.fullmatch(r"[a-z][A-Za-z]+", name) for name in ids)
    for method, path, operation in operations(document):
        for status, response in operation["responses"].items():
            if status >= "400":
                assert list(response["content"]) == ["application/problem+json"], (method, path, status)
        assert ("requestBody" in operation) <= ("413" in operation["responses"]), (method, path)


def test_every_operation_answers_in_one_media_type(document: dict[str, Any]) -> None:
    """Generators take the first of several, and lose a stream that stands beside JSON."""
    for _, path, operation in operations(document):
        answers = [response for status, response in operation["responses"].items() if status < "400"]
        kinds = {kind for response in answers for kind in response.get("content", {})}

        assert len(kinds) == ("204" not in operation["responses"]), (path, kinds)
        assert "" not in kinds, path


def test_every_operation_says_what_it_does_in_a_group_that_does_too(document: dict[str, Any]) -> None:
    groups = {tag["name"] for tag in document["tags"] if tag["description"]}

    for _, path, operation in operations(document):
        assert operation["summary"], path
        assert operation["description"], path
        assert len(operation["tags"]) == 1, path
        assert set(operation["tags"]) <= groups, path


def test_a_choice_that_may_be_absent_is_one_named_choice(document: dict[str, Any]) -> None:
    """Otherwise generators make several types of one, and none that has a name."""
    [choice, nothing] = document["components"]["schemas"]["StartRun"]["properties"]["on_conflict"]["oneOf"]

    assert choice == {"type": "string", "enum": ["reject", "queue", "interrupt"], "title": "OnConflict"}
    assert nothing == {"type": "null"}


def test_the_failures_of_the_server_are_declared_too(document: dict[str, Any]) -> None:
    for _, path, operation in operations(document):
        assert ("500" in operation["responses"]) == (path != "/health/live")


def test_answers_that_ask_for_patience_declare_for_how_long(document: dict[str, Any]) -> None:
    for _, path, operation in operations(document):
        for status in {"429", "503"} & set(operation["responses"]):
            assert list(operation["responses"][status]["headers"]) == ["Retry-After"], path


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    references = re.findall(r'"#/components/schemas/(\w+)"', json.dumps(document))

    assert set(references) == set(document["components"]["schemas"])


def test_every_operation_declares_who_may_call_it(document: dict[str, Any]) -> None:
    """A token at every guarded one, with its refusal; a ticket, too, where a session is followed or commanded."""
    asked = {operation["operationId"]: operation.get("security") for _, _, operation in operations(document)}
    by_ticket = {name for name, security in asked.items() if {"ticket": []} in (security or [])}

    assert {name for name, security in asked.items() if not security} == {"healthLive", "healthReady"}
    following, commanding = {"followSession", "followRun", "readLog"}, {"startRun", "cancelRun", "answerApproval"}
    commanding.add("getSession")  # which run is there to cancel
    assert by_ticket == {*following, *commanding, "uploadFile"}
    for _, _, operation in operations(document):
        security = asked[operation["operationId"]]
        assert bool(security) == ("401" in operation["responses"])
        assert not security or {"bearer": []} in security
    assert set(document["components"]["securitySchemes"]) == {"bearer", "ticket"}
