"""The Tracing port: what is told of a run and of a connection, whether or not anybody traces."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import Context
from typing import Protocol, Self

from attrs import frozen

from app.events import Event
from app.sessions.base import Run, RunStatus


@frozen
class Cause:
    """What a run or a connection is the consequence of, as its headers say it (W3C trace context).

    Attributes:
        headers: the headers of a request that name its trace, in lower case; usually `traceparent`.
        goes_on: whether that request outlives what it causes and causes more, as a WebSocket does.
    """

    headers: Mapping[str, str]
    goes_on: bool = False

    @classmethod
    def of(cls, headers: Mapping[str, str], names: frozenset[str]) -> Self | None:
        """The cause that a request's headers name, None without one."""
        found = {name: value for name in names if (value := headers.get(name)) is not None}
        return cls(found) if found else None


class RunSpan(Protocol):
    """One run."""

    def context(self) -> Context:
        """A fresh context in which whatever the agent traces belongs to this run."""

    def end(self, status: RunStatus, terminal: Event, *, events: int, first_said: float | None) -> None:
        """The run ended, with so many events in its log; the agent said its first after `first_said` seconds."""

    def lose(self) -> None:
        """The run is executed no more, and somebody else decided how it ended."""


class ConnectionSpan(Protocol):
    """One viewer's connection."""

    @property
    def cause(self) -> Cause | None:
        """What a run is to name that is started over this connection."""

    def end(self, *, reason: str, code: int | None, sent: int) -> None:
        """It was closed, for that reason and with that WebSocket close code, after so many messages."""


class Tracing(Protocol):
    """Where spans are made.

    Attributes:
        headers: the names of the request headers that matter, in lower case.
    """

    headers: frozenset[str]

    def run(self, run: Run, profile: str, cause: Cause | None) -> RunSpan:
        """A run begins."""

    def connection(
        self, transport: str, dialect: str, session_id: str, cause: Cause | None, *, resumed: bool
    ) -> ConnectionSpan:
        """A viewer's connection begins."""

    async def close(self) -> None:
        """Hand over what is left."""


class _NoSpan:
    cause: Cause | None = None

    def context(self) -> Context:
        return Context()

    def end(self, *_: object, **__: object) -> None:
        pass

    def lose(self) -> None:
        pass


class NoTracing:
    """Nobody traces."""

    headers: frozenset[str] = frozenset()
    _span = _NoSpan()

    def run(self, run: Run, profile: str, cause: Cause | None) -> RunSpan:  # noqa: ARG002 - the port's names
        return self._span

    def connection(
        self,
        transport: str,  # noqa: ARG002
        dialect: str,  # noqa: ARG002
        session_id: str,  # noqa: ARG002
        cause: Cause | None,  # noqa: ARG002
        *,
        resumed: bool,  # noqa: ARG002
    ) -> ConnectionSpan:
        return self._span

    async def close(self) -> None:
        pass


NO_TRACING: Tracing = NoTracing()
