"""The SQLite file of SqliteLog as its reader threads see it: blocking calls, no event loop."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from operator import itemgetter
from pathlib import Path
from typing import Any, Final

from msgspec import json

from app.errors import Gap, StoreUnavailable
from app.runlog.base import Entry, Page
from app.runlog.codec import parse, restore
from app.runlog.segment_writer import SEQ_BITS, connect

_PAGE: Final = """
SELECT tail, closed, CASE WHEN :after < tail THEN (
    SELECT CAST('[' || group_concat('[' || key || ',' || CAST(body AS TEXT) || ']') || ']' AS BLOB) FROM segments
    WHERE key BETWEEN (
        SELECT max(key) FROM segments WHERE key BETWEEN (logs.id << 32) + 1 AND (logs.id << 32) + :after + 1
    ) AND (logs.id << 32) + min(tail, :after + :limit)
) END
FROM logs WHERE run = :run
"""


class SegmentReader:
    """A connection that only reads; for one thread at a time. Each method sees one state of the file.

    Raises:
        StoreUnavailable: from every method, if the file can't be read or is damaged.
    """

    def __init__(self, path: Path) -> None:
        self._connection = connect(path)
        self._connection.execute("PRAGMA query_only = ON")

    def page(self, run_id: str, after: int, limit: int) -> Page:
        """As `RunLog.read`; raises Gap as well."""
        # SQLite's integers end somewhere; a position that a client made up need not.
        sought = max(-1, min(after, 1 << SEQ_BITS))
        rows = self._fetch(_PAGE, {"run": run_id, "after": sought, "limit": limit})
        tail, closed, found = rows[0] if rows else (0, False, None)
        if not 0 <= after <= tail:
            raise Gap(1, tail)
        entries = _cut(parse(found or b"[]"), after, limit)
        if len(entries) != min(limit, tail - after):
            raise StoreUnavailable(f"the event log of run {run_id} has a hole after {after}")
        return Page(entries, tail, bool(closed))

    def state(self, run_id: str) -> tuple[int, bool]:
        """A log's tail, and whether it is closed."""
        rows = self._fetch("SELECT tail, closed FROM logs WHERE run = ?", (run_id,))
        return (rows[0][0], bool(rows[0][1])) if rows else (0, False)

    def runs(self) -> list[str]:
        """The ids of all runs, in the order of their first append."""
        ((found,),) = self._fetch("SELECT json_group_array(json_array(id, run)) FROM logs", ())
        return [run_id for _, run_id in sorted(json.decode(found))]

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _fetch(self, statement: str, values: Any) -> list[Any]:
        try:
            with closing(self._connection.execute(statement, values)) as cursor:
                return cursor.fetchall()
        except sqlite3.Error as error:
            raise StoreUnavailable(f"the event log could not be read: {error}") from error


def _cut(segments: list[tuple[int, list[Any]]], after: int, limit: int) -> tuple[Entry, ...]:
    """The entries of `[key, events]` pairs, in any order, that come after `after`, up to the first hole."""
    items: list[Any] = []
    next_seq = 0
    for key, events in sorted(segments, key=itemgetter(0)):
        seq = key & ((1 << SEQ_BITS) - 1)
        if items and seq != next_seq:
            break
        items += events
        next_seq = seq + len(events)
    start = after + 1 - (next_seq - len(items))
    return tuple(Entry(seq, restore(item)) for seq, item in enumerate(items[start : start + limit], after + 1))
