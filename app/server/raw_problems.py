"""Problem documents for requests that never reach the application (section 5 of the protocol)."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from attrs import frozen


@frozen
class RawProblem:
    """A refusal by the server itself: the same document that the application's refusals have."""

    status: HTTPStatus
    code: str
    title: str
    detail: str
    headers: tuple[bytes, ...] = ()

    def response(self, default_headers: list[tuple[bytes, bytes]]) -> bytes:
        """The whole answer, after which the connection is closed."""
        body = (
            f'{{"type":"urn:runcast:problem:{self.code}","title":"{self.title}","status":{self.status.value},'
            f'"detail":"{self.detail}","code":"{self.code}"}}'
        ).encode()
        head = [
            f"HTTP/1.1 {self.status.value} {self.status.phrase}".encode(),
            *(b"%s: %s" % header for header in default_headers),
            b"content-type: application/problem+json",
            b"content-length: %d" % len(body),
            b"cache-control: no-store",
            b"x-content-type-options: nosniff",
            *self.headers,
            b"connection: close",
            b"",
            body,
        ]
        return b"\r\n".join(head)


MALFORMED: Final = RawProblem(
    HTTPStatus.BAD_REQUEST, "invalid_message", "Invalid request", "this is not HTTP/1.1 as it has to be"
)
BAD_HOST: Final = RawProblem(
    HTTPStatus.BAD_REQUEST, "invalid_message", "Invalid request", "expected one header Host, which names a host"
)
BODY_OF_GET: Final = RawProblem(
    HTTPStatus.BAD_REQUEST, "invalid_message", "Invalid request", "a GET request has no body"
)
BAD_HANDSHAKE: Final = RawProblem(
    HTTPStatus.BAD_REQUEST, "invalid_message", "Invalid request", "this is no WebSocket handshake as it has to be"
)
WRONG_VERSION: Final = RawProblem(
    HTTPStatus.BAD_REQUEST,
    "invalid_message",
    "Invalid request",
    "expected one header Sec-WebSocket-Version, which is 13",
    (b"sec-websocket-version: 13",),
)
HEAD_TOO_LARGE: Final = RawProblem(
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    "too_large",
    "Too large",
    "a request line and its headers have at most 32 KiB and 100 headers",
)
