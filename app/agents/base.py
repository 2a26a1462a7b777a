"""The agent port: what an agent is given and what it may yield.

The smallest agent is an async generator function:

    async def agent(turn: Turn):
        yield f"You said: {turn.content}"
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any, Literal, Protocol

from attrs import Factory, define, field, frozen

from app.events import Event


@frozen
class Image:
    """An image that came with a message: checked, decoded bytes and their media type (`image/png`, …)."""

    media_type: str
    data: bytes = field(repr=False)


@frozen
class File:
    """A file that came with a message, as it was uploaded.

    Attributes:
        name: what the client calls it, sanitised; it is not what the file is called on disk.
        path: where it can be opened on this machine, for reading only.
        media_type: recognised by its bytes.
        size: in bytes.
    """

    id: str
    name: str
    path: str
    media_type: str
    size: int


@frozen
class Message:
    """One message of the conversation so far."""

    role: Literal["user", "assistant"]
    content: str


@define
class Turn:
    """Everything that an agent is told about the run it is to perform.

    Attributes:
        content: what the user wrote; where files came with it, their names and paths follow (P4.3).
        history: the session's earlier messages, oldest first, without this one.
        state: the agent's own notes in the session: JSON values, as the last run left them. What it holds when the run
            ends is found again in the next one.
    """

    session_id: str
    run_id: str
    content: str
    images: Sequence[Image] = ()
    files: Sequence[File] = ()
    history: Sequence[Message] = ()
    state: dict[str, Any] = Factory(dict)


class Agent(Protocol):
    """Whoever can perform a run.

    It yields events, or bare strings, which are text. It may raise AgentError to end the run with a message for the
    client; any other exception ends it with `internal_error`. It is cancelled by cancelling its task.
    """

    def run_stream(self, turn: Turn) -> AsyncIterator[Event | str]:
        """Perform one run."""


@frozen
class Profile:
    """An agent under a name that clients can choose."""

    name: str
    agent: Agent
    description: str = ""
