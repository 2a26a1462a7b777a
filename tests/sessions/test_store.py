"""What the SessionStore port promises, on real databases, and on what simulations use in their place."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, timedelta, timezone
from itertools import count
from pathlib import Path

import anyio
import pytest
from attrs import evolve
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from app.errors import IdempotencyMismatch, InvalidMessage, RunActive, RunNotFound, SessionNotFound
from app.events import FileRef
from app.sessions.base import (
    Ended,
    Listing,
    NewRun,
    Outcome,
    Run,
    RunError,
    RunStatus,
    SessionStore,
    Started,
    Unfinished,
)
from app.sessions.rows import of_new_run
from app.sessions.sql import SqlSessionStore
from app.sessions.tables import runs
from tests.sessions.opening import STORES, open_store
from tests.sessions.samples import AT, SECOND, a_run, a_session, an_outcome, finished

pytestmark = pytest.mark.anyio

one_store_for_all_examples = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
fresh = (f"{number:04}" for number in count())


@pytest.fixture(params=STORES)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a new, empty store is."""
    return STORES[request.param](tmp_path)


async def all_at_once(starts: Iterable[Awaitable[Started]]) -> list[Started | BaseException]:
    async with asyncio.timeout(60):
        return await asyncio.gather(*starts, return_exceptions=True)


async def walk(read: Callable[[str | None], Awaitable[Listing]]) -> tuple[list, list[int]]:
    """Every item over all pages, and each page's length."""
    items, lengths, cursor = [], [], None
    while True:
        listing = await read(cursor)
        items += listing.items
        lengths.append(len(listing.items))
        cursor = listing.next
        if cursor is None:
            return items, lengths


# Sessions


@pytest.mark.parametrize("title", [None, "Plans", ""])
async def test_a_session_is_found_as_it_was_created(store: SessionStore, title: str | None) -> None:
    session = a_session(title=title)
    await store.create_session(session)
    assert await store.get_session("ann", "s") == session


async def test_a_session_of_another_principal_does_not_exist(store: SessionStore) -> None:
    await store.create_session(a_session(principal="ann"))
    assert await store.get_session("bob", "s") is None
    assert (await store.list_sessions("bob", 10, None)).items == ()
    assert not await store.delete_session("bob", "s", AT)
    assert await store.get_session("ann", "s") is not None


async def test_times_come_back_in_utc_to_the_microsecond(store: SessionStore) -> None:
    elsewhere = AT.astimezone(timezone(timedelta(hours=5, minutes=45)))
    await store.create_session(a_session(at=elsewhere))
    found = await store.get_session("ann", "s")
    assert found is not None
    assert (found.created_at, found.created_at.tzinfo) == (AT, UTC)


async def test_a_time_without_a_zone_is_refused(store: SessionStore) -> None:
    with pytest.raises(Exception, match="has no time zone"):
        await store.create_session(a_session(at=AT.replace(tzinfo=None)))


async def test_deleting_a_session_removes_its_runs_and_archives_and_no_others(store: SessionStore) -> None:
    for session_id, run_id in (("s", "r1"), ("t", "r2")):
        await store.create_session(a_session(session_id))
        await finished(store, session_id, a_run(run_id))
        await store.put_archive(run_id, b"log")
    await store.remove_session("s")
    assert await store.get_session("ann", "s") is None
    assert (await store.get_run("s", "r1"), await store.get_archive("r1")) == (None, None)
    assert [await store.awaits_archive(each) for each in ("r1", "r2", "nobody")] == [False, False, False]
    assert (await store.list_runs("s", 10, None)).items == ()
    assert (await store.get_run("t", "r2"), await store.get_archive("r2")) != (None, None)


