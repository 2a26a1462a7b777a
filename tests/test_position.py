"""Positions, as they are written and ordered."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import BadPosition
from app.position import START, Position

positions = st.builds(Position, st.integers(1, 10**18 - 1), st.integers(0, 10**18 - 1))


@given(positions)
def test_a_position_is_read_as_it_was_written(position):
    assert Position.parse(str(position)) == position


@given(positions, positions)
def test_positions_order_as_pairs_of_numbers(one, other):
    assert (one < other) == ((one.run, one.seq) < (other.run, other.seq))
    assert one > START


def test_numbers_are_not_compared_as_text():
    assert Position.parse("9-10") > Position.parse("9-9")
    assert Position.parse("10-1") > Position.parse("9-99")


@pytest.mark.parametrize("text", ["0", "0-0"])
def test_the_beginning_has_two_spellings(text):
    assert Position.parse(text) == START
    assert str(START) == "0-0"


@pytest.mark.parametrize(
    "text",
    ["", " ", "1", "-", "1-", "-1", "1-1-1", "a-1", "1-a", "01-1", "1-01", "0-1", "00", "-1-1", "1--1", "+1-1", "1-1 ",
     " 1-1", "1-1\n", "1_0-1", "\u0661-\u0661", "1.0-1", "1-1e3", "9" * 19 + "-1", "1-" + "9" * 19, "null"],
)  # fmt: skip
def test_every_other_form_is_refused(text):
    with pytest.raises(BadPosition):
        Position.parse(text)
