"""HTTP/1.1 by httptools, for clients that mean harm or can't do better (section 5 of the protocol).

What uvicorn takes without end has an end here: a request's head, in bytes and in time, a body or an answer that
hardly moves, requests that queue up behind one another.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from app.server.offers import EXTENSION, LAST_BYTES_S, offers, reset
from app.server.pace import LEAST_BYTES, Pace
from app.server.raw_problems import BAD_HOST, BODY_OF_GET, HEAD_TOO_LARGE, MALFORMED, RawProblem

HEAD_BYTES: Final = 32 * 1024
HEAD_SECONDS: Final = 5.0
HEADERS: Final = 100
PIPELINED: Final = 8
"""How many requests may wait behind the one that is being answered."""

_REST_S: Final = 5.0
"""Seconds in which the rest of a body may still come that was answered before it was read."""

_FRAMING: Final = 8
"""How many bytes of framing a body may have for each byte of content, beyond what a head may have."""

_EMPTY_LINE: Final = re.compile(rb"\n\r?\n")
"""What every head ends with, and every body in chunks; a body in chunks may also hold it."""

_HOST: Final = re.compile(rb"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~-]+)(:[0-9]{1,5})?")


class _RefusedError(Exception):
    """Leaves the parser; the protocol knows why."""


class HttpProtocol(HttpToolsProtocol):
    """One connection.

    Args:
        refused: told the code of every refusal that is made here, before any application sees the request.
    """

    def __init__(self, *args: Any, refused: Callable[[str], None], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._refused = refused

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a first head."""
        super().connection_made(transport)
        self._in_head = True
        self._in_body = False
        self._head_bytes = 0
        self._body_bytes = 0
        self._framing_bytes = 0
        self._length: int | None = None
        self._line_end = b""
        self._excused_bytes = 0
        self._deaf = False
        self._running: RequestResponseCycle | None = None
        self._refusal = MALFORMED
        self._arriving = Pace(self.loop, self._arrived, self._cut)
        self._leaving = Pace(self.loop, self._left, self._cut)
        self._deadline: asyncio.TimerHandle | None = None
        self._set_deadline(HEAD_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget every deadline."""
        self._arriving.stop()
        self._leaving.stop()
        self._set_deadline(None)
        self._disconnect()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what came, one message at a time and a head never further than it may reach."""
        start = 0
        while start < len(data) and not self._deaf and not self.transport.is_closing():
            end = self._end(data, start)
            piece = data[start:end]
            if self._in_head:
                self._feed_head(piece)
            else:
                self._feed_body(piece)
            start = end
        self._time()

    def _end(self, data: bytes, start: int) -> int:
        """Where to stop: never beyond the message that is being read, since the parser would not stop there."""
        if not self._in_head and self._length is not None:
            return min(start + max(self._length - self._body_bytes, 1), len(data))
        limit = min(start + HEAD_BYTES - self._head_bytes, len(data)) if self._in_head else len(data)
        begun = len(self._line_end)
        if found := _EMPTY_LINE.search(self._line_end + data[start : start + 2]):
            end = start + found.end() - begun
        else:
            found = _EMPTY_LINE.search(data, start, limit)
            end = found.end() if found else limit
        self._line_end = b"" if found else (self._line_end + data[max(start, end - 2) : end])[-2:]
        return min(end, limit)

    def _feed_head(self, piece: bytes) -> None:
        self._head_bytes += len(piece)
        super().data_received(piece)
        if self._in_head and self._head_bytes >= HEAD_BYTES:
            self.refuse(HEAD_TOO_LARGE)

    def _feed_body(self, piece: bytes) -> None:
        before = self._body_bytes
        super().data_received(piece)
        self._framing_bytes += len(piece) - (self._body_bytes - before)
        if self._in_body and self._framing_bytes > HEAD_BYTES + _FRAMING * self._body_bytes:
            self.refuse(MALFORMED)

    def _time(self) -> None:
        if self._deaf or self.transport.is_closing():
            return
        if self._in_body:
            self._arriving.start()
        elif self._head_bytes and self._deadline is None and self._is_free():
            self._set_deadline(HEAD_SECONDS)

    # what the parser tells

    def on_message_begin(self) -> None:
        """Make the offers to the request that begins."""
        super().on_message_begin()
        extensions: dict[Any, Any] = {**(self.scope.get("extensions") or {}), EXTENSION: offers(self.transport)}
        self.scope["extensions"] = extensions

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take one header, or trailer, of not too many."""
        super().on_header(name, value)
        if len(self.headers) > HEADERS:
            self._refuse(HEAD_TOO_LARGE)

    def on_headers_complete(self) -> None:
        """Refuse what no application should see; start the others."""
        self._set_deadline(None)
        self._check()
        self._in_head = False
        self._in_body = True
        self._body_bytes = self._framing_bytes = 0
        self._length = next((int(value) for name, value in self.headers if name == b"content-length"), None)
        super().on_headers_complete()
        if len(self.pipeline) > PIPELINED:
            self._cut()
            self._refuse(MALFORMED)

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body."""
        self._body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Wait for the next head."""
        self._in_body = False
        self._in_head = True
        self._head_bytes = 0
        self._arriving.stop()
        self._set_deadline(None)
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Watch what is left: an answer that the peer has to take, a body that nobody waits for."""
        super().on_response_complete()
        if self.transport.get_write_buffer_size():
            self._leaving.start()
        if self._in_body and not self.transport.is_closing():
            self._set_deadline(_REST_S)

    def _check(self) -> None:
        version = self.parser.get_http_version()
        if version not in ("1.0", "1.1") or not self.url.isascii():
            self._refuse(MALFORMED)
        hosts = [value for name, value in self.headers if name == b"host"]
        if len(hosts) > 1 or not (hosts or version == "1.0") or not all(map(_HOST.fullmatch, hosts)):
            self._refuse(BAD_HOST)
        if self.parser.get_method() in (b"GET", b"HEAD") and any(map(_announces_body, self.headers)):
            self._refuse(BODY_OF_GET)

    # the ends of a connection

    def refuse(self, problem: RawProblem) -> None:
        """Answer, and close once the peer has had the time to read it; in the middle of an answer, cut."""
        if self._deaf:
            return
        self._deaf = True
        self._refused(problem.code)
        self._in_body = False
        self._set_deadline(None)
        if (running := self._running) is not None and running.response_started and not running.response_complete:
            self._cut()
            return
        self._disconnect()
        self.transport.write(problem.response(self.server_state.default_headers))
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.loop.call_later(LAST_BYTES_S, self.transport.abort)

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn passes it
        """Say what was wrong."""
        self.refuse(self._refusal)

    def shutdown(self) -> None:
        """Close what is idle, even if its peer does not take the last bytes."""
        super().shutdown()
        if self.transport.is_closing():
            self.loop.call_later(LAST_BYTES_S, self.transport.abort)

    def timeout_keep_alive_handler(self) -> None:
        """Close what is idle; an answer that is still being taken is watched."""
        if self.transport.get_write_buffer_size():
            again = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)
            self.timeout_keep_alive_task = again
        else:
            super().timeout_keep_alive_handler()

    def _refuse(self, problem: RawProblem) -> None:
        self._refusal = problem
        raise _RefusedError

    def _cut(self) -> None:
        self._disconnect()
        reset(self.transport)

    def _disconnect(self) -> None:
        """Tell the request that is being answered: uvicorn tells only the last one that came."""
        if (running := self._running) is not None and not running.response_complete:
            running.disconnected = True
            running.message_event.set()

    def _set_deadline(self, seconds: float | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = None if seconds is None else self.loop.call_later(seconds, self._cut)

    def _is_free(self) -> bool:
        return self._running is None or bool(self._running.response_complete)

    def _arrived(self) -> int:
        if self.flow.read_paused:  # it is not the peer who makes it wait
            self._excused_bytes += LEAST_BYTES
        return self._body_bytes + self._excused_bytes

    def _left(self) -> int | None:
        waiting = self.transport.get_write_buffer_size()
        return -waiting if waiting else None

    # what uvicorn starts

    def _should_upgrade(self) -> bool:
        is_get = self.parser.get_method() == b"GET" and self.parser.get_http_version() == "1.1"
        return is_get and bool(super()._should_upgrade())

    def handle_websocket_upgrade(self) -> None:
        """Hand the connection over."""
        self._deaf = True  # what came with the handshake is nobody's
        super().handle_websocket_upgrade()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._leaving.stop()
        self._running = cycle
        if cycle.scope["http_version"] == "1.0":
            app = _without_chunks(cycle, app)
        super()._start_asgi_task(cycle, app)


def _announces_body(header: tuple[bytes, bytes]) -> bool:
    name, value = header
    return name == b"transfer-encoding" or (name == b"content-length" and value.strip(b"0") != b"")


def _without_chunks(cycle: RequestResponseCycle, app: Any) -> Any:
    """HTTP/1.0 has no chunks: an answer of unknown length ends with its connection."""
    cycle.chunked_encoding = False

    async def run(scope: Any, receive: Any, send: Any) -> None:
        async def send_whole(message: Any) -> None:
            while cycle.flow.write_paused and not cycle.disconnected:
                await cycle.flow.drain()
            cycle.expected_content_length = len(message.get("body", b""))
            await send(message)

        await app(scope, receive, send_whole)

    return run