async def test_a_deleted_session_is_found_by_nobody_and_starts_nothing_until_it_is_removed(store: SessionStore) -> None:
    for session_id in ("s", "t"):
        await store.create_session(a_session(session_id))
    await store.start_run("s", a_run("running"))
    await store.start_run("s", a_run("waiting", on_conflict="queue"))
    assert await store.delete_session("ann", "s", AT)
    assert not await store.delete_session("ann", "s", AT + SECOND)
    assert await store.get_session("ann", "s") is None
    assert [each.id for each in (await store.list_sessions("ann", 10, None)).items] == ["t"]
    assert [await store.holds_session(each) for each in ("s", "t", "nowhere")] == [False, True, False]
    assert await store.latest_numbers(["s", "t", "nowhere"]) == {"s": 1, "t": 0}
    with pytest.raises(SessionNotFound):
        await store.start_run("s", a_run("late", on_conflict="queue"))
    assert await store.finish_run("running", an_outcome()) == Ended()
    assert [run_id for _, run_id in await store.run_numbers("s")] == ["running", "waiting"]
    assert [await store.awaits_archive(each) for each in ("running", "waiting")] == [True, True]
    assert await store.unarchived_runs("s") == ["running", "waiting"]
    assert await store.waiting_runs("t") == []
    for session_id in ("s", "nowhere"):
        with pytest.raises(SessionNotFound):
            await store.waiting_runs(session_id)
    await store.put_archive("running", b"log")
    assert await store.unarchived_runs("s") == ["waiting"]
    assert await store.deleted_sessions(AT) == []
    assert await store.deleted_sessions(AT + SECOND) == ["s"]
    await store.remove_session("s")
    assert await store.deleted_sessions(AT + SECOND) == []
    assert await store.run_numbers("s") == []


async def test_deleting_a_session_that_is_not_there_does_nothing(store: SessionStore) -> None:
    assert not await store.delete_session("ann", "nowhere", AT)
    await store.remove_session("nowhere")


# Starting


async def test_a_started_run_runs_and_is_found_as_it_was_asked_for(store: SessionStore) -> None:
    await store.create_session(a_session())
    files = (FileRef(id="f1", name="a.txt"), FileRef(id="f2", name='"ü".pdf'))
    new = NewRun(id="r1", content="Look", images=2, files=files, host="h", at=AT)
    started = await store.start_run("s", new)
    expected = Run(
        id="r1",
        session_id="s",
        number=1,
        status=RunStatus.RUNNING,
        content="Look",
        images=2,
        files=files,
        created_at=AT,
        started_at=AT,
        host="h",
    )
    assert started == Started(run=expected, created=True)
    assert await store.get_run("s", "r1") == expected
    assert await store.get_active_run("s") == expected


async def test_a_run_is_found_through_its_own_session_only(store: SessionStore) -> None:
    for session_id in ("s", "t"):
        await store.create_session(a_session(session_id))
    await store.start_run("s", a_run())
    assert await store.get_run("t", "r1") is None
    assert await store.get_active_run("t") is None


async def test_runs_are_numbered_by_session(store: SessionStore) -> None:
    for session_id in ("s", "t"):
        await store.create_session(a_session(session_id))
    for session_id, run_id in (("s", "a"), ("t", "b"), ("s", "c"), ("s", "d")):
        await finished(store, session_id, a_run(run_id))
    assert list(await store.run_numbers("s")) == [(1, "a"), (2, "c"), (3, "d")]
    assert list(await store.run_numbers("t")) == [(1, "b")]


async def test_a_session_that_is_gone_starts_nothing(store: SessionStore) -> None:
    with pytest.raises(SessionNotFound):
        await store.start_run("nowhere", a_run())


async def test_a_second_run_is_refused_while_one_is_active(store: SessionStore) -> None:
    await store.create_session(a_session())
    await store.start_run("s", a_run("r1"))
    with pytest.raises(RunActive, match="r1"):
        await store.start_run("s", a_run("r2"))
    assert await store.get_run("s", "r2") is None
    await store.finish_run("r1", an_outcome())
    assert (await store.start_run("s", a_run("r2"))).run.number == 2


async def test_a_run_that_waits_is_active_too(store: SessionStore) -> None:
    await store.create_session(a_session())
    await put_row(store, a_run("waits"), number=1, status="queued")
    with pytest.raises(RunActive, match="waits"):
        await store.start_run("s", a_run("r2"))
    await put_row(store, a_run("runs"), number=2, status="running")
    active = await store.get_active_run("s")
    assert active is not None
    assert active.id == "runs"
    session = await store.get_session("ann", "s")
    assert session is not None
    assert session.active_run == "runs"


