"""Runs that wait for each other: the queue of a session, as the store keeps it (P4.4)."""

import asyncio
from pathlib import Path

import pytest

from app.errors import QueueFull, RunActive
from app.sessions.base import MAX_WAITING, Ended, OnConflict, Run, RunStatus, SessionStore, Started, Waiting
from tests.sessions.opening import STORES
from tests.sessions.samples import AT, SECOND, a_run, a_session, an_outcome, finished

pytestmark = pytest.mark.anyio


@pytest.fixture(params=STORES)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a new, empty store is."""
    return STORES[request.param](tmp_path)


async def start(store: SessionStore, run_id: str, on_conflict: OnConflict = "queue") -> Started:
    return await store.start_run("s", a_run(run_id, on_conflict=on_conflict))


async def end(store: SessionStore, run_id: str, **more: bool) -> str | None:
    """End a run; the id of the one that runs because of it."""
    ended = await store.finish_run(run_id, an_outcome(), **more)
    assert ended is not None
    return ended.next and ended.next.id


async def line(store: SessionStore) -> list[tuple[int, str]]:
    return [(waiting.number, waiting.run_id) for waiting in await store.waiting_runs("s")]


async def begun(store: SessionStore) -> list[tuple[int, str]]:
    return [(run.number, run.id) for run in await store.begun_runs("s")]


@pytest.fixture(autouse=True)
async def _session(store: SessionStore) -> None:
    await store.create_session(a_session())


async def test_a_message_that_queues_runs_at_once_when_nothing_is_in_progress(store: SessionStore) -> None:
    for run_id, on_conflict in (("a", "queue"), ("b", "interrupt")):
        started = await start(store, run_id, on_conflict)
        assert (started.run.status, started.waiting, started.interrupts) == (RunStatus.RUNNING, (), None)
        await end(store, run_id)


async def test_queued_runs_wait_in_the_order_in_which_they_came(store: SessionStore) -> None:
    await start(store, "a")
    second, third = await start(store, "b"), await start(store, "c")
    assert (second.run.status, second.run.number, second.run.started_at) == (RunStatus.QUEUED, 2, None)
    assert second.waiting == (Waiting("b", 2, 1),)
    assert third.waiting == (Waiting("c", 3, 2),)
    assert await line(store) == [(2, "b"), (3, "c")]
    assert [await end(store, run_id) for run_id in "abc"] == ["b", "c", None]


async def test_the_first_that_waits_runs_when_the_one_before_it_ends(store: SessionStore) -> None:
    await start(store, "a")
    await start(store, "b")
    ended = await store.finish_run("a", an_outcome(at=AT + 5 * SECOND))
    assert ended is not None
    assert isinstance(ended.next, Run)
    assert (ended.next.id, ended.next.status, ended.next.started_at) == ("b", RunStatus.RUNNING, AT + 5 * SECOND)
    assert await store.get_run("s", "b") == ended.next
    assert await store.get_active_run("s") == ended.next
    assert await store.finish_run("a", an_outcome()) is None


async def test_nothing_follows_where_nothing_shall(store: SessionStore) -> None:
    await start(store, "a")
    await start(store, "b")
    assert await end(store, "a", promote=False) is None
    assert await line(store) == [(2, "b")]
    with pytest.raises(RunActive, match="b"):
        await start(store, "c", "reject")
    assert (await start(store, "c")).waiting == (Waiting("c", 3, 1),)


async def test_as_many_as_may_wait_and_no_more(store: SessionStore) -> None:
    await start(store, "a")
    for n in range(MAX_WAITING):
        await start(store, f"q{n}")
    with pytest.raises(QueueFull):
        await start(store, "one too many")
    assert len(await store.waiting_runs("s")) == MAX_WAITING == 8
    await end(store, "a")
    assert (await start(store, "now there is room")).run.status == RunStatus.QUEUED


async def test_an_interrupting_run_goes_ahead_of_all_that_wait(store: SessionStore) -> None:
    await start(store, "a")
    await start(store, "b")
    await start(store, "c")
    started = await start(store, "i", "interrupt")
    assert (started.interrupts, started.run.number, started.run.status) == ("a", 2, RunStatus.QUEUED)
    assert started.waiting == (Waiting("i", 2, 1), Waiting("b", 3, 2), Waiting("c", 4, 3))
    assert [await end(store, run_id) for run_id in "aibc"] == ["i", "b", "c", None]
    assert list(await store.run_numbers("s")) == [(1, "a"), (2, "i"), (3, "b"), (4, "c")]


async def test_a_full_queue_lets_one_interrupting_run_in(store: SessionStore) -> None:
    await start(store, "a")
    for n in range(MAX_WAITING):
        await start(store, f"q{n}")
    assert (await start(store, "i", "interrupt")).run.number == 2
    with pytest.raises(QueueFull):
        await start(store, "j", "interrupt")


async def test_a_run_cancelled_while_it_waits_leaves_the_line(store: SessionStore) -> None:
    for run_id in "abcd":
        await start(store, run_id)
    assert await end(store, "c") is None
    assert await line(store) == [(2, "b"), (4, "d")]
    started = await start(store, "i", "interrupt")
    assert started.waiting == (Waiting("i", 2, 1), Waiting("b", 4, 2), Waiting("d", 5, 3))
    assert [await end(store, run_id) for run_id in "aibd"] == ["i", "b", "d", None]


async def test_a_runs_turn_has_come_when_all_before_it_have_ended(store: SessionStore) -> None:
    for run_id in "abc":
        await start(store, run_id)
    assert await begun(store) == [(1, "a")]
    await end(store, "c")
    assert await begun(store) == [(1, "a")]
    await end(store, "a", promote=False)
    assert await begun(store) == [(1, "a")]
    await end(store, "b")
    assert await begun(store) == [(1, "a"), (2, "b"), (3, "c")]


async def test_a_retry_meets_the_run_that_waits(store: SessionStore) -> None:
    await start(store, "a")
    new = a_run("b", key="k", on_conflict="interrupt")
    first = await store.start_run("s", new)
    again = await store.start_run("s", a_run("c", key="k", on_conflict="interrupt"))
    assert again == Started(run=first.run, created=False)


async def test_ends_and_starts_at_once_leave_one_running_and_nobody_forgotten(
    store: SessionStore, other_store: SessionStore
) -> None:
    await start(store, "r0")
    waiting = {f"q{n}" for n in range(6)}
    starts = [(store, other_store)[n % 2].start_run("s", a_run(f"q{n}", on_conflict="queue")) for n in range(6)]
    ends = [other_store.finish_run("r0", an_outcome()), store.finish_run("q3", an_outcome())]
    await asyncio.gather(*starts, *ends)
    seen = []
    while (active := await store.get_active_run("s")) is not None:
        assert active.status == RunStatus.RUNNING
        seen.append(active.id)
        await other_store.finish_run(active.id, an_outcome())
    assert waiting - set(seen) <= {"q3"}
    assert len(seen) == len(set(seen))
    assert await line(store) == []


async def test_a_run_that_waited_for_nothing_ends_without_a_next_one(store: SessionStore) -> None:
    await finished(store, "s", a_run("a"))
    await start(store, "b")
    assert await store.finish_run("b", an_outcome()) == Ended(next=None)


async def test_a_run_begins_no_earlier_than_the_one_before_it_ended(store: SessionStore) -> None:
    await start(store, "a")
    await store.finish_run("a", an_outcome(at=AT + 5 * SECOND))
    late = await store.start_run("s", a_run("b", at=AT + SECOND))
    assert (late.run.created_at, late.run.started_at) == (AT + SECOND, AT + 5 * SECOND)
    await store.finish_run("b", an_outcome(at=AT + 6 * SECOND))
    assert (await store.start_run("s", a_run("c", at=AT + 9 * SECOND))).run.started_at == AT + 9 * SECOND
