"""What clients may ask for, and what is said of what they may not."""

import base64

import pytest

from app.errors import InvalidMessage, UnknownType
from app.hosting.conversation import NewMessage
from app.transports.bodies import MAX_CONTENT, StartRun
from app.transports.commands import (
    CancelCommand,
    MessageCommand,
    PingCommand,
    new_message,
    parse,
    request_id_of,
)
from app.uploads.desk import Claim

WRONG_KEY = "$.idempotency_key: 1 to 128 characters, and no control characters"
GIF = base64.b64encode(b"GIF89a\x01\0\x01\0\0\0\0;").decode()


def test_every_command_is_read():
    assert parse({"type": "message", "content": "Hi"}) == MessageCommand(content="Hi")
    assert parse({"type": "cancel"}) == CancelCommand()
    assert parse({"type": "cancel", "run_id": "run_1", "request_id": "r"}) == CancelCommand(
        run_id="run_1", request_id="r"
    )
    assert parse({"type": "ping", "request_id": "r"}) == PingCommand(request_id="r")


def test_a_message_may_say_more():
    asked = {
        "content": "Hi",
        "images": [GIF],
        "files": [],
        "idempotency_key": "k",
        "on_conflict": "reject",
        "on_disconnect": "cancel",
        "request_id": "r",
    }
    assert parse({"type": "message", **asked}) == MessageCommand(**asked)


def test_null_is_as_good_as_absent_and_unknown_fields_are_ignored():
    nulls = dict.fromkeys(["images", "files", "idempotency_key", "on_conflict", "on_disconnect", "request_id"])
    assert parse({"type": "message", "content": "Hi", "colour": "red", **nulls}) == MessageCommand(content="Hi")


def test_files_are_named_by_id_or_as_the_original_clients_do():
    echoed = {"name": "a.txt", "path": "/data/a.txt", "size": 1}
    message = new_message(parse({"type": "message", "content": "x", "files": ["file_1", echoed]}))
    assert message.files == (Claim(id="file_1"), Claim(path="/data/a.txt"))


@pytest.mark.parametrize("value", [None, 1, "message", [], ["message"], True])
def test_what_is_no_object_is_refused(value):
    with pytest.raises(InvalidMessage, match=r"^\$: expected an object$"):
        parse(value)


@pytest.mark.parametrize("kind", ["", "Message", "approve_all", "stream_delta", "pong"])
def test_an_unknown_type_is_refused_with_the_known_ones(kind):
    with pytest.raises(UnknownType, match=r"^\$.type: expected one of message, cancel, approve, ping$"):
        parse({"type": kind})


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({}, "$.type: this field is required"),
        ({"type": None}, "$.type: expected a string"),
        ({"type": 1}, "$.type: expected a string"),
        ({"type": ["message"]}, "$.type: expected a string"),
        ({"type": "message"}, "$.content: this field is required"),
        ({"type": "message", "content": None}, "$.content: expected a string"),
        ({"type": "message", "content": 5}, "$.content: expected a string"),
        ({"type": "message", "content": ["x"]}, "$.content: expected a string"),
        ({"type": "message", "content": "x", "images": GIF}, "$.images: expected an array"),
        ({"type": "message", "content": "x", "images": {"0": GIF}}, "$.images: expected an array"),
        ({"type": "message", "content": "x", "files": "f"}, "$.files: expected an array"),
        ({"type": "message", "content": "x", "idempotency_key": 5}, "$.idempotency_key: expected a string"),
        ({"type": "message", "content": "x", "request_id": 5}, "$.request_id: expected a string"),
        ({"type": "message", "content": "x", "request_id": "r" * 129}, "$.request_id: at most 128 characters"),
        ({"type": "cancel", "run_id": 5}, "$.run_id: expected a string"),
        ({"type": "cancel", "request_id": "r" * 129}, "$.request_id: at most 128 characters"),
        (
            {"type": "approve", "call_id": "c" * 257, "approved": True},
            "$.call_id: at most 256 characters",
        ),
        ({"type": "ping", "request_id": True}, "$.request_id: expected a string"),
    ],
)
def test_a_wrong_field_is_named_by_its_path(value, said):
    with pytest.raises(InvalidMessage) as caught:
        parse(value)
    assert str(caught.value) == said


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("on_conflict", "wait", "'reject' or 'queue' or 'interrupt'"),
        ("on_conflict", 1, "'reject' or 'queue' or 'interrupt'"),
        ("on_disconnect", "stop", "'continue' or 'cancel'"),
        ("on_disconnect", ["cancel"], "'continue' or 'cancel'"),
    ],
)
def test_a_wrong_choice_is_told_the_right_ones(field, value, expected):
    with pytest.raises(InvalidMessage) as caught:
        parse({"type": "message", "content": "x", field: value})
    assert str(caught.value) == f"$.{field}: expected {expected}"


