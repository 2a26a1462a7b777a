"""Whatever goes over a test's connections is held against openapi/messages.json, as the tests themselves see it.

The libraries that tests talk through are watched, so that no test has to ask for it: websockets, httpx-sse, httpx for
pages of logs, and the WebSockets of browsers; and the dialect, where the gateway is in the test's own process. Frames
that are wrong on purpose are counted, not condemned: the server has to refuse those, and only those.
"""

import json
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from functools import cache, wraps
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import httpx
import httpx_sse
import jsonschema_rs
import msgspec
from websockets.asyncio.client import ClientConnection

from app.dialects import native
from app.errors import Refusal
from app.transports.json_text import decode

_SESSION_SOCKET = re.compile(r"/ws/sessions/[^/]+(\?|$)")
_STREAM = re.compile(r"/sessions/[^/]+/(runs/[^/]+/)?events$")
_LOG = re.compile(r"/sessions/[^/]+/runs/[^/]+/log$")
_SHAPE = {"invalid_json", "unknown_type", "invalid_message"}

# Read here and not at the first message: that may come inside an event loop, where tests may not block.
_DOCUMENT = json.loads((Path(__file__).parents[1] / "openapi" / "messages.json").read_text(encoding="utf-8"))

wrong: list[str] = []
"""What was found since it was last looked at."""

counted: Counter[str] = Counter()
"""How many messages were checked, by the union that they belong to."""


@cache
def validator(union: str) -> jsonschema_rs.Draft202012Validator:
    """Knows the messages of one union of messages.json."""
    return jsonschema_rs.Draft202012Validator(
        _DOCUMENT | {"anyOf": [{"$ref": f"#/$defs/{union}"}]}, validate_formats=True
    )


def is_valid(union: str, message: Any) -> bool:
    counted[union] += 1
    return validator(union).is_valid(message)


def check(union: str, message: Any) -> None:
    if not is_valid(union, message):
        wrong.append(f"no {union}: {message!r:.500}")


class Talk:
    """What one WebSocket said so far."""

    def __init__(self) -> None:
        self._refusable = 0
        self._refused = 0
        self._invalid: set[str] = set()
        self._valid: set[str] = set()

    def sent(self, data: Any) -> None:
        """Note a frame of the client."""
        try:
            command = decode(data) if isinstance(data, str) else None
        except Refusal:
            command = None
        fields = command if isinstance(command, dict) else {}
        valid = is_valid("ClientMessage", command)
        # What an image shows, and whose a file is, no schema knows.
        self._refusable += not valid or bool(fields.get("images") or fields.get("files"))
        if isinstance(request_id := fields.get("request_id"), str):
            (self._valid if valid else self._invalid).add(request_id)

    def received(self, data: str | bytes) -> None:
        """Check a frame of the server, and that it refuses what is invalid and carries out what is valid."""
        message = msgspec.json.decode(data)
        check("ServerMessage", message)
        if message["type"] == "ack" and message["request_id"] in self._invalid - self._valid:
            wrong.append(f"carried out, and no ClientMessage: {message!r}")
        if message["type"] != "error" or "id" in message or message["code"] not in _SHAPE:
            return
        self._refused += "nested deeper" not in message["message"]
        if self._refused > self._refusable:
            wrong.append(f"every command was a ClientMessage, and one was refused: {message!r}")


def follow(url: str) -> Talk | None:
    """What to tell of a WebSocket to that address, if it is a session's."""
    return Talk() if _SESSION_SOCKET.search(url) else None


def watch_libraries() -> None:
    """From now on, check everything that goes through them."""
    _watch_the_dialect()
    _watch_websockets()
    _watch_server_sent_events()
    _watch_logs()


def _watch_the_dialect() -> None:
    """For tests that have the gateway in their own process."""
    encode = native.encode

    def encode_checked(message: Any) -> bytes:
        check("ServerMessage", msgspec.json.decode(text := encode(message)))
        return text

    native.encode = encode_checked


def _watch_websockets() -> None:
    talks: WeakKeyDictionary[ClientConnection, Talk | None] = WeakKeyDictionary()
    receive, send = ClientConnection.recv, ClientConnection.send

    def talk_of(connection: ClientConnection) -> Talk | None:
        if connection not in talks:
            talks[connection] = follow(connection.request.path) if connection.request is not None else None
        return talks[connection]

    async def checked_recv(self: ClientConnection, *options: Any, **named: Any) -> Any:
        data = await receive(self, *options, **named)
        if (talk := talk_of(self)) is not None:
            talk.received(data)
        return data

    async def checked_send(self: ClientConnection, message: Any, **options: Any) -> None:
        if (talk := talk_of(self)) is not None:
            if not isinstance(message, str | bytes):
                message = [*message]
            talk.sent("".join(message) if isinstance(message, list) else message)
        await send(self, message, **options)

    ClientConnection.recv = checked_recv  # type: ignore[method-assign,assignment]
    ClientConnection.send = checked_send  # type: ignore[method-assign]


def _watch_server_sent_events() -> None:
    iterate = httpx_sse.EventSource.aiter_sse

    async def aiter_sse(self: httpx_sse.EventSource) -> AsyncIterator[httpx_sse.ServerSentEvent]:
        ours = _STREAM.search(self.response.request.url.path) is not None
        async with aclosing(iterate(self)) as events:
            async for event in events:
                if ours and event.data:
                    check("RunEvent", msgspec.json.decode(event.data))
                yield event

    httpx_sse.EventSource.aiter_sse = aiter_sse  # type: ignore[method-assign,assignment]


def _watch_logs() -> None:
    def check_page(answer: httpx.Response) -> None:
        if answer.is_closed and answer.status_code == httpx.codes.OK and _LOG.search(answer.request.url.path):
            for message in msgspec.json.decode(answer.content)["events"]:
                check("RunEvent", message)

    def send_checked(send: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(send)
        def checked(self: httpx.Client, request: httpx.Request, **options: Any) -> httpx.Response:
            check_page(answer := send(self, request, **options))
            return answer

        return checked

    def asend_checked(send: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(send)
        async def checked(self: httpx.AsyncClient, request: httpx.Request, **options: Any) -> httpx.Response:
            check_page(answer := await send(self, request, **options))
            return answer

        return checked

    httpx.Client.send = send_checked(httpx.Client.send)  # type: ignore[method-assign]
    httpx.AsyncClient.send = asend_checked(httpx.AsyncClient.send)  # type: ignore[method-assign]