async def test_the_database_itself_refuses_a_second_running_run(store: SessionStore) -> None:
    await store.create_session(a_session())
    await put_row(store, a_run("r1"), number=1)
    with pytest.raises(IntegrityError):
        await put_row(store, a_run("r2"), number=2)


@pytest.mark.parametrize(
    ("key", "number"), [("same", 2), (None, 1), ("other", 1)], ids=["key", "number without key", "number with key"]
)
async def test_the_database_itself_refuses_a_second_use(store: SessionStore, key: str | None, number: int) -> None:
    await store.create_session(a_session())
    await put_row(store, a_run("r1", key="same"), number=1, status="completed")
    with pytest.raises(IntegrityError):
        await put_row(store, a_run("r2", key=key), number=number, status="completed")


async def put_row(store: SessionStore, new: NewRun, number: int, status: str = "running") -> None:
    if not isinstance(store, SqlSessionStore):
        pytest.skip("it has no rows that could be put in by hand")
    row = of_new_run("s", number, new, RunStatus(status), new.at)
    await store._database.write(AsyncConnection.execute, insert(runs).values(row))


async def test_of_twenty_starts_at_once_one_wins(store: SessionStore) -> None:
    await store.create_session(a_session())
    answers = await all_at_once(store.start_run("s", a_run(f"r{n}")) for n in range(20))
    assert [type(answer) for answer in answers].count(RunActive) == 19
    (won,) = (answer for answer in answers if isinstance(answer, Started))
    assert won.created
    assert list(await store.run_numbers("s")) == [(1, won.run.id)]


async def test_two_stores_on_one_database_admit_one_run(store: SessionStore, other_store: SessionStore) -> None:
    for round_ in range(10):
        session_id = f"s{round_}"
        await store.create_session(a_session(session_id))
        starts = [(store, other_store)[n % 2].start_run(session_id, a_run(f"{session_id}r{n}")) for n in range(6)]
        answers = await all_at_once(starts)
        assert sorted(type(answer).__name__ for answer in answers) == [*["RunActive"] * 5, "Started"]


async def test_starts_in_different_sessions_do_not_refuse_each_other(
    store: SessionStore, other_store: SessionStore
) -> None:
    for n in range(20):
        await store.create_session(a_session(f"s{n}"))
    answers = await all_at_once((store, other_store)[n % 2].start_run(f"s{n}", a_run(f"r{n}")) for n in range(20))
    assert [answer.created for answer in answers if isinstance(answer, Started)] == [True] * 20


# Idempotency


async def test_a_retry_meets_the_run_that_its_key_started(store: SessionStore) -> None:
    await store.create_session(a_session())
    first = await store.start_run("s", a_run("r1", key="k", body_hash="h"))
    assert await store.start_run("s", a_run("r2", key="k", body_hash="h")) == Started(run=first.run, created=False)
    await store.finish_run("r1", an_outcome())
    again = await store.start_run("s", a_run("r3", key="k", body_hash="h"))
    assert (again.created, again.run.id, again.run.status) == (False, "r1", RunStatus.COMPLETED)
    assert len(await store.run_numbers("s")) == 1


@pytest.mark.parametrize("ended", [False, True])
async def test_a_key_used_with_another_body_is_refused(store: SessionStore, ended: bool) -> None:
    await store.create_session(a_session())
    await store.start_run("s", a_run("r1", key="k", body_hash="h"))
    if ended:
        await store.finish_run("r1", an_outcome())
    with pytest.raises(IdempotencyMismatch):
        await store.start_run("s", a_run("r2", key="k", body_hash="other"))


async def test_keys_are_each_sessions_own(store: SessionStore) -> None:
    for session_id in ("s", "t"):
        await store.create_session(a_session(session_id))
    assert (await store.start_run("s", a_run("r1", key="k", body_hash="h"))).created
    assert (await store.start_run("t", a_run("r2", key="k", body_hash="other"))).created


