"""Frames and batches: the forms that transports send, made once."""

from app.dialects.base import Batch, Frame
from app.position import Position

FRAMES = [Frame('{"n":"é"}'.encode(), Position(1, 2)), Frame(b'{"n":2}')]


def test_the_forms_of_a_frame_hold_the_same_json():
    for frame in FRAMES:
        assert frame.text.encode() == frame.json
        assert frame.sse.split(b"data: ", 1)[1] == frame.json + b"\n\n"


def test_only_a_frame_with_a_position_has_an_id_line():
    assert [frame.sse.startswith(b"id: 1-2\n") for frame in FRAMES] == [True, False]
    assert b"id:" not in FRAMES[1].sse


def test_every_form_is_made_once():
    frame, batch = Frame(b"{}", Position(1, 1)), Batch(FRAMES)
    assert frame.text is frame.text
    assert frame.sse is frame.sse
    assert batch.sse is batch.sse


def test_a_batch_is_its_frames_in_order():
    batch = Batch(iter(FRAMES))
    assert batch.frames == tuple(FRAMES)
    assert batch.sse == FRAMES[0].sse + FRAMES[1].sse
    assert batch.size == sum(len(frame.json) for frame in FRAMES)


def test_a_batch_of_one_shares_its_frames_bytes_and_an_empty_one_has_none():
    assert Batch(FRAMES[:1]).sse is FRAMES[0].sse
    assert Batch(()).sse == b""
