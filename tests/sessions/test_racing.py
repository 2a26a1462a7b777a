"""Two processes' stores on one database, in each other's way: what must be decided once is decided once."""

import asyncio
import random
from collections import Counter

import pytest

from app.errors import IdempotencyMismatch, QueueFull, RunActive
from app.sessions.base import OnConflict, RunStatus, SessionStore
from app.sessions.sql import SqlSessionStore
from tests.sessions.samples import AT, SECOND, a_run, a_session, an_outcome

pytestmark = pytest.mark.anyio

SESSIONS = ("s0", "s1", "s2")
CONFLICTS: tuple[OnConflict, ...] = ("reject", "queue", "queue", "interrupt")


class Race:
    """Callers that start, end and cancel whatever they find, and what they were told."""

    def __init__(self, stores: tuple[SessionStore, SessionStore], seed: int) -> None:
        self._stores = stores
        self._random = random.Random(seed)
        self.begun: Counter[str] = Counter()
        self.ended: Counter[str] = Counter()
        self.keys: dict[tuple[str, str], set[str]] = {}

    async def start(self, name: str) -> None:
        session_id, store = self._random.choice(SESSIONS), self._random.choice(self._stores)
        key = self._random.choice([None, f"k{self._random.randrange(8)}"])
        new = a_run(name, key=key, on_conflict=self._random.choice(CONFLICTS))
        try:
            started = await store.start_run(session_id, new)
        except (RunActive, QueueFull, IdempotencyMismatch):
            return
        if key is not None:
            self.keys.setdefault((session_id, key), set()).add(started.run.id)
        if started.created and started.run.status is RunStatus.RUNNING:
            self.begun[started.run.id] += 1

    async def end(self, number: int) -> None:
        session_id, store = self._random.choice(SESSIONS), self._random.choice(self._stores)
        active = await store.get_active_run(session_id)
        waiting = [each.run_id for each in await store.waiting_runs(session_id)]
        if found := [*waiting[:1], *([active.id] * 3 if active else [])]:
            await self.finish(store, self._random.choice(found), number)

    async def finish(self, store: SessionStore, run_id: str, number: int) -> None:
        ended = await store.finish_run(run_id, an_outcome(at=AT + number * SECOND))
        if ended is not None:
            self.ended[run_id] += 1
            if ended.next is not None:
                self.begun[ended.next.id] += 1


@pytest.mark.parametrize("seed", range(2))
async def test_whoever_comes_first_the_decisions_are_one(
    store: SqlSessionStore, other_store: SqlSessionStore, seed: int
) -> None:
    race = Race((store, other_store), seed)
    for session_id in SESSIONS:
        await store.create_session(a_session(session_id))
    async with asyncio.timeout(60):
        for lap in range(8):
            starts = [race.start(f"r{lap}-{n}") for n in range(10)]
            ends = [race.end(lap * 10 + n) for n in range(10)]
            await asyncio.gather(*starts, *ends)
    for session_id in SESSIONS:
        while (active := await store.get_active_run(session_id)) is not None:
            assert active.status is RunStatus.RUNNING, "nobody let it begin"
            await race.finish(other_store, active.id, 1000)
        numbers = await store.run_numbers(session_id)
        assert [number for number, _ in numbers] == list(range(1, len(numbers) + 1))
        runs = (await store.list_runs(session_id, 1000, None)).items
        assert {run.id for run in runs} == {run_id for _, run_id in numbers}
        assert all(race.ended[run.id] == 1 for run in runs)
        assert all(race.begun[run.id] == (run.started_at is not None) for run in runs)
    assert sum(race.ended.values()) > 40
    assert len(race.keys) > 10
    assert all(len(run_ids) == 1 for run_ids in race.keys.values())