async def test_twenty_starts_with_one_key_create_one_run(store: SessionStore, other_store: SessionStore) -> None:
    await store.create_session(a_session())
    answers = await all_at_once(
        (store, other_store)[n % 2].start_run("s", a_run(f"r{n}", key="k", body_hash="h")) for n in range(20)
    )
    assert [answer.created for answer in answers if isinstance(answer, Started)].count(True) == 1
    assert len({answer.run.id for answer in answers if isinstance(answer, Started)}) == 1
    assert [answer for answer in answers if not isinstance(answer, Started)] == []


# Titles and times


@pytest.mark.parametrize(
    ("content", "title"),
    [
        ("Plan my trip", "Plan my trip"),
        ("\n\n  First   line\t here \r\nsecond", "First line here"),
        (" \n\t ", None),
        ("word " * 40, ("word " * 16).strip()),
        ("x" * 79 + " tail", "x" * 79),
        ("x" * 80, "x" * 80),
        ("x" * 80 + " tail", "x" * 80),
        ("x" * 200, "x" * 80),
    ],
)
async def test_an_untitled_session_is_named_by_its_first_words(
    store: SessionStore, content: str, title: str | None
) -> None:
    await store.create_session(a_session())
    await store.start_run("s", a_run(content=content))
    session = await store.get_session("ann", "s")
    assert session is not None
    assert session.title == title


async def test_a_title_stays(store: SessionStore) -> None:
    await store.create_session(a_session(title="Mine"))
    await store.start_run("s", a_run(content="Something else"))
    session = await store.get_session("ann", "s")
    assert session is not None
    assert session.title == "Mine"


async def test_starting_and_ending_a_run_updates_its_session(store: SessionStore) -> None:
    await store.create_session(a_session())
    await store.create_session(a_session("bystander"))
    await store.start_run("s", a_run(at=AT + SECOND))
    running = await store.get_session("ann", "s")
    assert running is not None
    assert (running.updated_at, running.active_run) == (AT + SECOND, "r1")
    await store.finish_run("r1", an_outcome(at=AT + 2 * SECOND))
    idle = await store.get_session("ann", "s")
    assert idle is not None
    assert (idle.created_at, idle.updated_at, idle.active_run) == (AT, AT + 2 * SECOND, None)
    assert await store.get_session("ann", "bystander") == a_session("bystander")


# Ending


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (RunStatus.COMPLETED, None),
        (RunStatus.CANCELLED, None),
        (RunStatus.FAILED, RunError("agent_error", "It broke")),
        (RunStatus.INTERRUPTED, RunError("run_interrupted", "")),
    ],
)
async def test_an_ended_run_keeps_its_outcome(store: SessionStore, status: RunStatus, error: RunError) -> None:
    await store.create_session(a_session())
    await store.start_run("s", a_run())
    assert await store.finish_run("r1", an_outcome(status, error=error))
    run = await store.get_run("s", "r1")
    assert run is not None
    assert (run.status, run.ended_at, run.last_seq, run.output, run.error) == (status, AT + SECOND, 7, "Hi", error)
    assert await store.get_active_run("s") is None


async def test_the_first_outcome_stands(store: SessionStore) -> None:
    await store.create_session(a_session())
    await store.start_run("s", a_run())
    assert await store.finish_run("r1", an_outcome(state={"turn": 1}))
    before = (await store.get_run("s", "r1"), await store.get_session("ann", "s"), await store.unfinished_runs())
    late = Outcome(RunStatus.CANCELLED, b"late", 9, "late", AT + 9 * SECOND, state={"turn": 2})
    assert not await store.finish_run("r1", late)
    after = (await store.get_run("s", "r1"), await store.get_session("ann", "s"), await store.unfinished_runs())
    assert after == before
    assert await store.get_state("s") == {"turn": 1}


