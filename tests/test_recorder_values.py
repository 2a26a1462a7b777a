"""Any value -> JSON and text that no encoder can choke on."""

import dataclasses
import enum
import json
import re
import sys
from collections import OrderedDict, UserDict
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
import pytest
from attrs import frozen
from hypothesis import given
from hypothesis import strategies as st

from app.recorder_values import FIELD_LIMIT, capped_json, capped_object, capped_text, clean_text, pieces, rendered


class Rude:
    def __str__(self) -> str:
        raise ValueError("no")


class RudeMapping(UserDict[str, Any]):
    def items(self) -> Any:
        raise OSError("no")

    def __str__(self) -> str:
        return "rude"


class Fraction(float):
    __slots__ = ()


class Count(int):
    __slots__ = ()


class Name(str):
    __slots__ = ()


class Colour(enum.StrEnum):
    RED = "red"


class Shade(enum.Enum):
    DARK = "dark"


@dataclasses.dataclass
class Point:
    x: int
    y: Any = None


@frozen
class Pair:
    left: int
    right: str


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def cyclic(width: int = 1) -> list[Any]:
    value: list[Any] = []
    value += [value] * width
    return value


def depth_of(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(depth_of, inner), default=0)


def name(value: object) -> str:
    """Its repr, without what differs from process to process."""
    return re.sub(r" at 0x\w+", "", repr(value))


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (None, None),
        (True, True),
        (7, 7),
        (1.5, 1.5),
        ("é", "é"),
        ([1, (2, {3})], [1, [2, [3]]]),
        ({"a": None}, {"a": None}),
        ({1: "one", 2.5: "x"}, {"1": "one", "2.5": "x"}),
        ({(1, 2): "pair"}, {"(1, 2)": "pair"}),
        (OrderedDict(a=1), {"a": 1}),
        (float("nan"), None),
        ([float("inf"), -float("inf")], [None, None]),
        ({"x": float("nan"), "y": "\ud800"}, {"x": None, "y": "\ufffd"}),
        (Fraction(0.5), 0.5),
        ([Fraction("nan")], [None]),
        ({"n": Count(3)}, {"n": 3}),
        ({Name("k"): Name("v"), "s": "\udfff"}, {"k": "v", "s": "\ufffd"}),
        (Colour.RED, "red"),
        ([Colour.RED, Fraction(1)], ["red", 1.0]),
        ([2**64 - 1, -(2**63)], [2**64 - 1, -(2**63)]),
        ([Count(2**70)], [str(2**70)]),
        (b"\xff\x00", "/wA="),
        (datetime(2026, 1, 2, 3, 4, tzinfo=UTC), "2026-01-02T03:04:00Z"),
        (date(2026, 1, 2), "2026-01-02"),
        (Decimal("1.10"), "1.10"),
        (Point(1, (2,)), {"x": 1, "y": [2]}),
        (Pair(1, "b"), {"left": 1, "right": "b"}),
        (Rude(), "<Rude>"),
        ([Rude(), 1], ["<Rude>", 1]),
        ({Rude(): 1}, {"<Rude>": 1}),
        (RudeMapping(), "rude"),
        (range(2), "range(0, 2)"),
        (1 + 2j, "(1+2j)"),
    ],
    ids=name,
)
def test_every_value_has_a_json_value(value, plain):
    assert capped_json(value) == (plain, False)


@pytest.mark.parametrize(
    "value", [10**5000, [10**5000], Point(10**5000), {"n": -(10**5000)}], ids=["bare", "list", "class", "object"]
)
def test_a_number_that_python_itself_will_not_write_out_breaks_nothing(value):
    plain, truncated = capped_json(value)
    json.dumps(plain)
    assert not truncated
    assert rendered(value)[0]


def test_bytes_that_claim_to_be_json_are_not_believed():
    plain, _ = capped_json(msgspec.Raw(b"not json"))
    assert plain.startswith("<msgspec.Raw")


@pytest.mark.parametrize("value", ["x", 5, None, [1], Rude(), float("nan")])
def test_arguments_that_are_no_object_become_one(value):
    plain, truncated = capped_object(value)
    assert plain == {"value": capped_json(value)[0]}
    assert not truncated


@pytest.mark.parametrize("depth", [32, 33, 500, sys.getrecursionlimit() - 40, sys.getrecursionlimit(), 20_000], ids=str)
def test_nesting_is_flattened_below_the_32nd_level(depth):
    plain, truncated = capped_json(nested(depth))
    assert truncated == (depth > 32)
    assert depth_of(plain) == min(depth, 32)
    assert depth_of(capped_json(Point(1, nested(depth)))[0]) <= 32
    assert rendered(nested(depth))[1] == truncated


