"""Storage reads back what it wrote, and what older versions wrote."""

from datetime import UTC, datetime
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import json

from app.errors import StoreUnavailable
from app.events import Event, RunInput, RunStarted, StreamEnd, TextDelta, ToolEvent, Usage
from app.runlog.codec import TAGS, decode_event, decode_segment, encode_event, encode_segment


def test_every_class_of_the_union_has_one_tag() -> None:
    assert set(TAGS.values()) == set(get_args(Event))
    assert len(TAGS) == len(get_args(Event))


@pytest.mark.parametrize("cls", get_args(Event))
def test_any_event_of_a_class_comes_back_equal(cls) -> None:
    @given(st.from_type(cls))
    def comes_back(event) -> None:
        decoded = decode_event(encode_event(event))

        assert type(decoded) is cls
        assert decoded == event

    comes_back()


@given(st.lists(st.from_type(Event), min_size=1))
def test_a_segment_comes_back_in_order(events) -> None:
    assert decode_segment(encode_segment(events)) == events


def test_times_are_stored_as_rfc_3339() -> None:
    started = RunStarted("r", "s", RunInput("hi"), datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))

    assert json.decode(encode_event(started))[1]["at"] == "2026-01-02T03:04:05Z"


def test_fields_that_are_missing_or_unknown_do_not_keep_an_event_from_being_read() -> None:
    assert decode_event(b'["t",{"delta":"x","colour":"red"}]') == TextDelta("x")
    assert decode_event(b'["end",{"full_content":"x"}]') == StreamEnd("x")
    assert decode_event(b'["end",{"full_content":"x","usage":{"input_tokens":1,"output_tokens":2}}]') == StreamEnd(
        "x", usage=Usage(1, 2)
    )


@pytest.mark.parametrize(
    "data",
    [b"", b"[", b"7", b"[]", b"null", b'["t"]', b'["t",{}]', b'["t",7]', b'["nope",{}]', b'[["t"],{}]', b"\xff"],
)
def test_bytes_that_are_no_event_are_a_typed_error(data) -> None:
    with pytest.raises(StoreUnavailable):
        decode_event(data)


@pytest.mark.parametrize("data", [b"7", b"{}x", b'["t"]'])
def test_bytes_that_are_no_segment_are_a_typed_error(data) -> None:
    with pytest.raises(StoreUnavailable):
        decode_segment(data)


def test_what_json_cannot_express_is_refused() -> None:
    with pytest.raises(TypeError):
        encode_event(ToolEvent("t", {}, object(), success=True))
    with pytest.raises(ValueError, match="surrogates"):
        encode_event(TextDelta("\ud800"))


def test_a_segment_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        encode_segment([])