async def test_of_outcomes_at_once_one_wins_whole(store: SessionStore, other_store: SessionStore) -> None:
    await store.create_session(a_session())
    await store.start_run("s", a_run())
    outcomes = [
        Outcome(RunStatus.COMPLETED, b"%d" % n, n, str(n), AT + n * SECOND, state={"n": n}) for n in range(1, 11)
    ]
    answers = await asyncio.gather(
        *((store, other_store)[n % 2].finish_run("r1", outcome) for n, outcome in enumerate(outcomes))
    )
    assert answers.count(Ended()) == 1
    won = outcomes[answers.index(Ended())]
    ((run, terminal),) = ((left.run, left.terminal) for left in await store.unfinished_runs())
    assert (run.output, run.last_seq, run.ended_at, terminal) == (won.output, won.last_seq, won.at, won.terminal)
    assert await store.get_state("s") == won.state


async def test_a_run_that_never_was_cannot_end(store: SessionStore) -> None:
    assert not await store.finish_run("nowhere", an_outcome())


async def test_state_lasts_until_an_outcome_replaces_it(store: SessionStore) -> None:
    await store.create_session(a_session())
    assert await store.get_state("s") == {}
    seen = []
    for run_id, state in (("a", {"n": [1, None, "ü"]}), ("b", None), ("c", {"n": 2}), ("d", {})):
        await store.start_run("s", a_run(run_id))
        await store.finish_run(run_id, an_outcome(state=state))
        seen.append(await store.get_state("s"))
    assert seen == [{"n": [1, None, "ü"]}, {"n": [1, None, "ü"]}, {"n": 2}, {}]


@pytest.mark.parametrize("text", ["a\x00b", "half \ud83d", "\\u0000", "123", "", "null", "Привет 👋🏽"])
async def test_any_text_is_kept_as_it_was(store: SessionStore, text: str) -> None:
    await store.create_session(a_session(title=text))
    await store.start_run("s", a_run(content=text))
    failed = Outcome(
        RunStatus.FAILED, b"", 1, text, AT, error=RunError("agent_error", text), state={"text": text, text: 1}
    )
    await store.finish_run("r1", failed)
    run, session = await store.get_run("s", "r1"), await store.get_session("ann", "s")
    assert run is not None
    assert session is not None
    assert (run.content, run.output, run.error, session.title) == (text, text, failed.error, text)
    assert await store.get_state("s") == failed.state


@pytest.mark.parametrize("name", ["a\x00b", "half \ud83d", "DOMAIN\\ann", "\ue000", "\ue0006100", "ünï", "'; --"])
async def test_any_text_is_a_name(store: SessionStore, name: str) -> None:
    session = evolve(a_session("s", principal=name), profile=name)
    await store.create_session(session)
    assert await store.get_session(name, "s") == session
    assert [await store.get_session(other, "s") for other in ("ann", name + "x", "\ue000" + name)] == [None] * 3
    assert await store.get_session(name, name) is None
    assert await store.get_run("s", name) is None
    assert await store.kept_files([name]) == frozenset()
    first = await store.start_run("s", a_run("r1", key=name, body_hash=name))
    assert await store.start_run("s", a_run("r2", key=name, body_hash=name)) == Started(run=first.run, created=False)
    await store.finish_run("r1", an_outcome(RunStatus.FAILED, error=RunError(name, "")))
    run = await store.get_run("s", "r1")
    assert run is not None
    assert run.error == RunError(name, "")


async def test_names_are_in_order_by_their_bytes(store: SessionStore) -> None:
    names = ["B", "_", "a", "a-b", "a.b", "ab", "~", "é"]
    for name in names:
        await store.create_session(a_session(name))
    listing = await store.list_sessions("ann", 10, None)
    assert [session.id for session in listing.items] == sorted(names, reverse=True)


# Archives, and what a start-up finishes


async def test_an_archive_is_kept_and_replaced(store: SessionStore) -> None:
    await store.create_session(a_session())
    await finished(store, "s", a_run())
    assert await store.get_archive("r1") is None
    for body in (bytes(range(256)), b""):
        await store.put_archive("r1", body)
        assert await store.get_archive("r1") == body


