"""messages.json: current, of both directions, and for commands exactly as strict as the server."""

import base64
import json
from pathlib import Path
from typing import Any, get_args

import jsonschema_rs
import pytest
from click.testing import CliRunner
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.__main__ import main
from app.dialects.messages import ReplyMessage, StreamMessage
from app.errors import InvalidMessage, UnknownType
from app.transports.cattrs_plugin import tag_of
from app.transports.commands import ApproveCommand, Command, MessageCommand, approval_of, new_message, parse

COMMITTED = Path(__file__).parents[2] / "openapi" / "messages.json"
DOCUMENT: dict[str, Any] = json.loads(COMMITTED.read_text(encoding="utf-8"))
GIF = base64.b64encode(b"GIF89a\x01\0\x01\0\0\0\0;").decode()


def validator(name: str) -> jsonschema_rs.Draft202012Validator:
    schema = DOCUMENT | {"anyOf": [{"$ref": f"#/$defs/{name}"}]}
    return jsonschema_rs.Draft202012Validator(schema, validate_formats=True)


IS_COMMAND = validator("ClientMessage")
IS_FROM_SERVER = validator("ServerMessage")


def test_the_committed_schema_is_what_the_app_exports():
    exported = CliRunner().invoke(main, ["messages"], catch_exceptions=False)

    assert exported.output == COMMITTED.read_text(encoding="utf-8"), "run `make openapi`"


def test_it_is_a_valid_schema_of_the_2020_12_draft():
    jsonschema_rs.meta.validate(DOCUMENT)

    assert DOCUMENT["$schema"] == "https://json-schema.org/draft/2020-12/schema"


@pytest.mark.parametrize(
    ("name", "union"),
    [
        ("ServerMessage", StreamMessage | ReplyMessage),
        ("RunEvent", StreamMessage),
        ("ClientMessage", Command),
    ],
)
def test_a_union_has_every_message_by_its_name(name, union):
    members = [f"#/$defs/{kind.__name__}" for kind in get_args(union)]

    assert [member["$ref"] for member in DOCUMENT["$defs"][name]["oneOf"]] == members


@pytest.mark.parametrize("kind", get_args(StreamMessage | ReplyMessage | Command), ids=lambda kind: kind.__name__)
def test_every_message_says_what_it_is_and_requires_its_type(kind):
    schema = DOCUMENT["$defs"][kind.__name__]

    assert schema["description"] == kind.__doc__
    assert schema["properties"]["type"]["const"] == tag_of(kind)
    assert "type" in schema["required"]


def test_every_reference_leads_somewhere():
    text = json.dumps(DOCUMENT)

    assert "#/components" not in text
    for name in DOCUMENT["$defs"]:
        jsonschema_rs.Draft202012Validator(DOCUMENT | {"anyOf": [{"$ref": f"#/$defs/{name}"}]})


def test_fields_that_came_later_are_let_pass():
    assert IS_COMMAND.is_valid({"type": "ping", "colour": "red"})
    assert IS_FROM_SERVER.is_valid({"type": "pong", "colour": "red"})


def near(limit: int) -> st.SearchStrategy[str]:
    """Texts of no character and of one, of as many as there may be and of one more; others are short."""
    return st.one_of(st.sampled_from([0, 1, limit, limit + 1]).map(lambda size: size * "ü"), texts)


def up_to(limit: int, items: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    return st.sampled_from([0, 1, limit, limit + 1]).flatmap(lambda size: st.lists(items, min_size=size, max_size=size))


texts = st.one_of(
    st.text(min_size=1, max_size=9), st.sampled_from(["a\nb", "a\x7f", "\x85", "\u2028", "k\n", "🦊" * 128])
)
short = st.text(min_size=1, max_size=9)
things = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), texts)
anything = st.recursive(
    things,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(texts, inner, max_size=3)),
    max_leaves=5,
)
named_files = st.fixed_dictionaries({}, optional={"name": things, "path": short, "size": things})
images = st.one_of(st.just(GIF), st.none(), st.integers())
"""What is no image is refused for what it holds, which no schema can say: here every text is one."""

FIELDS: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "message": {
        "content": near(100_000),
        "images": st.one_of(up_to(4, st.just(GIF)), up_to(1, images), st.just({"0": GIF}), st.booleans()),
        "files": st.one_of(up_to(16, short), up_to(2, st.one_of(named_files, things))),
        "idempotency_key": near(128),
        "on_conflict": st.sampled_from(["reject", "queue", "interrupt", "wait", None]),
        "on_disconnect": st.sampled_from(["continue", "cancel", "stop", None]),
    },
    "cancel": {"run_id": near(128)},
    "approve": {"call_id": near(256), "approved": st.booleans(), "comment": near(2048)},
    "ping": {},
}
REQUIRED = {"content": short, "call_id": short, "approved": st.booleans()}


@st.composite
def frames(draw: st.DrawFn) -> Any:
    """A good command, in which up to two fields are replaced by others of their kind, or by anything, or are gone."""
    kind = draw(st.sampled_from(list(FIELDS)))
    fields = FIELDS[kind] | {"request_id": near(128)}
    frame = {"type": kind} | {name: draw(REQUIRED[name]) for name in fields if name in REQUIRED}
    for name in draw(st.lists(st.sampled_from([*fields, "colour", "type"]), min_size=1, max_size=2)):
        if name in fields and draw(st.integers(0, 3)):
            frame[name] = draw(fields[name])
        elif name == "images" or draw(st.booleans()):
            frame.pop(name, None)
        else:
            frame[name] = draw(anything)
    return frame


def is_taken(value: Any) -> bool:
    """Whether the server would carry it out, if there is what it names."""
    try:
        command = parse(value)
        if isinstance(command, MessageCommand):
            new_message(command)
        if isinstance(command, ApproveCommand):
            approval_of(command)
    except (InvalidMessage, UnknownType):
        return False
    return True


@given(st.one_of(frames(), frames(), frames(), anything))
@example({"type": "message", "content": "x", "images": [GIF] * 5})
@example({"type": "message", "content": "x", "files": ["f"] * 17})
@example({"type": "message", "content": "x", "idempotency_key": "k\n"})
@settings(max_examples=1000)
def test_a_command_is_taken_if_and_only_if_it_is_valid(value):
    assert is_taken(value) is IS_COMMAND.is_valid(value), value
