"""The transaction that keeps an uploaded file's row, within what its session may have."""

from __future__ import annotations

import attrs
from sqlalchemy import func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.errors import SessionNotFound, TooLarge
from app.sessions.base import StoredFile
from app.sessions.tables import files, kept, sessions


async def add_file(connection: AsyncConnection, file: StoredFile, *, most_files: int, most_bytes: int) -> None:
    """Carry out `SessionStore.add_file` in the connection's transaction."""
    # The lock makes the uploads of one session wait for each other on PostgreSQL, so that each counts the others.
    locked = select(sessions.c.id).where(sessions.c.id == file.session_id, kept).with_for_update()
    if await connection.scalar(locked) is None:
        raise SessionNotFound("no such session")
    held = select(func.count().label("number"), func.coalesce(func.sum(files.c.size), 0).label("size"))
    row = (await connection.execute(held.where(files.c.session_id == file.session_id, files.c.id != file.id))).one()
    if row.number >= most_files:
        raise TooLarge(f"a session has at most {most_files} files")
    if row.size + file.size > most_bytes:
        raise TooLarge(f"the files of a session have at most {most_bytes} bytes together")
    await connection.execute(insert(files).values(attrs.asdict(file)))