async def test_an_archive_may_be_as_large_as_a_log(store: SessionStore) -> None:
    await store.create_session(a_session())
    await finished(store, "s", a_run())
    body = random.Random(1).randbytes(32 * 1024 * 1024)
    await store.put_archive("r1", body)
    assert await store.get_archive("r1") == body


async def test_an_archive_put_many_times_at_once_is_one_of_them(store: SessionStore, other_store: SessionStore) -> None:
    await store.create_session(a_session())
    await finished(store, "s", a_run())
    await asyncio.gather(*((store, other_store)[n % 2].put_archive("r1", b"%d" % n) for n in range(10)))
    assert await store.get_archive("r1") in {b"%d" % n for n in range(10)}


async def test_a_deleted_run_is_not_archived(store: SessionStore) -> None:
    await store.create_session(a_session())
    await finished(store, "s", a_run())
    await store.remove_session("s")
    with pytest.raises(RunNotFound):
        await store.put_archive("r1", b"log")
    assert await store.get_archive("r1") is None


async def test_runs_without_an_archive_are_unfinished_oldest_first(store: SessionStore) -> None:
    for n in range(4):
        await store.create_session(a_session(f"s{n}"))
    await finished(store, "s0", a_run("archived", at=AT))
    await store.put_archive("archived", b"log")
    await finished(store, "s1", a_run("ended", at=AT + 2 * SECOND))
    await store.start_run("s2", a_run("newest", at=AT + 3 * SECOND))
    await store.start_run("s3", a_run("oldest", at=AT + SECOND))
    unfinished = await store.unfinished_runs()
    assert [(left.run.id, left.terminal) for left in unfinished] == [
        ("oldest", None),
        ("ended", b"\x00end\xff"),
        ("newest", None),
    ]
    assert unfinished[0] == Unfinished(run=await store.get_run("s3", "oldest"), terminal=None)


async def test_the_unfinished_runs_of_some_hosts_and_the_hosts_that_have_any(store: SessionStore) -> None:
    for n in range(4):
        await store.create_session(a_session(f"s{n}"))
    await finished(store, "s0", evolve(a_run("archived", at=AT), host="idle"))
    await store.put_archive("archived", b"log")
    for n, host in enumerate(("one", "two", "three"), 1):
        await store.start_run(f"s{n}", evolve(a_run(f"of {host}", at=AT + n * SECOND), host=host))
    await store.start_run("s1", evolve(a_run("behind", on_conflict="queue", at=AT + 9 * SECOND), host="two"))
    assert await store.hosts_with_unfinished_runs() == {"one", "two", "three"}
    left = await store.unfinished_runs(["two", "three", "idle", "nobody"])
    assert [(each.run.id, each.run.host) for each in left] == [
        ("of two", "two"),
        ("of three", "three"),
        ("behind", "two"),
    ]
    assert await store.unfinished_runs([]) == []
    assert await store.unfinished_runs(ended_before=AT + 9 * SECOND) == []
    ended = await store.finish_run("of one", an_outcome())
    assert ended is not None
    assert ended.next is not None
    assert (ended.next.id, ended.next.host) == ("behind", "two")
    assert [each.run.id for each in await store.unfinished_runs(ended_before=AT + 2 * SECOND)] == ["of one"]
    assert await store.unfinished_runs(ended_before=AT + SECOND) == []


# Calls that are made again, since their answers were lost


async def test_a_session_is_created_once_however_often_it_is_asked_for(store: SessionStore) -> None:
    for _ in range(2):
        await store.create_session(a_session())
    with pytest.raises((IntegrityError, AssertionError)):
        await store.create_session(a_session(principal="bob"))
    assert await store.get_session("ann", "s") == a_session()


@pytest.mark.parametrize("key", [None, "k"])
async def test_a_start_that_is_repeated_gets_its_first_answer(store: SessionStore, key: str | None) -> None:
    await store.create_session(a_session())
    first = await store.start_run("s", a_run("r1", key=key))
    assert await store.start_run("s", a_run("r1", key=key)) == first
    waits = a_run("r2", key=key and "k2", on_conflict="queue")
    interrupts = a_run("r3", key=key and "k3", on_conflict="interrupt")
    for new in (waits, interrupts):
        started = await store.start_run("s", new)
        assert started.created
        assert await store.start_run("s", new) == started
    assert list(await store.run_numbers("s")) == [(1, "r1"), (2, "r3"), (3, "r2")]


