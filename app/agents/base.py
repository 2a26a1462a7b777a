"""The agent port: what an agent is given and what it may yield.

The smallest agent is an async generator function:

    async def agent(turn: Turn):
        yield f"You said: {turn.content}"
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, Literal, Protocol

from attrs import Factory, define, field, frozen

from app.events import ApprovalRequested, Event


@frozen
class Image:
    """An image that came with a message: checked, decoded bytes and their media type (`image/png`, …)."""

    media_type: str
    data: bytes = field(repr=False)


UPLOADED: Final = "\n\n[Uploaded files on disk:\n"
"""What stands between a message and the names and paths of its files (P4.3)."""


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


@frozen
class Approval:
    """Somebody's answer to a question of the agent; as a condition it is `approved`."""

    approved: bool
    comment: str | None = None

    def __bool__(self) -> bool:
        return self.approved


Ask = Callable[[ApprovalRequested], Awaitable[Approval]]


@define
class Turn:
    """Everything that an agent is told about the run it is to perform.

    Attributes:
        content: what the user wrote; where files came with it, their names and paths follow (P4.3).
        history: the session's earlier messages, oldest first, without this one.
        state: the agent's own notes in the session: JSON values, as the last run left them. What it holds when the run
            ends is found again in the next one.
        ask: how `approve` reaches people; set by whoever performs the run.
    """

    session_id: str
    run_id: str
    content: str
    images: Sequence[Image] = ()
    files: Sequence[File] = ()
    history: Sequence[Message] = ()
    state: dict[str, Any] = Factory(dict)
    ask: Ask | None = field(default=None, repr=False, eq=False)

    async def approve(
        self, tool: str, args: Mapping[str, Any] | None = None, *, reason: str | None = None, call_id: str = ""
    ) -> Approval:
        """Ask whoever follows the run whether the agent may, and wait for the answer.

            if await turn.approve("delete_file", {"path": path}, reason="it is not empty"):
                ...

        Viewers get `approval_requested`; the answer may come from any of them, also after a reload. While it waits the
        agent does not count as idle; the run's deadline goes on. The answer is no when the run ends first.

        Args:
            tool: what the agent wants to do.
            args: with what: JSON values.
            reason: why it asks, for people to read.
            call_id: the tool call that it is about, if that was announced by a ToolStarted.

        Raises:
            RuntimeError: the turn is not performed by a gateway, so that there is nobody to ask.
        """
        if self.ask is None:
            raise RuntimeError("nobody can be asked: no gateway performs this turn")
        return await self.ask(ApprovalRequested(tool, dict(args or {}), reason=reason, call_id=call_id))


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
