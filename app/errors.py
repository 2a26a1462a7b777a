"""What can go wrong, on one page.

RuncastError                      code                  HTTP  close
├── Refusal                       a request was refused; nothing changed
│   ├── InvalidJson               invalid_json          400   4400
│   ├── UnknownType               unknown_type          400   4400
│   ├── InvalidMessage            invalid_message       422   4400
│   ├── BadPosition               bad_position          400   4400
│   ├── SessionNotFound           session_not_found     404   4004
│   ├── RunNotFound               run_not_found         404   4004
│   ├── RunActive                 run_active            409   4400
│   ├── QueueFull                 queue_full            409   4400
│   ├── IdempotencyMismatch       idempotency_mismatch  422   4400
│   ├── Unauthenticated           unauthenticated       401   4401
│   ├── NoSuchApproval            no_such_approval      404   4400
│   ├── ForbiddenOrigin           forbidden_origin      403   4403
│   ├── TooLarge                  too_large             413   1009
│   ├── StorageFull               storage_full          507   1011
│   ├── RateLimited               rate_limited          429   4429
│   │   ├── Crowded               rate_limited          503   4429
│   │   └── TooManyCommands       rate_limited          429   4429
│   ├── Draining                  draining              503   1012
│   └── NotReady                  not_ready             503   1011
│       └── NoAnswer              not_ready             503   1011
├── AgentError                    agent_error           what an agent raises to show its message to the client
│   └── MaxIterationsReached      max_iterations
├── Fenced                        an append met a log that has moved on, or is closed
│   └── Lost                      an append met a log that has lost what was appended before
├── Gap                           a position that the log cannot honour
├── StoreUnavailable              stored data could not be written or read
│   └── StoreFull                 there was no room for it
└── ConfigurationError            the process cannot start as configured

The codes are those of P7.4, the close codes those of P7.5: 4004, 4400, 4401 and 4403 are final, every other one is
worth a retry.
"""

from __future__ import annotations

from typing import ClassVar


class RuncastError(Exception):
    """The root of every error that Runcast raises on purpose."""


class Refusal(RuncastError):
    """A request that was refused; its message is meant for the client.

    Attributes:
        code: the machine-readable reason (P7.4).
        status: the HTTP status that carries it.
        close_code: the WebSocket close code, where the refusal ends the connection (P7.5).
        title: the problem's short, constant name (RFC 9457).
    """

    code: ClassVar[str]
    status: ClassVar[int] = 400
    close_code: ClassVar[int] = 4400
    title: ClassVar[str]


class InvalidJson(Refusal):
    """The bytes are not JSON (P4.2)."""

    code = "invalid_json"
    title = "Not JSON"


class UnknownType(Refusal):
    """The command's `type` is none that this server knows (P4.2)."""

    code = "unknown_type"
    title = "Unknown command type"


class InvalidMessage(Refusal):
    """A field is missing or wrong; the message names its path (P4.2, P4.3)."""

    code = "invalid_message"
    status = 422
    title = "Invalid message"


class BadPosition(Refusal):
    """A position that does not parse (P3.6)."""

    code = "bad_position"
    title = "Malformed position"


class SessionNotFound(Refusal):
    """No such session for this principal; the same answer for a foreign one (P6.3)."""

    code = "session_not_found"
    status = 404
    close_code = 4004
    title = "No such session"


class RunNotFound(Refusal):
    """No such run in this session (P6.3)."""

    code = "run_not_found"
    status = 404
    close_code = 4004
    title = "No such run"


class RunActive(Refusal):
    """The session has a run in progress (P4.4)."""

    code = "run_active"
    status = 409
    title = "A run is in progress"


class QueueFull(Refusal):
    """As many runs as may are waiting in the session already (P4.4)."""

    code = "queue_full"
    status = 409
    title = "The queue is full"


class IdempotencyMismatch(Refusal):
    """The idempotency key was used before with another body (P4.5)."""

    code = "idempotency_mismatch"
    status = 422
    title = "Idempotency key reused with another body"


