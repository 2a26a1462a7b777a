"""What goes into a run: the user's message, and what the agent is told besides."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Mapping, Sequence

import msgspec
from attrs import frozen

from app.agents.base import UPLOADED, File, Image, Message, Turn
from app.sessions.base import OnConflict, Run, SessionStore
from app.tracing.base import Cause
from app.uploads.desk import Claim, Uploads

_PAGE = 200


@frozen
class NewMessage:
    """A user's message, checked: what a run is started with.

    Attributes:
        on_conflict: what to do when a run is in progress (P4.4).
        cancel_when_left: cancel the run when it has had no viewer for the grace period (P3.11).
        cause: the request that it came with, if that names its trace.
    """

    content: str
    images: Sequence[Image] = ()
    files: tuple[Claim, ...] = ()
    cancel_when_left: bool = False
    on_conflict: OnConflict = "reject"
    idempotency_key: str | None = None
    cause: Cause | None = None

    def digest(self) -> str:
        """A hash of what it asks for, to tell a retry from a reuse (P4.5)."""
        images = [hashlib.sha256(image.data).hexdigest() for image in self.images]
        files = [[file.id, file.path] for file in self.files]
        body = msgspec.json.encode([self.content, images, files, self.cancel_when_left, self.on_conflict])
        return hashlib.sha256(body).hexdigest()


async def turn_of(run: Run, message: NewMessage, rows: SessionStore, uploads: Uploads) -> Turn:
    """Everything that the agent is told about a run."""
    kept = await uploads.of_session(run.session_id)
    files = _files_of(run, kept)
    return Turn(
        session_id=run.session_id,
        run_id=run.id,
        content=with_files(message.content, files),
        images=message.images,
        files=files,
        history=[earlier async for earlier in history(rows, run, kept)],
        state=await rows.get_state(run.session_id),
    )


async def history(rows: SessionStore, before: Run, kept: Mapping[str, File]) -> AsyncIterator[Message]:
    """What was said in the session before a run, oldest first, with the files that are still kept."""
    cursor: str | None = None
    while True:
        page = await rows.list_runs(before.session_id, _PAGE, cursor)
        for run in page.items:
            if run.number >= before.number:
                return
            yield Message("user", with_files(run.content, _files_of(run, kept)))
            if run.output:
                yield Message("assistant", run.output)
        if (cursor := page.next) is None:
            return


def _files_of(run: Run, kept: Mapping[str, File]) -> tuple[File, ...]:
    return tuple(kept[file.id] for file in run.files if file.id in kept)


def with_files(content: str, files: Sequence[File]) -> str:
    """The content as agents read it: the names and the paths of its files follow (P4.3)."""
    if not files:
        return content
    lines = "\n".join(f"- {file.name} → {file.path}" for file in files)
    return f"{content}{UPLOADED}{lines}]"
