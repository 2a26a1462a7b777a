"""JSON from clients: what is none, and what would cost more than it says (P4.2, P6.6)."""

import json
import tracemalloc
from random import Random
from typing import Any

import pytest

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
    with pytest.raises(InvalidJson, match="nested deeper than 32 levels") as refused:
        decode("[" * 200_000)
    assert "recursion" not in str(refused.value)


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


def anything(random: Random, depth: int) -> Any:
    kind = random.choice("ls" if depth == 0 else "lad")
    if depth == 0 or kind == "l":
        return random.choice([0, None, "", "[", "{{", '"', "\\", '\\"]', "é,", "\n}"])
    inside = [anything(random, depth - 1) for _ in range(random.randint(0, 4))]
    return inside if kind == "a" else {f"{n}{random.choice('[{}]')}": value for n, value in enumerate(inside)}


def depth_of(value: Any) -> int:
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inside is None else 1 + max(map(depth_of, inside), default=0)


@pytest.mark.parametrize("seed", range(20))
def test_what_is_not_too_deep_is_read_as_it_was_written(seed):
    random = Random(seed)
    for _ in range(50):
        value = anything(random, 7)
        text = json.dumps(value, ensure_ascii=random.random() < 0.5)
        assert decode(text, max(depth_of(value), 1)) == value
        if depth_of(value) > 1:
            with pytest.raises(InvalidMessage):
                decode(text, depth_of(value) - 1)


@pytest.mark.parametrize("text", ["1" * 5000, "1e400", "Infinity", "-Infinity", "NaN"])
def test_numbers_that_are_none_are_refused(text):
    with pytest.raises(InvalidJson):
        decode(text)


def test_of_a_key_that_comes_twice_the_last_counts():
    assert decode('{"a": 1, "a": 2}') == {"a": 2}
