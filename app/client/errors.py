"""What can go wrong between a client and its server: a refusal for good, or an answer that never came."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

import httpx

from app.errors import RuncastError

_FINAL_CLOSES = {4004: "session_not_found", 4400: "bad_position", 4401: "unauthenticated", 4403: "forbidden_origin"}
_PASSING = (408, 425, 429)
_NOT_DONE = (425, 429, 503)
"""What a server, or a proxy, says that has not begun."""

_LONGEST_WAIT_S: Final = 86_400.0
"""Whatever a server asks for, it is asked again after a day."""


class Refused(RuncastError):
    """The server's answer is no, and would be no again (P7.5).

    Attributes:
        code: the machine-readable reason (P7.4), `http_<status>` where the answer names none.
        status: the HTTP status or the WebSocket close code; None if the client itself refused to ask.
    """

    def __init__(self, code: str, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.status = status


class Unreachable(RuncastError):
    """No answer, or one that says to come again.

    Attributes:
        retry_after: seconds that the server asked to wait, a day at most; 0 if it asked for none.
        unsent: whether the server can't have acted on the request.
    """

    def __init__(self, message: str, *, retry_after: float = 0, unsent: bool = False) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.unsent = unsent


def is_final(status: int) -> bool:
    """Whether asking again can't change an HTTP answer that is no success."""
    return status < 500 and status not in _PASSING  # noqa: PLR2004


def of_answer(answer: httpx.Response) -> Refused | Unreachable:
    """What an HTTP answer that is no success means; its body has been read."""
    status = answer.status_code
    code, detail = f"http_{status}", f"the server answered {status}"
    try:
        problem = answer.json()
        code, detail = str(problem["code"]), str(problem["detail"])
    except (ValueError, KeyError, TypeError):
        pass  # somebody between us and the server answered
    if is_final(status):
        return Refused(code, detail, status)
    return Unreachable(detail, retry_after=_seconds(answer.headers.get("retry-after", "")), unsent=status in _NOT_DONE)


def of_close(status: int, reason: str, told: tuple[str, str] | None) -> Refused | Unreachable:
    """What a WebSocket's close means.

    Args:
        status: the close code.
        reason: the close frame's text.
        told: code and message of the refusal that came before it, if one did.
    """
    if status in _FINAL_CLOSES:
        return Refused(*(told or (_FINAL_CLOSES[status], reason)), status)
    return Unreachable(told[1] if told else reason or f"the WebSocket was closed with {status}")


def of_transport(error: Exception) -> Unreachable:
    """What an exception of the network means."""
    unsent = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)
    return Unreachable(str(error).rstrip(".") or type(error).__name__, unsent=unsent)


def _seconds(text: str) -> float:
    """Read a Retry-After, which is a number of seconds or a date."""
    if text.isascii() and text.isdigit():
        return min(float(text), _LONGEST_WAIT_S)
    try:
        until = parsedate_to_datetime(text)
    except ValueError:
        return 0.0
    if until.tzinfo is None:
        until = until.replace(tzinfo=UTC)
    return min(max((until - datetime.now(UTC)).total_seconds(), 0.0), _LONGEST_WAIT_S)
