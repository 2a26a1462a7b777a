"""Uploaded files and what has expired, as the SessionStore port promises, on real databases."""

import asyncio
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from app.errors import SessionNotFound, TooLarge
from app.sessions.base import Expired, NewRun, Outcome, RunStatus, Session, SessionStore, StoredFile
from tests.sessions.opening import STORES

pytestmark = pytest.mark.anyio

AT = datetime.fromisoformat("2026-03-04T05:06:07.891011+00:00")
DAY = timedelta(days=1)


@pytest.fixture(params=STORES)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a new, empty store is."""
    return STORES[request.param](tmp_path)


def a_file(file_id: str = "f1", session_id: str = "s", size: int = 10, at: datetime = AT) -> StoredFile:
    return StoredFile(file_id, session_id, 'ünï"\\.txt', f"{file_id}.txt", "text/plain", size, at)


async def a_session(store: SessionStore, session_id: str = "s", at: datetime = AT) -> None:
    await store.create_session(Session(session_id, "ann", "demo", None, at, at))


async def add(store: SessionStore, file: StoredFile, most_files: int = 100, most_bytes: int = 10**15) -> None:
    await store.add_file(file, most_files=most_files, most_bytes=most_bytes)


async def an_archived_run(store: SessionStore, number: int, ended: datetime, session_id: str = "s") -> Expired:
    run_id = f"{session_id}-r{number}"
    started = await store.start_run(session_id, NewRun(run_id, "Hi", 0, (), host="h", at=AT))
    assert started.run.number == number
    await store.finish_run(run_id, Outcome(RunStatus.COMPLETED, b"", 2, "Ho", ended))
    await store.put_archive(run_id, b"whole")
    return Expired(session_id, number, run_id)


async def test_a_file_is_found_as_it_was_added_oldest_first(store: SessionStore) -> None:
    await a_session(store)
    later, large = a_file("f2", at=AT + DAY), a_file("f1", size=2**40)
    for file in (later, large):
        await add(store, file)
    assert await store.list_files("s") == [large, later]
    assert await store.list_files("t") == []
    assert await store.kept_files(["f1", "f3"]) == {"f1"}
    assert await store.kept_files([]) == frozenset()


async def test_files_are_refused_over_their_number_or_their_bytes_together(store: SessionStore) -> None:
    await a_session(store)
    await add(store, a_file("f1", size=10), 2, 20)
    with pytest.raises(TooLarge, match="at most 20 bytes together"):
        await add(store, a_file("f2", size=11), 2, 20)
    await add(store, a_file("f2", size=10), 2, 20)
    with pytest.raises(TooLarge, match="at most 2 files"):
        await add(store, a_file("f3", size=0), 2, 20)
    assert [file.id for file in await store.list_files("s")] == ["f1", "f2"]


async def test_a_file_that_is_added_again_is_there_once(store: SessionStore) -> None:
    await a_session(store)
    for _ in range(2):
        await add(store, a_file(), most_files=1)
    assert await store.list_files("s") == [a_file()]


async def test_of_many_uploads_at_once_so_many_are_kept_as_may(store: SessionStore, other_store: SessionStore) -> None:
    await a_session(store)
    stores = (store, other_store)
    adding = [add(stores[n % 2], a_file(f"f{n}"), 3) for n in range(10)]
    outcomes = await asyncio.gather(*adding, return_exceptions=True)
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["NoneType"] * 3 + ["TooLarge"] * 7


async def test_a_file_of_no_session_is_refused_and_files_go_with_theirs(store: SessionStore) -> None:
    with pytest.raises(SessionNotFound):
        await add(store, a_file())
    for session_id in ("s", "t"):
        await a_session(store, session_id)
        await add(store, a_file(f"in {session_id}", session_id))
    await store.delete_session("ann", "s", AT)
    with pytest.raises(SessionNotFound):
        await add(store, a_file("late", "s"))
    assert await store.kept_files(["in s", "in t", "late"]) == {"in s", "in t"}
    await store.remove_session("s")
    assert await store.kept_files(["in s", "in t"]) == {"in t"}


async def test_files_expire_with_their_session_not_by_their_own_age_alone(store: SessionStore) -> None:
    cases: dict[str, Any] = {"quiet": AT, "touched": AT, "fresh file": AT, "running": AT}
    for session_id, at in cases.items():
        await a_session(store, session_id, at)
        await add(store, a_file(session_id, session_id, at=AT + 3 * DAY if session_id == "fresh file" else AT))
    await an_archived_run(store, 1, AT + 3 * DAY, "touched")
    await store.start_run("running", NewRun("r", "Hi", 0, (), host="h", at=AT))
    assert await store.expired_files(AT, 10) == []
    assert [file.id for file in await store.expired_files(AT + 2 * DAY, 10)] == ["quiet"]
    assert len(await store.expired_files(AT + 9 * DAY, 2)) == 2
    await store.remove_files(["quiet", "nothing"])
    assert await store.expired_files(AT + 2 * DAY, 10) == []


async def test_runs_expire_by_their_end_in_order_by_pages(store: SessionStore) -> None:
    for session_id in ("s", "t"):
        await a_session(store, session_id)
    runs = [await an_archived_run(store, number, AT + number * DAY, "s") for number in (1, 2, 3)]
    runs += [await an_archived_run(store, 1, AT, "t")]
    assert await store.expired_runs(AT, 10) == []
    assert await store.expired_runs(AT + 2 * DAY, 10) == [runs[0], runs[3]]
    assert await store.expired_runs(AT + 9 * DAY, 2) == runs[:2]
    assert await store.expired_runs(AT + 9 * DAY, 2, runs[1]) == runs[2:]
    await store.put_archive(runs[0].run_id, b"rest", trimmed=True)
    assert await store.expired_runs(AT + 2 * DAY, 10) == [runs[3]]
    begun = [run for session in "st" for run in await store.begun_runs(session)]
    assert [run.id for run in begun if run.trimmed] == [runs[0].run_id]
    rows = [await store.get_run(run.session_id, run.run_id) for run in runs]
    assert [row.trimmed for row in rows if row is not None] == [True, False, False, False]
    assert await store.get_archive(runs[0].run_id) == b"rest"
    found = await store.get_run("s", runs[0].run_id)
    assert found is not None
    assert evolve(found, ended_at=None).output == "Ho"


async def test_a_run_behind_one_that_may_not_be_trimmed_may_not_either(store: SessionStore) -> None:
    await a_session(store)
    first = await an_archived_run(store, 1, AT + 5 * DAY)
    second = await an_archived_run(store, 2, AT + DAY)
    assert await store.expired_runs(AT + 2 * DAY, 10) == []
    assert await store.expired_runs(AT + 6 * DAY, 10) == [first, second]
    third = await store.start_run("s", NewRun("r3", "Hi", 0, (), host="h", at=AT))
    assert await store.finish_run(third.run.id, Outcome(RunStatus.COMPLETED, b"", 2, "Ho", AT))
    await an_archived_run(store, 4, AT)
    assert await store.expired_runs(AT + 6 * DAY, 10) == [first, second]  # the third is not archived yet
