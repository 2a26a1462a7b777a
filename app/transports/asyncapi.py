"""The AsyncAPI document (3.0): the WebSocket of a session, its messages both ways, its endings, who may open it.

Which messages there are, and what each holds, is read from the attrs classes. What only a handler that takes text and
sends from a task of its own knows is said here: which way they go, and what answers what.
"""

from __future__ import annotations

import re
from typing import Any, Final, get_args

from attrs import asdict, frozen

from app.dialects.messages import Ack, Error, Pong, ReplyMessage, StreamMessage
from app.transports.auth.credentials import SUBPROTOCOL
from app.transports.auth.tickets import LIFETIME
from app.transports.cattrs_plugin import tag_of
from app.transports.commands import ApproveCommand, CancelCommand, Command, MessageCommand, PingCommand
from app.transports.message_schemas import definitions
from app.transports.parameters import After
from app.transports.websocket import session_socket


@frozen
class CloseCode:
    """A code that closes a WebSocket (P7.5).

    Attributes:
        final: whether the next attempt would end the same way, so that a client does not come back by itself.
    """

    code: int
    final: bool
    meaning: str


CLOSE_CODES: Final = (
    CloseCode(1000, final=False, meaning="Done."),
    CloseCode(1009, final=False, meaning="A frame was larger than the server takes."),
    CloseCode(1011, final=False, meaning="Something went wrong on the server."),
    CloseCode(1012, final=False, meaning="The server shuts down: reconnect."),
    CloseCode(4004, final=True, meaning="No such session, or it belongs to somebody else, or it was deleted."),
    CloseCode(4400, final=True, meaning="A bad request, as a malformed position; an `error` said which."),
    CloseCode(4401, final=True, meaning="Not authenticated."),
    CloseCode(4403, final=True, meaning="The page's origin is not allowed."),
    CloseCode(4429, final=False, meaning="Too many viewers, or too many refused frames in a minute."),
    CloseCode(4508, final=False, meaning="Too slow: reconnect and resume."),
)

_ABOUT: Final = (
    "The WebSocket of a Runcast gateway: it streams the runs of a session, and takes commands. One JSON object per "
    "text frame, told apart by `type`. A client ignores types and fields that it doesn't know (P2.3)."
)
_CHANNEL: Final = (
    "Follows the session: the run in progress, then every later one, until the client leaves. Messages that come out "
    "of a log carry an `id`, their position; the last one received, given as `after`, resumes right behind it, with "
    "nothing missing and nothing twice. A well-formed handshake is always accepted; whoever may not follow is told by "
    "the code that closes the connection. Final codes would be the same again; after any other, reconnect with a "
    "growing pause."
)
_SUBPROTOCOL: Final = (
    f"Optional. A client that can't set headers offers `{SUBPROTOCOL}, bearer.<token>`, the token being an API key or "
    f"a JWT; the server answers `{SUBPROTOCOL}`."
)
_TICKET: Final = f"For browsers: made by `POST /tickets`, good for one session and {LIFETIME // 60} minutes."
_CORRELATION: Final = "Chosen by the client; the `ack` or the `error` that answers a command repeats it."
_EVENTS: Final = "What was stored after the starting point, `caught_up`, then what happens, as it happens."
_ANSWERS: Final = (
    "A command that has a `request_id` gets an `ack` or an `error` that repeats it; one that is refused gets an "
    "`error`, whatever it has."
)

_SECURITY: Final = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "An API key or a JWT."},
    "ticket": {"type": "httpApiKey", "name": "ticket", "in": "query", "description": _TICKET},
    "subprotocol": {
        "type": "httpApiKey",
        "name": "Sec-WebSocket-Protocol",
        "in": "header",
        "description": _SUBPROTOCOL,
    },
}

_COMMANDS: Final = {
    "startRun": (MessageCommand, (Ack, Error)),
    "cancelRun": (CancelCommand, (Ack, Error)),
    "answerApproval": (ApproveCommand, (Ack, Error)),
    "ping": (PingCommand, (Pong, Ack, Error)),
}


def asyncapi_document(version: str, base_path: str = "") -> dict[str, Any]:
    """The document, as JSON values, of a server at the default address.

    Args:
        version: of this server.
        base_path: what all routes are under.
    """
    schemas = definitions("#/components/schemas/")
    document = {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Runcast",
            "version": version,
            "description": _ABOUT,
            "license": {"name": "MIT"},
        },
        "defaultContentType": "application/json",
        "servers": {"gateway": _server(base_path)},
        "channels": {"session": _channel(schemas)},
        "operations": _operations(schemas),
        "components": {
            "schemas": schemas,
            "securitySchemes": _SECURITY,
            "correlationIds": {"request": {"location": "$message.payload#/request_id", "description": _CORRELATION}},
        },
    }
    return at_server(document, "localhost:8000", secure=False)


