"""WebSockets by the sans-I/O layer of websockets, for peers that mean harm (P3.8, P4.2).

uvicorn answers each ping at once, whether or not the peer takes the answers, and parses whatever came in one piece
before anybody else has a turn. Here what is kept for a peer has an end, and so has the number of small frames.
"""

from __future__ import annotations

from typing import Final

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.exceptions import InvalidHandshake
from websockets.frames import Frame
from websockets.http11 import Request
from websockets.protocol import State

from app.server.offers import EXTENSION, LAST_BYTES_S, offers
from app.server.raw_problems import BAD_HANDSHAKE, MALFORMED, WRONG_VERSION, RawProblem

_PIECE: Final = 4096
"""How many bytes are parsed at once, before it is looked how many frames they were."""

_FRAMES: Final = 1000
"""How many frames a connection may send at once, ..."""

_FRAMES_PER_S: Final = 20
"""... how many more each second, ..."""

_BYTES_PER_FRAME: Final = 1024
"""... and for how many bytes one more: long frames are never too many."""

_FRAGMENTS: Final = 4096
"""How many frames a message may come in."""

_PONG: Final = b"\x8a"


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """One connection, from its handshake on."""

    _deaf = False
    _pong = b""
    _frames_left = float(_FRAMES)
    _counted_at = 0.0

    def data_received(self, data: bytes) -> None:
        """Parse what came, piece by piece."""
        for start in range(0, len(data), _PIECE):
            if self._deaf or self.transport.is_closing():
                return
            piece = data if len(data) <= _PIECE else data[start : start + _PIECE]
            self._frames_left += len(piece) / _BYTES_PER_FRAME
            super().data_received(piece)
            if self.conn.handshake_exc is not None and not self.handshake_initiated:
                self._turn_away()

    def handle_events(self) -> None:
        """Handle what was parsed, unless it is a flood."""
        now = self.loop.time()
        grown = self._frames_left + (now - self._counted_at) * _FRAMES_PER_S
        self._frames_left = min(grown, _FRAMES) - len(self.conn.events)
        self._counted_at = now
        if self._frames_left < 0:
            self._fail(4429, "too many frames")
        else:
            super().handle_events()

    # the handshake

    def handle_connect(self, event: Request) -> None:
        """Make the offers to the connection that begins, or say what its handshake lacks."""
        try:
            self.conn.process_request(event)  # what it raises, uvicorn would answer in the library's words
        except InvalidHandshake:
            versions = event.headers.get_all("Sec-WebSocket-Version")
            self._refuse(BAD_HANDSHAKE if versions == ["13"] else WRONG_VERSION)
            return
        super().handle_connect(event)
        if (scope := getattr(self, "scope", None)) is not None:
            scope["extensions"][EXTENSION] = offers(self.transport)

    def _turn_away(self) -> None:
        answer = b"".join(self.conn.data_to_send())
        self.transport.write(answer or MALFORMED.response(self.default_headers))
        self._leave()

    def _refuse(self, problem: RawProblem) -> None:
        self.handshake_initiated = self.handshake_complete = self.close_sent = True
        self.transport.write(problem.response(self.default_headers))
        self._leave()

    # frames

    def handle_ping(self) -> None:
        """Answer; a peer that takes nothing gets one answer, to its last ping (RFC 6455, 5.5.3)."""
        if self._deaf:
            return
        if self.writable.is_set():
            super().handle_ping()
            return
        for frame in self.conn.data_to_send():
            if frame.startswith(_PONG):
                self._pong = frame
            else:
                self.transport.write(frame)

    def resume_writing(self) -> None:
        """Go on, with the answer that is owed."""
        pong, self._pong = self._pong, b""
        if pong and not self.close_sent:
            self.transport.write(pong)
        super().resume_writing()

    def handle_cont(self, event: Frame) -> None:
        """Take one more fragment, of not too many."""
        if len(self.frames) >= _FRAGMENTS:
            self.frames = []
            self._fail(1009, "too many fragments")
        else:
            super().handle_cont(event)

    def send_receive_event_to_app(self) -> None:
        """Close with 1007 on text that is not UTF-8; uvicorn does the same, but logs a traceback for each."""
        if self.curr_msg_data_type == "text" and not self.close_sent and not _is_utf_8(b"".join(self.frames)):
            self.frames = []
            self._fail(1007, "")
            return
        super().send_receive_event_to_app()

    # the end

    def shutdown(self) -> None:
        """Close, even if the peer does not take the close frame, or has sent its own and takes nothing any more."""
        if self.conn.state is State.CLOSING and not self.close_sent:  # uvicorn would close it twice, which is an error
            self.stop_keepalive()
            self.transport.close()
        else:
            super().shutdown()
        self.loop.call_later(LAST_BYTES_S, self.transport.abort)

    def keepalive_timeout(self) -> None:
        """Close; who does not answer will not take the close frame either."""
        super().keepalive_timeout()
        self.loop.call_later(LAST_BYTES_S, self.transport.abort)

    def handle_parser_exception(self) -> None:
        """Tell the application and the peer what was wrong."""
        if (sent := self.conn.close_sent) is not None:
            self.queue.put_nowait({"type": "websocket.disconnect", "code": sent.code, "reason": sent.reason})
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        self._leave()

    def _fail(self, code: int, reason: str) -> None:
        self.conn.fail(code, reason)
        self.handle_parser_exception()

    def _leave(self) -> None:
        """Let the peer read why before the connection is gone: closing at once would answer what it sends with a reset.

        uvicorn leaves a connection with a `close_timer` open when the application has returned.
        """
        self._deaf = True
        self.stop_keepalive()
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()
        if self.close_timer is not None:
            self.close_timer.cancel()
        self.close_timer = self.loop.call_later(LAST_BYTES_S, self.transport.abort)


def _is_utf_8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