def test_what_is_flattened_inside_an_object_counts_as_cut():
    assert capped_object({"a": nested(31)})[1] is False
    assert capped_object({"a": nested(32)})[1] is True
    assert capped_json({Rude(): nested(32)})[1] is True


@pytest.mark.parametrize("width", [1, 2, 5])
def test_a_value_that_holds_itself_comes_to_an_end(width):
    plain, truncated = capped_json(cyclic(width))
    assert msgspec.json.encode(plain)
    assert truncated
    text, cut = rendered(cyclic(width))
    assert text.startswith("[" * 30)
    assert cut


def test_a_web_of_references_comes_to_an_end():
    nodes: list[dict[str, Any]] = [{} for _ in range(12)]
    for node in nodes:
        node |= {str(i): other for i, other in enumerate(nodes)}
    plain, truncated = capped_json(nodes)
    assert truncated
    assert FIELD_LIMIT - 3 < len(plain.encode()) <= FIELD_LIMIT


def test_a_value_over_the_limit_becomes_the_beginning_of_its_text():
    value = {"text": "€" * FIELD_LIMIT}
    plain, truncated = capped_json(value)
    assert truncated
    assert msgspec.json.encode(value).decode().startswith(plain)
    assert FIELD_LIMIT - 3 < len(plain.encode()) <= FIELD_LIMIT
    assert capped_object(value) == ({"value": plain}, True)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("as it is", "as it is"),
        ("\ud83d\ude00", "😀"),
        (None, "null"),
        (True, "true"),
        ({"a": [1, "é"]}, '{"a":[1,"é"]}'),
        ({"a": float("nan")}, '{"a":null}'),
        ((1, 2), "[1,2]"),
        (Fraction(0.5), "0.5"),
        (Point(1), '{"x":1,"y":null}'),
        (Point(2**70, Colour), f"Point(x={2**70}, y=<enum 'Colour'>)"),
        (Rude(), "<Rude>"),
        ({Rude()}, '["<Rude>"]'),
        (b"hi", "b'hi'"),
        (float("nan"), "nan"),
        (float("-inf"), "-inf"),
        (Fraction("inf"), "inf"),
        (2**70, str(2**70)),
        (datetime(2026, 1, 2, 3, 4, tzinfo=UTC), "2026-01-02 03:04:00+00:00"),
        (date(2026, 1, 2), "2026-01-02"),
        (Decimal("1.10"), "1.10"),
        (UUID(int=7), "00000000-0000-0000-0000-000000000007"),
        (Shade.DARK, "Shade.DARK"),
        (Colour.RED, "red"),
        (RudeMapping(), "rude"),
        ([date(2026, 1, 2)], '["2026-01-02"]'),
        (object, "<class 'object'>"),
    ],
    ids=name,
)
def test_a_result_is_rendered_as_a_string(value, text):
    assert rendered(value) == (text, False)


@given(st.text(st.characters()))
def test_clean_text_can_be_encoded_and_keeps_what_could_be_before(text):
    clean = clean_text(text)
    assert clean.encode().decode() == clean
    if not any("\ud800" <= a <= "\udfff" for a in text):
        assert clean is text


@pytest.mark.parametrize(
    ("text", "clean"), [("a\ud800b", "a\ufffdb"), ("\ud83d\ude00", "😀"), ("\ude00\ud83d", "\ufffd\ufffd")]
)
def test_surrogates_are_joined_or_replaced(text, clean):
    assert clean_text(text) == clean


@given(st.text(), st.integers(4, 40))
def test_pieces_are_the_text_again_and_no_character_is_torn(text, limit):
    parts = list(pieces(text, limit))
    assert "".join(parts) == text
    assert all(len(part.encode()) <= limit for part in parts)
    assert all(len(part.encode()) > limit - 4 for part in parts[:-1])


@given(st.text(), st.integers(4, 40))
def test_a_capped_text_is_the_longest_beginning_that_fits(text, limit):
    capped, cut = capped_text(text, limit)
    assert text.startswith(capped)
    assert cut == (capped != text) == (len(text.encode()) > limit)
    if cut:
        assert len(text[: len(capped) + 1].encode()) > limit


def test_lists_that_share_their_parts_do_not_unfold_without_end() -> None:
    bomb: list[Any] = ["x" * 10]
    for _ in range(60):
        bomb = [bomb] * 4

    text, truncated = capped_json(bomb)

    assert truncated
    assert len(text.encode()) <= FIELD_LIMIT
    shown, cut = rendered(bomb)
    assert shown.startswith("[[[[")
    assert cut