class Unauthenticated(Refusal):
    """Nobody is known by what the caller showed (P6.1, P6.2).

    Args:
        message: why; it says nothing about tokens whose signature is wrong.
        given: whether anything was shown at all.
    """

    code = "unauthenticated"
    status = 401
    close_code = 4401
    title = "Not authenticated"

    def __init__(self, message: str, *, given: bool) -> None:
        super().__init__(message)
        self.given = given


class NoSuchApproval(Refusal):
    """Nothing of the run waits for this answer: never asked, answered otherwise before, or over (P4.1)."""

    code = "no_such_approval"
    status = 404
    title = "No such approval"


class ForbiddenOrigin(Refusal):
    """The `Origin` is neither the server's own nor allowed (P6.4)."""

    code = "forbidden_origin"
    status = 403
    close_code = 4403
    title = "Origin not allowed"


class TooLarge(Refusal):
    """The body or frame is over its limit (P4.2)."""

    code = "too_large"
    status = 413
    close_code = 1009
    title = "Too large"


class StorageFull(Refusal):
    """There is no room left for what was to be kept."""

    code = "storage_full"
    status = 507
    close_code = 1011
    title = "No room left"


class RateLimited(Refusal):
    """Too many requests, or too many refused ones (P4.2, P6.6)."""

    code = "rate_limited"
    status = 429
    close_code = 4429
    title = "Too many requests"


class Crowded(RateLimited):
    """The process has as many viewers as it takes (P6.6)."""

    status = 503
    title = "No room"


class TooManyCommands(RateLimited):
    """The connection has sent as many commands in a minute as it may (P6.6)."""


class Draining(Refusal):
    """The process is going away and takes no new runs (P7.3)."""

    code = "draining"
    status = 503
    close_code = 1012
    title = "Shutting down"


class NotReady(Refusal):
    """The process can't serve just now: what it keeps can't be read or written, or not in time."""

    code = "not_ready"
    status = 503
    close_code = 1011
    title = "Not ready"


class NoAnswer(NotReady):
    """The process that executes the run does not answer; asking again does no harm."""


class AgentError(RuncastError):
    """What an agent raises to end its run with a message that the client may read (P6.5).

    Args:
        message: shown to the client as it is.
        code: the terminal's code (P7.4).
    """

    def __init__(self, message: str, code: str = "agent_error") -> None:
        super().__init__(message)
        self.message = message
        self.code = code


class MaxIterationsReached(AgentError):
    """The agent used up its iterations (`max_iterations`)."""

    def __init__(self, message: str = "the agent reached its limit of iterations") -> None:
        super().__init__(message, code="max_iterations")


class Fenced(RuncastError):
    """An append whose `first_seq` does not follow the log's tail, or that came after the log was closed."""


class Lost(Fenced):
    """What was appended here before is not in the log any more: the server was emptied, or went back in time.

    Nothing more can be appended, but for what closes the log (`closed=True`): it is taken in its place, and all that
    is left of the log. Who had seen everything before it sees no hole, everybody else a Gap.
    """


class Gap(RuncastError):
    """A log can't honour a position (P3.6).

    Attributes:
        earliest: seq of the first event that the log still has.
        latest: seq of its last event; 0 when it has none.
    """

    def __init__(self, earliest: int, latest: int) -> None:
        super().__init__(f"the log holds {earliest} to {latest}")
        self.earliest = earliest
        self.latest = latest


class StoreUnavailable(RuncastError):
    """Storage failed: a full disk, an I/O error, a closed store, or stored data that can't be read; see its cause."""


class StoreFull(StoreUnavailable):
    """Storage has no room for what was to be kept, and may have when something else went."""


class ConfigurationError(RuncastError):
    """The settings, the profiles or the data directory don't allow a start; the message says what to change."""


def installs(extra: str) -> str:
    """How a checkout gets what an extra of pyproject.toml names: Runcast is on no registry."""
    return f".venv/bin/python -m pip install -e '.[{extra}]', or make run EXTRA={extra}"