def at_server(document: dict[str, Any], host: str, *, secure: bool) -> dict[str, Any]:
    """The document of the same server at another address.

    Args:
        document: is left as it was.
        host: with its port, if that is another than the protocol's.
        secure: whether it is reached over TLS.
    """
    gateway = document["servers"]["gateway"] | {"host": host, "protocol": "wss" if secure else "ws"}
    page = f"{'https' if secure else 'http'}://{host}{gateway.get('pathname', '')}/schema"
    info = document["info"] | {"externalDocs": {"description": "Everything else", "url": page}}
    return document | {"info": info, "servers": {"gateway": gateway}}


def _server(base_path: str) -> dict[str, Any]:
    return {
        **({"pathname": base_path} if base_path else {}),
        "description": "This gateway. Where it asks who calls, any one of the schemes will do.",
        "security": [_to(f"components/securitySchemes/{name}") for name in _SECURITY],
    }


def _channel(schemas: dict[str, Any]) -> dict[str, Any]:
    (path,) = session_socket.paths
    rows = (f"| {each.code} | {'yes' if each.final else 'no'} | {each.meaning} |" for each in CLOSE_CODES)
    return {
        "address": re.sub(r":\w+}", "}", path),
        "title": "The WebSocket of a session",
        "summary": "Follow a session, and command its runs.",
        "description": "\n".join((_CHANNEL, "", "| closed with | final | meaning |", "|---|---|---|", *rows)),
        "parameters": {"session_id": {"description": "The session, as `POST /sessions` named it."}},
        "messages": {
            str(tag_of(kind)): _message(kind, schemas) for kind in get_args(StreamMessage | ReplyMessage | Command)
        },
        "bindings": {"ws": _binding()},
        "x-close-codes": [asdict(each) for each in CLOSE_CODES],
    }


def _binding() -> dict[str, Any]:
    after = After.__metadata__[0].description  # type: ignore[attr-defined]
    texts = {"after": after, "ticket": _TICKET}
    offered = {"type": "string", "description": _SUBPROTOCOL, "examples": [SUBPROTOCOL, f"{SUBPROTOCOL}, bearer.TOKEN"]}
    return {
        "method": "GET",
        "query": {
            "type": "object",
            "properties": {name: {"type": "string", "description": text} for name, text in texts.items()},
        },
        "headers": {"type": "object", "properties": {"Sec-WebSocket-Protocol": offered}},
        "bindingVersion": "0.1.0",
    }


def _message(kind: type, schemas: dict[str, Any]) -> dict[str, Any]:
    schema = schemas[kind.__name__]
    correlated = "request_id" in schema["properties"]
    return {
        "name": tag_of(kind),
        "title": kind.__name__,
        "summary": schema["description"],
        "payload": _to(f"components/schemas/{kind.__name__}"),
        **({"correlationId": _to("components/correlationIds/request")} if correlated else {}),
    }


def _operations(schemas: dict[str, Any]) -> dict[str, Any]:
    """Named, as AsyncAPI has it, for what the server does: it sends events, and receives commands."""
    sent = {
        "sendEvents": _operation("send", "Follow the session", _EVENTS, get_args(StreamMessage)),
        "sendAnswers": _operation("send", "Answer a command", _ANSWERS, get_args(ReplyMessage)),
    }
    received = {
        name: {
            **_operation("receive", f"The command `{tag_of(kind)}`", schemas[kind.__name__]["description"], (kind,)),
            "reply": {"channel": _to("channels/session"), "messages": _messages(answers)},
        }
        for name, (kind, answers) in _COMMANDS.items()
    }
    return sent | received


def _operation(action: str, title: str, summary: str, messages: tuple[type, ...]) -> dict[str, Any]:
    return {
        "action": action,
        "channel": _to("channels/session"),
        "title": title,
        "summary": summary,
        "messages": _messages(messages),
    }


def _messages(kinds: tuple[type, ...]) -> list[dict[str, str]]:
    return [_to(f"channels/session/messages/{tag_of(kind)}") for kind in kinds]


def _to(pointer: str) -> dict[str, str]:
    return {"$ref": f"#/{pointer}"}
