"""What clients may ask for over a WebSocket (P4.1), and the way from a wire message to the registry's own (P4.3)."""

from __future__ import annotations

import re
from typing import Any, Final, Literal, get_args

from attrs import NOTHING, field, frozen

from app.agents.base import Approval
from app.errors import InvalidMessage, UnknownType
from app.hosting.conversation import NewMessage
from app.tracing.base import Cause
from app.transports.bodies import (
    KEY_PATTERN,
    MAX_CALL_ID,
    MAX_COMMENT,
    MAX_CONTENT,
    MAX_FILES,
    MAX_IMAGES,
    MAX_KEY,
    AnswerApproval,
    NamedFile,
    StartRun,
    schema,
)
from app.transports.images import decode_images
from app.transports.structuring import structure
from app.uploads.desk import Claim


@frozen(kw_only=True, slots=False)
class MessageCommand(StartRun):
    """Starts a run."""

    type: Literal["message"] = "message"
    request_id: str | None = schema(max_length=MAX_KEY)


@frozen(kw_only=True, slots=False)
class CancelCommand:
    """Cancels a run, by default the one in progress."""

    type: Literal["cancel"] = "cancel"
    run_id: str | None = None
    request_id: str | None = schema(max_length=MAX_KEY)


@frozen(kw_only=True, slots=False)
class ApproveCommand(AnswerApproval):
    """Answers an `approval_requested` of the run in progress."""

    type: Literal["approve"] = "approve"
    call_id: str = schema(NOTHING, max_length=MAX_CALL_ID)
    request_id: str | None = schema(max_length=MAX_KEY)


@frozen(kw_only=True, slots=False)
class PingCommand:
    """Asks for a `pong`."""

    type: Literal["ping"] = "ping"
    request_id: str | None = field(default=None, metadata={"schema": {"max_length": MAX_KEY}})


Command = MessageCommand | CancelCommand | ApproveCommand | PingCommand

_KEY: Final = re.compile(KEY_PATTERN)

_COMMANDS: Final = {command.__name__.removesuffix("Command").lower(): command for command in get_args(Command)}


def parse(value: Any) -> Command:
    """Make a command of a JSON value.

    Raises:
        UnknownType: its `type` is no command's.
        InvalidMessage: a field is missing or wrong.
    """
    if not isinstance(value, dict):
        raise InvalidMessage("$: expected an object")
    kind = value.get("type")
    if not isinstance(kind, str):
        raise InvalidMessage("$.type: expected a string" if "type" in value else "$.type: this field is required")
    if kind not in _COMMANDS:
        raise UnknownType(f"$.type: expected one of {', '.join(_COMMANDS)}")
    command: Command = structure(value, _COMMANDS[kind])
    _within("$.request_id", command.request_id, MAX_KEY)
    if isinstance(command, ApproveCommand):
        _within("$.call_id", command.call_id, MAX_CALL_ID)
    return command


def request_id_of(value: Any) -> str | None:
    """The `request_id` of a frame, however wrong the rest of it is."""
    found = value.get("request_id") if isinstance(value, dict) else None
    return found if isinstance(found, str) and len(found) <= MAX_KEY else None


def new_message(body: StartRun, *, idempotency_key: str | None = None, cause: Cause | None = None) -> NewMessage:
    """Check what the types can't say, and decode the images.

    Raises:
        InvalidMessage: the message names the field.
    """
    if not body.content:
        raise InvalidMessage("$.content: expected at least one character")
    _within("$.content", body.content, MAX_CONTENT)
    images, files = body.images or [], body.files or []
    if len(images) > MAX_IMAGES:
        raise InvalidMessage(f"$.images: at most {MAX_IMAGES}")
    if len(files) > MAX_FILES:
        raise InvalidMessage(f"$.files: at most {MAX_FILES}")
    key = idempotency_key if idempotency_key is not None else body.idempotency_key
    if key is not None and not (1 <= len(key) <= MAX_KEY and _KEY.fullmatch(key)):
        raise InvalidMessage(f"$.idempotency_key: 1 to {MAX_KEY} characters, and no control characters")
    return NewMessage(
        content=body.content,
        images=decode_images(images),
        files=tuple(_claim(each) for each in files),
        cancel_when_left=body.on_disconnect == "cancel",
        on_conflict=body.on_conflict or "reject",
        idempotency_key=key,
        cause=cause,
    )


def _claim(file: str | NamedFile) -> Claim:
    return Claim(id=file) if isinstance(file, str) else Claim(path=file.path)


def approval_of(body: AnswerApproval) -> Approval:
    """Check somebody's answer.

    Raises:
        InvalidMessage: the comment is too long.
    """
    _within("$.comment", body.comment, MAX_COMMENT)
    return Approval(body.approved, body.comment)


def _within(path: str, text: str | None, limit: int) -> None:
    if text is not None and len(text) > limit:
        raise InvalidMessage(f"{path}: at most {limit} characters")
