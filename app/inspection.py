"""A look over an SQLite file before it is used: damage is refused, or at least told, instead of found out by clients.

SQLite mends a damaged write-ahead log by itself, and silently: it keeps what comes before the damage and forgets the
rest. What it kept is compared here with what the file claims to hold.
"""

from __future__ import annotations

import mmap
import sqlite3
import struct
from contextlib import closing
from pathlib import Path
from typing import Final

import structlog

from app.errors import ConfigurationError

log = structlog.get_logger()

_ALWAYS_BELOW: Final = 1 << 30
"""Bytes of a file that is read through at every start, a second's work; a larger one only after an unclean end."""

_BUSY_SECONDS: Final = 10
_HEADER: Final = struct.Struct(">8I")
_FRAME: Final = struct.Struct(">4I")
_FRAME_HEADER_SIZE: Final = 24
_MAGIC: Final = 0x377F0682  # its last bit says in which byte order checksums are made


def inspect(path: Path) -> None:
    """Check the file at `path`, if there is one; a warning tells of commits that are lost. It blocks.

    Raises:
        ConfigurationError: the file is damaged, or no database.
    """
    if not path.exists():
        return
    wal = path.with_name(f"{path.name}-wal")
    unclean = wal.exists() and wal.stat().st_size > 0
    claimed = _last_commit(wal) if unclean else 0
    try:
        with closing(sqlite3.connect(path, timeout=_BUSY_SECONDS)) as connection:
            ((mode,),) = connection.execute("PRAGMA journal_mode").fetchall()
            kept = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()[1] if mode == "wal" else -1
            whole = unclean or path.stat().st_size < _ALWAYS_BELOW
            found = connection.execute("PRAGMA quick_check(1)").fetchone()[0] if whole else "ok"
    except sqlite3.OperationalError as error:  # locked, or not to be opened: not the file's fault
        raise ConfigurationError(f"{path} can't be used: {error}") from error
    except sqlite3.DatabaseError as error:
        found = str(error)
    if found != "ok":
        raise ConfigurationError(
            f"{path} can't be used: {found.splitlines()[-1]}; restore it, or move it away to start without it"
        )
    if claimed is None or 0 <= kept < claimed:
        log.warning(
            "storage.commits_lost",
            file=str(path),
            hint="what was written last is gone; positions beyond what is left get a gap",
        )


def _last_commit(wal: Path) -> int | None:
    """The number of the last frame that a write-ahead log says was committed; None if its beginning is damaged."""
    with wal.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        if len(data) < _HEADER.size:
            return None
        magic, _, page_size, _, *salts, sum_1, sum_2 = _HEADER.unpack_from(data)
        if magic | 1 != _MAGIC | 1 or _checksum(data[:24], big_endian=bool(magic & 1)) != (sum_1, sum_2):
            return None
        size = _FRAME_HEADER_SIZE + page_size
        last = 0
        for number in range(1, (len(data) - _HEADER.size) // size + 1):
            _, pages_after_commit, *frame_salts = _FRAME.unpack_from(data, _HEADER.size + (number - 1) * size)
            if pages_after_commit and frame_salts == salts:  # other salts: left over from before the log began anew
                last = number
        return last


def _checksum(data: bytes, *, big_endian: bool) -> tuple[int, int]:
    first = second = 0
    words = struct.unpack(f"{'>' if big_endian else '<'}{len(data) // 4}I", data)
    for even, odd in zip(words[::2], words[1::2], strict=True):
        first = (first + even + second) & 0xFFFFFFFF
        second = (second + odd + first) & 0xFFFFFFFF
    return first, second
