"""Cursors: whatever a client sends as one is read, or refused by its field's name."""

import base64
import json
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.errors import InvalidMessage
from app.sessions.paging import by_creation, by_number, decode_cursor, encode_cursor, page


def cursor_of(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value, separators=(",", ":")).encode()).decode()


@given(at=st.datetimes(timezones=st.just(UTC)), row_id=st.from_regex(r"\A[!-~]+\Z"))
def test_a_cursor_leads_back_to_its_key(at: datetime, row_id: str) -> None:
    assert decode_cursor(encode_cursor((at, row_id)), by_creation) == (at, row_id)


@given(number=st.integers(1, 2**31 - 1))
def test_a_cursor_leads_back_to_its_number(number: int) -> None:
    assert decode_cursor(encode_cursor((number,)), by_number) == (number,)


@pytest.mark.parametrize("keys", [by_creation, by_number], ids=["by creation", "by number"])
@pytest.mark.parametrize(
    "value",
    [
        None,
        {},
        [],
        [0],
        [-1],
        [True],
        ["1"],
        [1, 2],
        [2**31],
        [2**64],
        ["2026-03-04T05:06:07Z"],
        ["2026-03-04T05:06:07", "s"],
        ["2026-03-04T05:06:07+01:00", "s"],
        ["0001-01-01T00:00:00+23:59", "s"],
        ["9999-12-31T23:59:59-23:59", "s"],
        ["2026-13-04T05:06:07Z", "s"],
        ["2026-03-04T05:06:07Z", ""],
        ["2026-03-04T05:06:07Z", "\x00"],
        ["2026-03-04T05:06:07Z", "s", 1],
    ],
)
def test_a_key_that_no_list_has_is_refused(value: object, keys: msgspec.json.Decoder) -> None:
    with pytest.raises(InvalidMessage, match=r"^\$\.cursor "):
        decode_cursor(cursor_of(value), keys)


@pytest.mark.parametrize("change", ["{}\n", "!{}", " {}", "{}=", "{}AAAA"])
def test_a_cursor_that_was_changed_is_refused(change: str) -> None:
    cursor = encode_cursor((datetime(2026, 3, 4, tzinfo=UTC), "s"))
    with pytest.raises(InvalidMessage):
        decode_cursor(change.format(cursor), by_creation)


@given(text=st.text(max_size=30))
@example("")
@example("é")
@example("\ud800")
@example("====")
def test_any_text_is_refused_as_a_cursor_by_name(text: str) -> None:
    with pytest.raises(InvalidMessage, match=r"^\$\.cursor "):
        decode_cursor(text, by_creation)


def test_the_last_page_has_no_cursor() -> None:
    assert page(["a", "b"], 2, lambda item: (item,)).next is None
    assert page([], 2, lambda item: (item,)).next is None
    assert page(["a", "b", "c"], 2, lambda item: (item,)) == page(["a", "b", "d"], 2, lambda item: (item,))
