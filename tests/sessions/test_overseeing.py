"""The runs of everybody, of any kinds, and that none of these lists is found by looking through all that ever ended."""

from itertools import combinations

import pytest
from sqlalchemy import text
from sqlalchemy.dialects import sqlite

from app.sessions.base import Listing, RunRecord, RunStatus, SessionStore
from app.sessions.overseeing import runs_of_all
from app.sessions.sql import SqlSessionStore
from tests.sessions.samples import AT, SECOND, a_run, a_session, an_outcome

pytestmark = pytest.mark.anyio

KINDS = [kinds for count in range(1, len(RunStatus) + 1) for kinds in combinations(RunStatus, count)]
RARE = [kinds for kinds in KINDS if RunStatus.COMPLETED not in kinds]


async def test_runs_of_any_kinds_are_listed_newest_first_by_pages(store: SessionStore) -> None:
    ends = [RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED, RunStatus.INTERRUPTED, RunStatus.RUNNING]
    for number in range(15):
        await store.create_session(a_session(f"s{number}"))
        await store.start_run(f"s{number}", a_run(f"r{number:02}", at=AT + number // 2 * SECOND))
        if (status := ends[number % 5]) is not RunStatus.RUNNING:
            await store.finish_run(f"r{number:02}", an_outcome(status))

    for kinds in KINDS:
        expected = [f"r{n:02}" for n in reversed(range(15)) if ends[n % 5] in kinds]
        assert [run.id for run in await pages(store, kinds)] == expected, kinds


async def pages(store: SessionStore, kinds: tuple[RunStatus, ...]) -> list[RunRecord]:
    """All of a list, by pages of two."""
    page: Listing[RunRecord] = await store.every_run(kinds, 2, None)
    found = [*page.items]
    while page.next is not None:
        page = await store.every_run(kinds, 2, page.next)
        found += page.items
    return found


async def test_what_did_not_complete_is_found_by_an_index_of_its_own(url: str, store: SqlSessionStore) -> None:
    if not url.startswith("sqlite"):
        pytest.skip("PostgreSQL reads a small table whole")
    for kinds in RARE:
        query = runs_of_all(kinds, 50, None).compile(dialect=sqlite.dialect(), compile_kwargs={"literal_binds": True})
        plan = [row.detail for row in await store._database.read(text(f"EXPLAIN QUERY PLAN {query}"))]

        assert not [step for step in plan if step.startswith("SCAN runs") and "runs_active" not in step], plan
        assert ("runs_unsuccessful" in str(plan)) == (not {RunStatus.QUEUED, RunStatus.RUNNING}.issuperset(kinds))
        assert "runs_by_creation" not in str(plan)
