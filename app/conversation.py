"""What goes into a run: the user's message, and what the agent is told besides."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Sequence

import msgspec
from attrs import frozen

from app.agents.base import Image, Message, Turn
from app.events import FileRef
from app.sessions.base import Run, SessionStore

_PAGE = 200


@frozen
class NewMessage:
    """A user's message, checked: what a run is started with.

    Attributes:
        cancel_when_left: cancel the run when it has had no viewer for the grace period (P3.11).
    """

    content: str
    images: Sequence[Image] = ()
    files: tuple[FileRef, ...] = ()
    cancel_when_left: bool = False
    idempotency_key: str | None = None

    def digest(self) -> str:
        """A hash of everything but the key, to tell a retry from a reuse (P4.5)."""
        images = [hashlib.sha256(image.data).hexdigest() for image in self.images]
        files = [file.id for file in self.files]
        body = msgspec.json.encode([self.content, images, files, self.cancel_when_left])
        return hashlib.sha256(body).hexdigest()


async def turn_of(run: Run, message: NewMessage, rows: SessionStore) -> Turn:
    """Everything that the agent is told about a run."""
    return Turn(
        session_id=run.session_id,
        run_id=run.id,
        content=message.content,
        images=message.images,
        files=message.files,
        history=[earlier async for earlier in history(rows, run)],
        state=await rows.get_state(run.session_id),
    )


async def history(rows: SessionStore, before: Run) -> AsyncIterator[Message]:
    """What was said in the session before a run, oldest first."""
    cursor: str | None = None
    while True:
        page = await rows.list_runs(before.session_id, _PAGE, cursor)
        for run in page.items:
            if run.number >= before.number:
                return
            yield Message("user", run.content)
            if run.output:
                yield Message("assistant", run.output)
        if (cursor := page.next) is None:
            return
