"""JSON from clients: what is none, and what would cost more than it says (P4.2, P6.6)."""

import json
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import InvalidJson, InvalidMessage
from app.transports.json_text import MAX_VALUES, decode

MIB = 1024 * 1024


def nested(depth, opening="[", closing="]"):
    return opening * depth + closing * depth


@pytest.mark.parametrize(("raw", "value"), [("{}", {}), (b"[1]", [1]), (' {"a": "\\u00e9"} ', {"a": "é"})])
def test_json_is_read_from_text_and_bytes(raw, value):
    assert decode(raw) == value


@pytest.mark.parametrize(
    "raw",
    ["", " ", "{", "nope", "{'a':1}", '{"a":1}x', "NaN", '"\\ud800"', b"\xff", b'"\xc3"', "[1,]", "\ud800", '"\x01"'],
)
def test_what_is_no_json_is_refused(raw):
    with pytest.raises(InvalidJson, match="not JSON"):
        decode(raw)


@pytest.mark.parametrize("opened", ["[", '{"a":', '[{"a":'], ids=["arrays", "objects", "both"])
@pytest.mark.parametrize("depth", [33, 1000, 100_000])
def test_json_that_is_nested_too_deep_is_refused(opened, depth):
    closed = opened.replace("[", "]").replace('{"a":', "}")[::-1]
    with pytest.raises(InvalidMessage, match="deeper than 32"):
        decode(opened * depth + "1" + closed * depth)


def test_nesting_without_end_is_no_json():
    with pytest.raises(InvalidJson):
        decode("[" * 200_000)


def test_as_deep_as_allowed_is_read():
    assert decode(nested(32)) == json.loads(nested(32))
    with pytest.raises(InvalidMessage, match="deeper than 5"):
        decode(nested(6), 5)


def test_brackets_in_strings_nest_nothing():
    value = {"content": "[{" * 50_000 + '\\"' + "]" * 40, "list": ["[", "\\", '"', "{" * 100]}
    assert decode(json.dumps(value)) == value


@pytest.mark.parametrize("piece", ["[]", "{}", "0", '""', "[0]", '{"a":0}'])
def test_more_values_than_can_be_meant_are_refused_before_they_cost_anything(piece):
    text = "[" + ",".join([piece] * (6 * MIB // (len(piece) + 1))) + "]"
    tracemalloc.start()
    try:
        with pytest.raises(InvalidMessage, match="values"):
            decode(text)
        assert tracemalloc.get_traced_memory()[1] < 3 * len(text)
    finally:
        tracemalloc.stop()


def test_commas_in_strings_are_no_values():
    value = {"content": "," * (MAX_VALUES + 1)}
    assert decode(json.dumps(value)) == value


leaves = st.sampled_from([0, "", "[", "{{", '"', "\\\\", '\\"]', "é"])


@given(
    st.recursive(
        leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(leaves.map(str), inner, max_size=3)
    )
)
def test_what_is_not_too_deep_is_read_as_it_was_written(value):
    def depth(value):
        inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
        return 0 if inside is None else 1 + max(map(depth, inside), default=0)

    text = json.dumps(value)
    assert decode(text, max(depth(value), 1)) == value
    if depth(value) > 1:
        with pytest.raises(InvalidMessage):
            decode(text, depth(value) - 1)


@pytest.mark.parametrize("text", ["1" * 5000, "1e400", "Infinity", "-Infinity", "NaN"])
def test_numbers_that_are_none_are_refused(text):
    with pytest.raises(InvalidJson):
        decode(text)


def test_of_a_key_that_comes_twice_the_last_counts():
    assert decode('{"a": 1, "a": 2}') == {"a": 2}
