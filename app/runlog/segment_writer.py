"""The SQLite file of SqliteLog as its writer thread sees it: blocking calls, no event loop.

A segment's key is its log's number and its first seq in one integer, so that one B-tree holds each log's segments side
by side and in order. A batch of any size takes the same few statements, and so does a page: at every row that a
statement takes or gives, the thread lets go of the interpreter, and gets it back up to 5 ms later while the event loop
is busy (64 rows: 150 to 220 ms row by row, 16 ms in one statement).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import groupby, islice
from pathlib import Path
from typing import Any, Final, Literal

from attrs import define, frozen
from msgspec import json

from app.errors import ConfigurationError, Fenced, StoreUnavailable

Synchronous = Literal["normal", "full"]

_VERSION: Final = 1
SEQ_BITS: Final = 32
"""How many low bits of a segment's key are its first seq."""

_ROWS: Final = 500
_SCHEMA: Final = f"""
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS logs (
    id INTEGER PRIMARY KEY, run TEXT NOT NULL UNIQUE, tail INTEGER NOT NULL, closed INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS segments (key INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT;
PRAGMA user_version = {_VERSION};
COMMIT;
"""
_LOGS_OF: Final = """
SELECT (SELECT coalesce(max(id), 0) FROM logs), json_group_array(json_array(run, id, tail, closed))
FROM logs WHERE run IN (SELECT value FROM json_each(?))
"""
_PUT_LOGS: Final = (
    "INSERT INTO logs (id, run, tail, closed) VALUES ",
    " ON CONFLICT (id) DO UPDATE SET tail = excluded.tail, closed = excluded.closed",
)
_PUT_SEGMENTS: Final = ("INSERT INTO segments (key, body) VALUES ", "")


@frozen
class Append:
    """An append as it is stored: `count` events in one encoded segment."""

    run_id: str
    first_seq: int
    count: int
    body: bytes
    closed: bool


@frozen
class Drop:
    """The wish to forget a log."""

    run_id: str


Change = Append | Drop


@define(eq=False)
class _Log:
    """A row of `logs`."""

    id: int
    tail: int
    closed: bool


class SegmentWriter:
    """The one connection that writes.

    Args:
        path: the file; it is made if need be.
        synchronous: `normal` survives the death of the process, `full` that of the machine as well (P7.2).

    Attributes:
        commits: how many transactions were committed.

    Raises:
        ConfigurationError: the file can't be opened, or is something else.
    """

    def __init__(self, path: Path, synchronous: Synchronous) -> None:
        self.commits = 0
        try:
            self._connection = connect(path)
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute(f"PRAGMA synchronous = {synchronous}")
            self._connection.execute("PRAGMA journal_size_limit = 67108864")
            (version,) = self._connection.execute("PRAGMA user_version").fetchone()
            if version not in (0, _VERSION):
                raise ConfigurationError(f"{path} was written by another version of Runcast (format {version})")
            self._connection.executescript(_SCHEMA)
        except sqlite3.Error as error:
            raise ConfigurationError(f"{path} can't be used as the event log: {error}") from error

    def commit(self, changes: Sequence[Change]) -> list[Exception | None]:
        """Carry out a batch in one transaction: for each change None, or why it was not made. Never raises."""
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            outcomes = [outcome for kind, group in groupby(changes, type) for outcome in self._apply(kind, group)]
            self._connection.execute("COMMIT")
        except Exception as error:  # noqa: BLE001 - whatever it is, the appends that wait must hear of it
            return self._fail(error, len(changes))
        self.commits += 1
        return outcomes

    def close(self) -> None:
        """Close the connection; what the write-ahead log holds goes into the file."""
        self._connection.close()

    def _fail(self, error: Exception, count: int) -> list[Exception | None]:
        with suppress(sqlite3.Error):
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        failures: list[Exception | None] = []
        for _ in range(count):
            failure = StoreUnavailable(f"the event log could not be written: {error}")
            failure.__cause__ = error
            failures.append(failure)
        return failures

    def _apply(self, kind: type[Change], group: Iterator[Change]) -> list[Exception | None]:
        changes = list(group)
        if kind is Append:
            return self._append([change for change in changes if isinstance(change, Append)])
        for change in changes:
            self._drop(change.run_id)
        return [None] * len(changes)

    def _append(self, appends: Sequence[Append]) -> list[Exception | None]:
        last_id, logs = self._logs_of(appends)
        outcomes: list[Exception | None] = []
        segments: list[tuple[int, bytes]] = []
        touched: dict[str, _Log] = {}
        for append in appends:
            log = logs.get(append.run_id) or _Log(last_id + 1, 0, closed=False)
            if log.closed or log.tail != append.first_seq - 1:
                outcomes.append(
                    Fenced(f"run {append.run_id}: an append at {append.first_seq}, but the log is at {log.tail}")
                )
                continue
            last_id = max(last_id, log.id)
            log.tail += append.count
            log.closed = append.closed
            touched[append.run_id] = logs[append.run_id] = log
            segments.append(((log.id << SEQ_BITS) + append.first_seq, append.body))
            outcomes.append(None)
        self._put(_PUT_LOGS, [(log.id, run_id, log.tail, log.closed) for run_id, log in touched.items()])
        self._put(_PUT_SEGMENTS, segments)
        return outcomes

    def _logs_of(self, appends: Sequence[Append]) -> tuple[int, dict[str, _Log]]:
        run_ids = json.encode([append.run_id for append in appends]).decode()
        last_id, rows = self._connection.execute(_LOGS_OF, (run_ids,)).fetchone()
        return last_id, {run: _Log(id_, tail, bool(closed)) for run, id_, tail, closed in json.decode(rows)}

    def _put(self, statement: tuple[str, str], rows: Sequence[tuple[Any, ...]]) -> None:
        opening, ending = statement
        remaining = iter(rows)
        while chunk := list(islice(remaining, _ROWS)):
            row = f"({','.join('?' * len(chunk[0]))})"
            values = [value for row_values in chunk for value in row_values]
            self._connection.execute(f"{opening}{','.join([row] * len(chunk))}{ending}", values)

    def _drop(self, run_id: str) -> None:
        found = self._connection.execute("DELETE FROM logs WHERE run = ? RETURNING id", (run_id,)).fetchone()
        if found:
            first = found[0] << SEQ_BITS
            self._connection.execute(
                "DELETE FROM segments WHERE key BETWEEN ? AND ?", (first, first + (1 << SEQ_BITS) - 1)
            )


def connect(path: Path) -> sqlite3.Connection:
    """Open a connection that begins and ends its transactions itself."""
    # Opened in one thread, used in another, never in two at once.
    return sqlite3.connect(path, isolation_level=None, check_same_thread=False)
