"""The server's JSON, read: the message that was written, whatever it is, and what a later version may add."""

import json
from datetime import UTC, datetime
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import UNSET, UnsetType

from app.client import UnknownMessage, is_terminal, messages
from app.client.reading import position, read
from app.dialects.native import encode

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
PLAIN: dict[Any, st.SearchStrategy[Any]] = {
    Any: JSON,
    UnsetType: st.just(UNSET),
    datetime: st.datetimes(timezones=st.just(UTC)),
    dict[str, Any]: st.dictionaries(st.text(), JSON, max_size=3),
}


def made(kind: Any) -> st.SearchStrategy[Any]:
    """Everything that a field of this type, or a message of this class, can be."""
    if kind in PLAIN:
        return PLAIN[kind]
    if get_origin(kind) in (Union, UnionType):
        return st.one_of([made(each) for each in get_args(kind)])
    if get_origin(kind) is Literal:
        return st.just(get_args(kind)[0])
    if get_origin(kind) is list:
        return st.lists(made(get_args(kind)[0]), max_size=3)
    if attrs.has(kind):
        return st.builds(kind, **{name: made(hint) for name, hint in get_type_hints(kind).items()})
    return st.from_type(kind)


@settings(deadline=None)
@given(st.data())
@pytest.mark.parametrize("cls", get_args(messages.StreamMessage | messages.ReplyMessage), ids=lambda cls: cls.__name__)
def test_a_message_is_read_as_it_was_written(cls: type, data: st.DataObject) -> None:
    message = data.draw(made(cls))

    assert read(encode(message)) == message


def test_a_field_of_a_later_version_is_ignored() -> None:
    text = '{"type": "stream_delta", "id": "1-2", "delta": "a", "mood": "good"}'

    assert read(text) == messages.StreamDelta(id="1-2", delta="a")


@pytest.mark.parametrize(
    "fields",
    [{"type": "mood", "id": "1-2", "mood": "good"}, {"type": "stream_delta", "id": "1-2", "text": "another shape"}],
    ids=["type", "shape"],
)
def test_what_is_unknown_stays_plain_and_keeps_its_position(fields: dict[str, Any]) -> None:
    message = read(json.dumps(fields))

    assert message == UnknownMessage(type=fields["type"], id="1-2", fields=fields)
    assert position(message) == "1-2"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"type": 1}', "nonsense", '{"type": "pong"'])
def test_what_is_no_message_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        read(text)


def test_an_error_ends_a_run_where_it_has_a_position() -> None:
    ends = messages.Error(id="1-9", code="agent_error", message="no")
    refuses = messages.Error(code="run_active", message="no")

    assert is_terminal(ends)
    assert not is_terminal(refuses)
    assert is_terminal(UnknownMessage(type="stream_end", id="1-9", fields={}))
