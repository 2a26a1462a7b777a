"""The SessionStore in memory: what SqlSessionStore promises at a tenth of its cost.

`tests/sessions/test_store.py` runs over it as over the real one. A call is one transaction, carried out whole whatever
becomes of its caller, a while after it was made and a while before its answer.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

from attrs import evolve

from app.errors import IdempotencyMismatch, QueueFull, RunActive, RunNotFound, SessionNotFound, TooLarge
from app.sessions.base import (
    MAX_WAITING,
    BegunRun,
    Ended,
    Expired,
    Listing,
    NewRun,
    Outcome,
    Run,
    RunRecord,
    RunStatus,
    Session,
    SessionStore,
    Started,
    StoredFile,
    Unfinished,
    Waiting,
)
from app.sessions.paging import by_creation, by_number, decode_cursor, page
from app.sessions.starting import title_of
from tests.simulation.memory_tables import ACTIVE, Row, Tables

T = TypeVar("T")


def _in_utc(at: datetime) -> datetime:
    if at.tzinfo is None:
        raise ValueError(f"{at!r} has no time zone")
    return at.astimezone(UTC)


def _admit(line: list[Run], new: NewRun) -> None:
    waiting = [run for run in line if run.status is RunStatus.QUEUED]
    if not line:
        return
    if new.on_conflict == "reject":
        raise RunActive(f"run {line[0].id} is in progress")
    if len(waiting) >= MAX_WAITING + (new.on_conflict == "interrupt"):
        raise QueueFull("as many as may are waiting")


async def at_once() -> None:
    """The pause of a store that never waits."""
    await asyncio.sleep(0)


class MemorySessions(SessionStore):
    """See the port for what each method promises.

    Args:
        pause: waited for before and after each transaction.
        admit: called before each transaction, and raises if it is not to be.
    """

    def __init__(
        self,
        tables: Tables,
        pause: Callable[[], Awaitable[None]] = at_once,
        admit: Callable[[], None] = lambda: None,
    ) -> None:
        self._tables = tables
        self._pause = pause
        self._admit = admit
        self._going_on: set[asyncio.Task[Any]] = set()

    async def create_session(self, session: Session) -> None:
        def work() -> None:
            created, updated = _in_utc(session.created_at), _in_utc(session.updated_at)
            assert self._tables.sessions.get(session.id, session) == session
            self._tables.sessions[session.id] = evolve(session, created_at=created, updated_at=updated)
            self._tables.states[session.id] = "{}"

        await self._whole(work)

    async def get_session(self, principal: str, session_id: str) -> Session | None:
        def work() -> Session | None:
            found = self._tables.kept(session_id)
            return self._tables.shown(found) if found and found.principal == principal else None

        return await self._whole(work)

    async def list_sessions(self, principal: str, limit: int, cursor: str | None) -> Listing[Session]:
        before = decode_cursor(cursor, by_creation) if cursor is not None else None

        def key(session: Session) -> tuple[Any, ...]:
            return session.created_at, session.id

        def work() -> Listing[Session]:
            kept = (each for each in self._tables.sessions.values() if each.id not in self._tables.deleted)
            theirs = (each for each in kept if each.principal == principal)
            due = [self._tables.shown(each) for each in theirs if before is None or key(each) < before]
            return page(sorted(due, key=key, reverse=True), limit, key)

        return await self._whole(work)

    async def delete_session(self, principal: str, session_id: str, at: datetime) -> bool:
        def work() -> bool:
            found = self._tables.sessions.get(session_id)
            if found is None or found.principal != principal or self._tables.deleted.get(session_id, at) != at:
                return False
            self._tables.deleted[session_id] = _in_utc(at)
            return True

        return await self._whole(work)

    async def deleted_sessions(self, before: datetime) -> Sequence[str]:
        def work() -> list[str]:
            deleted = sorted(self._tables.deleted.items(), key=lambda item: item[1])
            return [session_id for session_id, at in deleted if at < before]

        return await self._whole(work)

    async def holds_session(self, session_id: str) -> bool:
        return await self._whole(lambda: self._tables.kept(session_id) is not None)

    async def remove_session(self, session_id: str) -> None:
        def work() -> None:
            if session_id not in self._tables.sessions:
                return
            for row in self._tables.of(session_id):
                del self._tables.runs[row.run.id]
            for file in self._tables.files_of(session_id):
                del self._tables.files[file.id]
            del self._tables.sessions[session_id], self._tables.states[session_id]
            self._tables.deleted.pop(session_id, None)

        await self._whole(work)

    async def get_state(self, session_id: str) -> dict[str, Any]:
        state: dict[str, Any] = json.loads(await self._whole(lambda: self._tables.states.get(session_id, "{}")))
        return state

    async def start_run(self, session_id: str, new: NewRun) -> Started:
        return await self._whole(lambda: self._start(session_id, new))

    def _start(self, session_id: str, new: NewRun) -> Started:
        tables = self._tables
        session = tables.kept(session_id)
        if session is None:
            raise SessionNotFound("no such session")
        if (seen := self._seen(session_id, new)) is not None and seen.id != new.id:
            return Started(seen, created=False)
        line = tables.line(session_id)
        if any(each.id == new.id for each in line):
            return self._answer(tables.runs[new.id].run, new, line)
        _admit(line, new)
        number = self._make_room(session_id, new)
        run = Run(
            id=new.id,
            session_id=session_id,
            number=number,
            status=RunStatus.QUEUED if line else RunStatus.RUNNING,
            content=new.content,
            images=new.images,
            files=new.files,
            created_at=new.at,
            started_at=None if line else max([new.at, *tables.ends(session_id)]),
            host=new.host,
        )
        tables.runs[new.id] = Row(run, new)
        title = title_of(new.content) if session.title is None else session.title
        tables.sessions[session_id] = evolve(session, title=title, updated_at=new.at)
        return self._answer(run, new, line)

    def _answer(self, run: Run, new: NewRun, line: Sequence[Run]) -> Started:
        if run.status is not RunStatus.QUEUED:
            return Started(run, created=True)
        at_work = next((each.id for each in line if each.status is RunStatus.RUNNING), None)
        return Started(
            run,
            created=True,
            waiting=tuple(each for each in self._tables.waiting(run.session_id) if each.number >= run.number),
            interrupts=at_work if new.on_conflict == "interrupt" else None,
        )

    def _seen(self, session_id: str, new: NewRun) -> Run | None:
        for row in self._tables.of(session_id) if new.idempotency_key is not None else ():
            if row.new.idempotency_key == new.idempotency_key:
                if row.new.body_hash != new.body_hash:
                    raise IdempotencyMismatch("this idempotency key was used with another body")
                return row.run
        return None

    def _make_room(self, session_id: str, new: NewRun) -> int:
        free = max((row.run.number for row in self._tables.of(session_id)), default=0) + 1
        if new.on_conflict == "interrupt":
            for each in reversed(self._tables.waiting(session_id)):
                row = self._tables.runs[each.run_id]
                row.run, free = evolve(row.run, number=free), row.run.number
        return free

    async def get_run(self, session_id: str, run_id: str) -> Run | None:
        def work() -> Run | None:
            row = self._tables.runs.get(run_id)
            return row.run if row and row.run.session_id == session_id else None

        return await self._whole(work)

    async def get_active_run(self, session_id: str) -> Run | None:
        return await self._whole(lambda: self._tables.active(session_id))

    async def list_runs(self, session_id: str, limit: int, cursor: str | None) -> Listing[Run]:
        after = decode_cursor(cursor, by_number)[0] if cursor is not None else 0

        def work() -> Listing[Run]:
            due = [row.run for row in self._tables.of(session_id) if row.run.number > after]
            return page(due, limit, lambda run: (run.number,))

        return await self._whole(work)

    async def every_run(self, statuses: Collection[RunStatus], limit: int, cursor: str | None) -> Listing[RunRecord]:
        before = decode_cursor(cursor, by_creation) if cursor is not None else None

        def work() -> Listing[RunRecord]:
            found = [self._record(row) for row in self._tables.runs.values() if row.run.status in statuses]
            found = [run for run in found if before is None or (run.created_at, run.id) < before]
            found.sort(key=lambda run: (run.created_at, run.id), reverse=True)
            return page(found, limit, lambda run: (run.created_at, run.id))

        return await self._whole(work)

    def _record(self, row: Row) -> RunRecord:
        run, session = row.run, self._tables.sessions[row.run.session_id]
        return RunRecord(
            id=run.id,
            session_id=run.session_id,
            number=run.number,
            status=run.status,
            principal=session.principal,
            profile=session.profile,
            host=row.new.host,
            created_at=run.created_at,
            started_at=run.started_at,
            ended_at=run.ended_at,
            last_seq=run.last_seq,
            code=run.error and run.error.code,
            reason=row.reason,
        )

    async def run_numbers(self, session_id: str) -> Sequence[tuple[int, str]]:
        return await self._whole(lambda: [(row.run.number, row.run.id) for row in self._tables.of(session_id)])

    async def unarchived_runs(self, session_id: str) -> Sequence[str]:
        return await self._whole(lambda: [row.run.id for row in self._tables.of(session_id) if row.archive is None])

    async def begun_runs(self, session_id: str) -> Sequence[BegunRun]:
        def work() -> list[BegunRun]:
            rows = [row.run for row in self._tables.of(session_id)]
            first = min((run.number for run in rows if run.status in ACTIVE), default=None)
            begun = [run for run in rows if run.status is not RunStatus.QUEUED]
            return [BegunRun(run.number, run.id, run.trimmed) for run in begun if first is None or run.number <= first]

        return await self._whole(work)

    async def latest_numbers(self, session_ids: Collection[str]) -> Mapping[str, int]:
        def latest(session_id: str) -> int:
            runs = (row.run for row in self._tables.of(session_id))
            return max((run.number for run in runs if run.status is not RunStatus.QUEUED), default=0)

        def work() -> dict[str, int]:
            return {each: latest(each) for each in session_ids if each in self._tables.sessions}

        return await self._whole(work)

    async def waiting_runs(self, session_id: str) -> Sequence[Waiting]:
        def work() -> list[Waiting]:
            if self._tables.kept(session_id) is None:
                raise SessionNotFound("no such session")
            return self._tables.waiting(session_id)

        return await self._whole(work)

    async def finish_run(self, run_id: str, outcome: Outcome, *, promote: bool = True) -> Ended | None:
        return await self._whole(lambda: self._finish(run_id, outcome, promote=promote))

    def _finish(self, run_id: str, outcome: Outcome, *, promote: bool) -> Ended | None:
        row = self._tables.runs.get(run_id)
        if row is None:
            return None
        if row.run.status not in ACTIVE:
            return self._ended_before(row, outcome, promote=promote)
        row.run = evolve(
            row.run,
            status=outcome.status,
            ended_at=outcome.at,
            last_seq=outcome.last_seq,
            output=outcome.output,
            error=outcome.error,
        )
        row.terminal, row.reason = outcome.terminal, outcome.reason
        session_id = row.run.session_id
        self._tables.sessions[session_id] = evolve(self._tables.sessions[session_id], updated_at=outcome.at)
        if outcome.state is not None:
            self._tables.states[session_id] = json.dumps(outcome.state)
        promote = promote and session_id not in self._tables.deleted
        return Ended(self._promote(session_id, outcome.at) if promote else None)

    def _ended_before(self, row: Row, outcome: Outcome, *, promote: bool) -> Ended | None:
        if (row.terminal, row.run.ended_at, row.run.last_seq) != (outcome.terminal, outcome.at, outcome.last_seq):
            return None
        active = self._tables.active(row.run.session_id) if promote else None
        begun = active is not None and active.status is RunStatus.RUNNING and active.started_at == outcome.at
        return Ended(active if begun else None)

    def _promote(self, session_id: str, at: datetime) -> Run | None:
        active = self._tables.active(session_id)
        if active is None or active.status is RunStatus.RUNNING:
            return None
        row = self._tables.runs[active.id]
        row.run = evolve(row.run, status=RunStatus.RUNNING, started_at=at)
        return row.run

    async def hosts_with_unfinished_runs(self) -> frozenset[str]:
        return await self._whole(
            lambda: frozenset(row.run.host for row in self._tables.runs.values() if row.archive is None)
        )

    async def unfinished_runs(
        self, hosts: Collection[str] | None = None, *, ended_before: datetime | None = None
    ) -> Sequence[Unfinished]:
        def is_due(run: Run) -> bool:
            return ended_before is None or (run.ended_at is not None and run.ended_at < ended_before)

        def work() -> list[Unfinished]:
            rows = [row for row in self._tables.runs.values() if row.archive is None]
            rows = [row for row in rows if (hosts is None or row.run.host in hosts) and is_due(row.run)]
            rows.sort(key=lambda row: (row.run.created_at, row.run.id))
            return [Unfinished(row.run, row.terminal) for row in rows]

        return await self._whole(work)

    async def put_archive(self, run_id: str, body: bytes, *, trimmed: bool = False) -> None:
        def work() -> None:
            if run_id not in self._tables.runs:
                raise RunNotFound("no such run")
            row = self._tables.runs[run_id]
            row.archive, row.run = body, evolve(row.run, trimmed=trimmed)

        await self._whole(work)

    async def awaits_archive(self, run_id: str) -> bool:
        def work() -> bool:
            row = self._tables.runs.get(run_id)
            return row is not None and row.archive is None

        return await self._whole(work)

    async def get_archive(self, run_id: str) -> bytes | None:
        def work() -> bytes | None:
            row = self._tables.runs.get(run_id)
            return row.archive if row else None

        return await self._whole(work)

    async def add_file(self, file: StoredFile, *, most_files: int, most_bytes: int) -> None:
        def work() -> None:
            if self._tables.kept(file.session_id) is None:
                raise SessionNotFound("no such session")
            held = [each for each in self._tables.files_of(file.session_id) if each.id != file.id]
            if len(held) >= most_files:
                raise TooLarge(f"a session has at most {most_files} files")
            if sum(each.size for each in held) + file.size > most_bytes:
                raise TooLarge(f"the files of a session have at most {most_bytes} bytes together")
            self._tables.files[file.id] = file

        await self._whole(work)

    async def list_files(self, session_id: str) -> Sequence[StoredFile]:
        return await self._whole(lambda: self._tables.files_of(session_id))

    async def kept_files(self, ids: Sequence[str]) -> frozenset[str]:
        return await self._whole(lambda: frozenset(ids) & self._tables.files.keys())

    async def expired_runs(self, before: datetime, limit: int, after: Expired | None = None) -> Sequence[Expired]:
        start = (after.session_id, after.number) if after else ("", 0)

        def work() -> list[Expired]:
            found = [
                Expired(session_id, row.run.number, row.run.id)
                for session_id in sorted(self._tables.sessions)
                for row in self._tables.expired(session_id, before)
            ]
            return [each for each in found if (each.session_id, each.number) > start][:limit]

        return await self._whole(work)

    async def expired_files(self, before: datetime, limit: int) -> Sequence[StoredFile]:
        def work() -> list[StoredFile]:
            return [file for file in self._tables.files.values() if self._tables.is_left(file, before)][:limit]

        return await self._whole(work)

    async def remove_files(self, ids: Sequence[str]) -> None:
        def work() -> None:
            for file_id in ids:
                self._tables.files.pop(file_id, None)

        await self._whole(work)

    async def check(self) -> None:
        await self._whole(lambda: None)

    async def close(self) -> None:
        await asyncio.gather(*self._going_on, return_exceptions=True)

    async def _whole(self, work: Callable[[], T]) -> T:
        task = asyncio.create_task(self._transact(work))
        self._going_on.add(task)
        task.add_done_callback(self._end)
        return await asyncio.shield(task)

    def _end(self, task: asyncio.Task[Any]) -> None:
        self._going_on.discard(task)
        if not task.cancelled():
            task.exception()

    async def _transact(self, work: Callable[[], T]) -> T:
        await self._pause()
        self._admit()
        answer = work()
        await self._pause()
        return answer
