"""An archive is small, and loses nothing."""

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import StoreUnavailable
from app.events import Event, TextDelta, ThinkingDelta, ToolStarted
from app.runlog.archive import decode_archive, encode_archive, trim_archive
from app.runlog.codec import encode_segment

deltas = st.one_of(st.from_type(TextDelta), st.from_type(ThinkingDelta))


@given(st.lists(st.one_of(deltas, deltas, deltas, st.from_type(Event)), max_size=40))
def test_any_log_comes_back_equal(events) -> None:
    first_seq, decoded = decode_archive(encode_archive(events))

    assert (first_seq, decoded) == (1, events)
    assert [type(event) for event in decoded] == [type(event) for event in events]


def test_pieces_keep_their_bounds_between_code_points() -> None:
    pieces = ["", "e", "\u0301", "", "🜁", "👩", "\u200d", "🚀", "\x00", "\r\n", ""]
    events = [TextDelta(piece, part="t") for piece in pieces]

    assert decode_archive(encode_archive(events)) == (1, events)


def test_adjacent_deltas_share_one_text() -> None:
    same = [TextDelta("word ", part="t") for _ in range(3)]
    other = [TextDelta("word ", part="t", agent="sub"), TextDelta("word ", part="u"), ThinkingDelta("word ", part="u")]

    body = zlib.decompress(encode_archive([*same, *other, ToolStarted("t", {}), *same])[1:])

    assert body.count(b"word word word ") == 2
    assert body.count(b"word") == 9


def test_a_log_of_deltas_is_many_times_smaller_than_its_segments() -> None:
    events = [TextDelta(f"token {number} ", part="t") for number in range(2000)]

    assert len(encode_archive(events)) * 8 < len(encode_segment(events))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x02",
        b"\x01not zlib",
        b"\x01" + zlib.compress(b"[")[:-2],
        b"\x01" + zlib.compress(b"["),
        b"\x01" + zlib.compress(b'[["t",{"delta":"abc"},[1,1]]]'),
        b"\x01" + zlib.compress(b'[["turn",{"thinking":"abc"},[1,2]]]'),
    ],
)
def test_damaged_archives_are_a_typed_error(data) -> None:
    with pytest.raises(StoreUnavailable):
        decode_archive(data)


@given(st.lists(st.one_of(deltas, st.from_type(Event)), min_size=1, max_size=10))
def test_what_is_left_of_an_archive_is_its_last_event_in_its_place(events) -> None:
    trimmed = trim_archive(encode_archive(events))

    assert decode_archive(trimmed) == (len(events), events[-1:])
    assert trim_archive(trimmed) == trimmed


@pytest.mark.parametrize("damaged", [b"\x02", b"\x02" + bytes(8), b"\x02" + bytes(8) + b"junk", b"\x03" + bytes(20)])
def test_a_damaged_or_newer_rest_is_refused(damaged) -> None:
    with pytest.raises(StoreUnavailable):
        decode_archive(damaged)