async def test_an_end_that_is_repeated_gets_its_first_answer(store: SessionStore) -> None:
    await store.create_session(a_session())
    for run_id in ("r1", "r2", "r3"):
        await store.start_run("s", a_run(run_id, on_conflict="queue"))
    first = await store.finish_run("r1", an_outcome())
    assert first is not None
    assert first.next is not None
    assert await store.finish_run("r1", an_outcome()) == first
    assert await store.finish_run("r1", an_outcome(at=AT + 9 * SECOND)) is None
    assert await store.finish_run("r1", an_outcome(), promote=False) == Ended()
    assert [waiting.run_id for waiting in await store.waiting_runs("s")] == ["r3"]


async def test_a_deletion_that_is_repeated_gets_its_first_answer(store: SessionStore) -> None:
    await store.create_session(a_session())
    assert [await store.delete_session("ann", "s", at) for at in (AT, AT, AT + SECOND)] == [True, True, False]


# Lists


async def test_sessions_are_listed_newest_first_with_their_active_runs(store: SessionStore) -> None:
    for n in range(3):
        await store.create_session(a_session(f"s{n}", title="T", at=AT + n * SECOND))
    await store.start_run("s1", a_run("r1"))
    listing = await store.list_sessions("ann", 10, None)
    assert [(session.id, session.active_run) for session in listing.items] == [("s2", None), ("s1", "r1"), ("s0", None)]
    assert listing.items[0] == await store.get_session("ann", "s2")


@one_store_for_all_examples
@given(ticks=st.lists(st.integers(0, 3), max_size=12), limit=st.integers(1, 5))
async def test_pages_hold_every_session_once_however_many_share_a_time(
    store: SessionStore, ticks: list[int], limit: int
) -> None:
    principal = next(fresh)
    created = [
        a_session(f"{principal}-{n:02}", principal, at=AT + tick * timedelta(microseconds=1))
        for n, tick in enumerate(ticks)
    ]
    for session in created:
        await store.create_session(session)
    items, lengths = await walk(lambda cursor: store.list_sessions(principal, limit, cursor))
    assert items == sorted(created, key=lambda session: (session.created_at, session.id), reverse=True)
    assert lengths[:-1] == [limit] * (len(lengths) - 1)
    assert lengths[-1] > 0 or not ticks


async def test_a_session_created_meanwhile_moves_no_page(store: SessionStore) -> None:
    for n in range(4):
        await store.create_session(a_session(f"s{n}", at=AT + n * SECOND))
    first = await store.list_sessions("ann", 2, None)
    await store.create_session(a_session("new", at=AT + 9 * SECOND))
    await store.remove_session("s2")
    second = await store.list_sessions("ann", 2, first.next)
    assert [[session.id for session in page.items] for page in (first, second)] == [["s3", "s2"], ["s1", "s0"]]
    assert second.next is None


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 5])
async def test_pages_hold_every_run_once_in_order(store: SessionStore, limit: int) -> None:
    await store.create_session(a_session())
    for n in range(1, 5):
        await finished(store, "s", a_run(f"r{n}"))
    items, lengths = await walk(lambda cursor: store.list_runs("s", limit, cursor))
    assert [run.number for run in items] == [1, 2, 3, 4]
    assert items[0] == await store.get_run("s", "r1")
    assert max(lengths) <= limit


async def test_a_cursor_of_another_list_is_refused(store: SessionStore) -> None:
    for n in range(2):
        await store.create_session(a_session(f"s{n}"))
        await finished(store, "s0", a_run(f"r{n}"))
    of_sessions = (await store.list_sessions("ann", 1, None)).next
    of_runs = (await store.list_runs("s0", 1, None)).next
    with pytest.raises(InvalidMessage, match=r"^\$\.cursor "):
        await store.list_runs("s0", 1, of_sessions)
    with pytest.raises(InvalidMessage, match=r"^\$\.cursor "):
        await store.list_sessions("ann", 1, of_runs)