def test_a_wrong_item_is_named_by_its_path():
    with pytest.raises(InvalidMessage) as caught:
        parse({"type": "message", "content": "x", "images": [GIF, 5]})
    assert str(caught.value) == "$.images[1]: expected a string"


@pytest.mark.parametrize(
    "wrong", [None, 1, [], {}, {"name": "a"}, {"path": "/a"}, {"name": 1, "path": "/a"}, {"name": "a", "path": []}]
)
def test_a_file_is_named_by_its_id_or_by_name_and_path(wrong):
    with pytest.raises(InvalidMessage) as caught:
        parse({"type": "message", "content": "x", "files": ["f", wrong]})
    assert str(caught.value) == "$.files[1]: expected a file's id, or an object with its name and path"


def test_every_wrong_field_is_named():
    with pytest.raises(InvalidMessage) as caught:
        parse({"type": "message", "images": 5, "files": 5})
    assert sorted(str(caught.value).split("; ")) == [
        "$.content: this field is required",
        "$.files: expected an array",
        "$.images: expected an array",
    ]


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ({"request_id": "r"}, "r"),
        ({"request_id": "r" * 128, "type": 5}, "r" * 128),
        ({"request_id": "r" * 129}, None),
        ({"request_id": 5}, None),
        ({}, None),
        ([], None),
        (None, None),
        ("request_id", None),
    ],
)
def test_the_request_id_of_a_wrong_frame_is_still_found(value, found):
    assert request_id_of(value) == found


def test_a_message_becomes_the_registrys_own():
    body = StartRun(content="Hi", images=[GIF], on_disconnect="cancel", idempotency_key="k")
    message = new_message(body)
    assert message == NewMessage("Hi", message.images, cancel_when_left=True, idempotency_key="k")
    assert [image.media_type for image in message.images] == ["image/gif"]
    assert new_message(StartRun(content="Hi", on_disconnect="continue")) == NewMessage("Hi")


def test_the_header_wins_over_the_field():
    body = StartRun(content="Hi", idempotency_key="field")
    assert new_message(body, idempotency_key="header").idempotency_key == "header"
    assert new_message(body).idempotency_key == "field"


def test_a_hundred_thousand_characters_are_taken_whatever_their_bytes():
    assert new_message(StartRun(content="😀" * MAX_CONTENT)).content == "😀" * MAX_CONTENT


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (StartRun(content=""), "$.content: expected at least one character"),
        (StartRun(content="x" * (MAX_CONTENT + 1)), "$.content: at most 100000 characters"),
        (StartRun(content="x", images=[GIF] * 5), "$.images: at most 4"),
        (StartRun(content="x", files=["f"] * 17), "$.files: at most 16"),
        (StartRun(content="x", images=["!"]), "$.images[0]: expected a data URL or base64"),
        (
            StartRun(content="x", idempotency_key=""),
            WRONG_KEY,
        ),
        (
            StartRun(content="x", idempotency_key="a\nb"),
            WRONG_KEY,
        ),
        (
            StartRun(content="x", idempotency_key="k" * 129),
            WRONG_KEY,
        ),
    ],
)
def test_what_types_can_not_say_is_checked_and_named(body, said):
    with pytest.raises(InvalidMessage) as caught:
        new_message(body)
    assert str(caught.value) == said


def test_an_empty_key_in_the_header_is_refused_too():
    with pytest.raises(InvalidMessage, match="idempotency_key"):
        new_message(StartRun(content="x", idempotency_key="k"), idempotency_key="")
