"""Uploads: where a file is taken in, and where it is asked for again; a file's bytes and its row stay together.

The bytes are whole and on the disk before the row is written, and the row goes before the bytes do. What a crash leaves
is therefore at most bytes without a row, which `recover` removes.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Final, ParamSpec, TypeVar

import anyio
import structlog
from attrs import frozen

from app.agents.base import File
from app.errors import InvalidMessage, TooLarge
from app.sessions.base import SessionStore, StoredFile
from app.uploads.names import clean_name, on_disk
from app.uploads.receiving import disk_errors, write_all
from app.uploads.shelf import Incoming, Shelf
from app.uploads.sniffing import HEAD, media_type_of

log = structlog.get_logger()
P = ParamSpec("P")
T = TypeVar("T")

_THREADS: Final = 2
_LOOKED_UP_AT_ONCE: Final = 500


@frozen
class Limits:
    """What is refused (P6.6): the bytes of one file, the number of a session's files, and their bytes together."""

    file_bytes: int
    session_files: int
    session_bytes: int


@frozen
class Claim:
    """A file as a message names it: by its id, or as the original clients do, by its path (P4.3)."""

    id: str | None = None
    path: str | None = None


class Uploads:
    """The files of all sessions.

    Args:
        root: the folder that holds them.
        sessions: keeps their rows.
        clock: the time, aware.
    """

    def __init__(self, root: Path, sessions: SessionStore, limits: Limits, clock: Callable[[], datetime]) -> None:
        self.limits = limits
        self._shelf = Shelf(root)
        self._sessions = sessions
        self._clock = clock
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="uploads")
        self._closing: set[asyncio.Task[File]] = set()

    async def receive(self, session_id: str, name: str, chunks: AsyncIterator[bytes]) -> File:
        """Keep a file. When this raises, or is cancelled before the last byte came, nothing is kept.

        Args:
            session_id: whose it is.
            name: what the client calls it, unchecked.
            chunks: its bytes, of which a few are in memory at a time.

        Raises:
            TooLarge: the file is over its limit, or the session's files would be over theirs.
            StorageFull: the disk is.
            SessionNotFound: the session was deleted meanwhile.
        """
        await self._check_room(session_id)
        name = clean_name(name)
        file_id = f"file_{secrets.token_hex(16)}"
        with disk_errors():
            incoming = await self._in_thread(self._shelf.begin, session_id, on_disk(file_id, name))
        try:
            measure = await write_all(incoming, chunks, self.limits.file_bytes, self._in_thread)
            media_type = media_type_of(bytes(measure.head), whole=measure.size <= HEAD)
        except BaseException:
            with anyio.CancelScope(shield=True):
                await self._in_thread(incoming.discard)
            raise
        row = StoredFile(
            file_id, session_id, name, on_disk(file_id, name), media_type, measure.size, created_at=self._clock()
        )
        # Whoever leaves now leaves too late: a row that is being written can't be called back.
        task = asyncio.create_task(self._keep(incoming, row))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
        with anyio.CancelScope(shield=True):
            await asyncio.shield(task)
        return task.result()

    async def claimed(self, session_id: str, claims: Sequence[Claim]) -> tuple[File, ...]:
        """The files that a message names.

        Raises:
            InvalidMessage: one of them is none of this session's files.
        """
        if not claims:
            return ()
        files = await self.of_session(session_id)
        by_path = {file.path: file for file in files.values()}
        found = []
        for index, claim in enumerate(claims):
            file = files.get(claim.id) if claim.id is not None else by_path.get(claim.path or "")
            if file is None:
                raise InvalidMessage(f"$.files[{index}]: not a file of this session")
            found.append(file)
        return tuple(found)

    async def of_session(self, session_id: str) -> dict[str, File]:
        """The session's files that are still there, by id."""
        rows = await self._sessions.list_files(session_id)
        if not rows:
            return {}
        there = await self._in_thread(lambda: [self._shelf.holds(session_id, row.stored_as) for row in rows])
        return {row.id: self._file(row) for row, is_there in zip(rows, there, strict=True) if is_there}

    async def clear(self, session_id: str) -> None:
        """Remove the bytes of a session whose row is gone."""
        await self._in_thread(self._shelf.clear, session_id)

    async def expire(self, before: datetime) -> int:
        """Remove the files of before a time whose sessions are quiet since; the answer is how many there were."""
        removed = 0
        while rows := await self._sessions.expired_files(before, _LOOKED_UP_AT_ONCE):
            await self._sessions.remove_files([row.id for row in rows])
            await self._in_thread(_unlink, [self._shelf.path(row.session_id, row.stored_as) for row in rows])
            removed += len(rows)
        return removed

    async def recover(self, *, older_than: float = 0.0) -> int:
        """Remove the bytes that have no row; the answer is how many files they were.

        Args:
            older_than: seconds; younger ones may be on their way in, in another process.
        """
        removed, before = 0, time.time() - older_than
        found = self._shelf.found()
        while batch := await self._in_thread(lambda: list(islice(found, _LOOKED_UP_AT_ONCE))):
            kept = await self._sessions.kept_files([file_id for file_id, _ in batch])
            strays = [path for file_id, path in batch if file_id not in kept]
            orphans = await self._in_thread(_of_before, strays, before) if older_than else strays
            await self._in_thread(_unlink, orphans)
            removed += len(orphans)
        await self._in_thread(self._shelf.sweep)
        if removed:
            log.info("uploads.recovered", removed=removed)
        return removed

    async def close(self) -> None:
        """Let what is being kept be kept."""
        if self._closing:
            await asyncio.wait(self._closing)
        self._threads.shutdown(wait=False)

    async def _check_room(self, session_id: str) -> None:
        rows = await self._sessions.list_files(session_id)
        if len(rows) >= self.limits.session_files:
            raise TooLarge(f"a session has at most {self.limits.session_files} files")
        if sum(row.size for row in rows) >= self.limits.session_bytes:
            raise TooLarge(f"the files of a session have at most {self.limits.session_bytes} bytes together")

    async def _keep(self, incoming: Incoming, row: StoredFile) -> File:
        limits = self.limits
        try:
            with disk_errors():
                await self._in_thread(incoming.keep)
            await self._sessions.add_file(row, most_files=limits.session_files, most_bytes=limits.session_bytes)
        except BaseException:
            await self._in_thread(incoming.discard)
            await self._in_thread(self._shelf.remove, row.session_id, row.stored_as)
            raise
        return self._file(row)

    def _file(self, row: StoredFile) -> File:
        return File(row.id, row.name, str(self._shelf.path(row.session_id, row.stored_as)), row.media_type, row.size)

    def _in_thread(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Awaitable[T]:
        return asyncio.get_running_loop().run_in_executor(self._threads, lambda: work(*args, **kwargs))


def _of_before(paths: Sequence[Path], before: float) -> list[Path]:
    old = []
    for path in paths:
        with suppress(FileNotFoundError):
            if path.stat().st_mtime < before:
                old.append(path)
    return old


def _unlink(paths: Sequence[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)