# Robustness


async def test_calls_cancelled_anywhere_leave_whole_results(url: str, store: SessionStore) -> None:
    for n in range(30):
        await store.create_session(a_session(f"s{n}"))

    async def give_up_after(n: int) -> None:
        with anyio.move_on_after(n / 3000):
            await store.start_run(f"s{n}", a_run(f"r{n}"))
            await store.list_sessions("ann", 30, None)

    async with anyio.create_task_group() as tasks:
        for n in range(30):
            tasks.start_soon(give_up_after, n)
    await store.close()
    async with reopened(url) as again:
        for n in range(30):
            active, numbers = await again.get_active_run(f"s{n}"), await again.run_numbers(f"s{n}")
            assert numbers == ([(1, active.id)] if active else [])


async def test_a_start_whose_caller_went_away_is_carried_out_before_the_store_closes(
    url: str, store: SessionStore
) -> None:
    await store.create_session(a_session())
    caller = asyncio.create_task(store.start_run("s", a_run()))
    await asyncio.sleep(0)
    caller.cancel()
    await store.close()
    assert caller.cancelled()
    async with reopened(url) as again:
        assert list(await again.run_numbers("s")) == [(1, "r1")]


async def test_what_was_kept_is_found_after_a_restart(url: str, store: SessionStore) -> None:
    await store.create_session(a_session())
    await store.start_run("s", a_run())
    await store.close()
    async with reopened(url) as again:
        await again.check()
        assert [left.run.id for left in await again.unfinished_runs()] == ["r1"]


@asynccontextmanager
async def reopened(url: str) -> AsyncIterator[SessionStore]:
    store = await open_store(url)
    try:
        yield store
    finally:
        await store.close()


# what operators see


async def test_an_operator_sees_the_runs_of_everybody_newest_first_and_nothing_that_was_said(
    store: SessionStore,
) -> None:
    for number, principal in enumerate(("ann", "bob", "ann")):
        at = AT + number * SECOND
        await store.create_session(a_session(f"s{number}", principal, at=at))
        await store.start_run(f"s{number}", a_run(f"r{number}", "a secret", at=at))
    await store.finish_run("r0", an_outcome(RunStatus.CANCELLED, reason="it took too long"))
    await store.finish_run("r1", an_outcome(RunStatus.FAILED, error=RunError("agent_error", "a secret")))

    every, _ = await walk(lambda cursor: store.every_run(list(RunStatus), 2, cursor))
    ended, _ = await walk(lambda cursor: store.every_run([RunStatus.FAILED, RunStatus.CANCELLED], 1, cursor))
    running = await store.every_run([RunStatus.RUNNING, RunStatus.QUEUED], 10, None)

    assert [(run.id, run.session_id, run.principal, run.profile, run.host) for run in every] == [
        ("r2", "s2", "ann", "demo", "h"),
        ("r1", "s1", "bob", "demo", "h"),
        ("r0", "s0", "ann", "demo", "h"),
    ]
    assert [(run.status, run.code, run.reason, run.last_seq) for run in every] == [
        (RunStatus.RUNNING, None, None, 0),
        (RunStatus.FAILED, "agent_error", None, 7),
        (RunStatus.CANCELLED, None, "it took too long", 7),
    ]
    assert ended == every[1:]
    assert running == Listing((every[0],), None)
    assert "secret" not in repr(every)


async def test_runs_that_share_a_time_are_on_one_page_each(store: SessionStore) -> None:
    for number in range(7):
        await store.create_session(a_session(f"s{number}"))
        await store.start_run(f"s{number}", a_run(f"r{number}"))

    runs_, lengths = await walk(lambda cursor: store.every_run([RunStatus.RUNNING], 3, cursor))

    assert ([run.id for run in runs_], lengths) == ([f"r{number}" for number in reversed(range(7))], [3, 3, 1])
