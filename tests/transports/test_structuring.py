"""JSON from clients -> attrs classes: strict, and never an error without a name."""

import json
from typing import Any

import pytest
from attrs import frozen
from hypothesis import given
from hypothesis import strategies as st

from app.errors import InvalidMessage
from app.transports.bodies import CreateSession, StartRun
from app.transports.commands import CancelCommand, MessageCommand, PingCommand
from app.transports.json_text import decode
from app.transports.structuring import structure


@frozen
class Inner:
    count: int


@frozen
class Outer:
    flag: bool
    inner: Inner
    many: list[Inner]
    maybe: int | None = None


def test_a_class_is_filled_and_unknown_fields_are_ignored():
    value = {"flag": True, "inner": {"count": 1, "new": []}, "many": [{"count": 2}], "of_tomorrow": 1}
    assert structure(value, Outer) == Outer(flag=True, inner=Inner(1), many=[Inner(2)])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"flag": 1}, "$.flag: expected true or false"),
        ({"flag": "true"}, "$.flag: expected true or false"),
        ({"inner": {"count": True}}, "$.inner.count: expected an integer"),
        ({"inner": {"count": 1.0}}, "$.inner.count: expected an integer"),
        ({"inner": {"count": "1"}}, "$.inner.count: expected an integer"),
        ({"inner": {}}, "$.inner.count: this field is required"),
        ({"many": "ab"}, "$.many: expected an array"),
        ({"many": {}}, "$.many: expected an array"),
        ({"many": [{"count": 1}, {"count": None}]}, "$.many[1].count: expected an integer"),
        ({"maybe": "5"}, "$.maybe: expected an integer"),
    ],
)
def test_nothing_is_coerced_and_the_wrong_field_is_named(change, said):
    with pytest.raises(InvalidMessage) as caught:
        structure({"flag": True, "inner": {"count": 1}, "many": []} | change, Outer)
    assert str(caught.value) == said


@pytest.mark.parametrize("value", [None, [], "x", 5])
def test_a_body_has_to_be_an_object(value):
    with pytest.raises(InvalidMessage, match=r"^\$: expected an object$"):
        structure(value, CreateSession)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
NAMES = ["content", "images", "files", "idempotency_key", "on_conflict", "on_disconnect", "type", "run_id", "title"]


@given(st.dictionaries(st.sampled_from(NAMES), json_values), st.sampled_from(
    [StartRun, CreateSession, MessageCommand, CancelCommand, PingCommand]
))  # fmt: skip
def test_any_object_is_taken_or_refused_by_the_names_of_its_fields(value: dict[str, Any], kind: type):
    try:
        made = structure(decode(json.dumps(value)), kind)
    except InvalidMessage as error:
        assert all(line.startswith("$.") for line in str(error).split("; "))  # noqa: PT017
        assert "typing" not in str(error)  # noqa: PT017
    else:
        assert isinstance(made, kind)
