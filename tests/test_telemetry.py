"""What operators get to know of a run, over a registry with real stores."""

import pytest
from structlog.testing import capture_logs

from app.errors import AgentError
from tests.house import House, Puppet

pytestmark = pytest.mark.anyio


async def test_a_run_is_running_until_its_end_is_decided(house: House, puppet: Puppet) -> None:
    measures = house.stores.telemetry.measures
    run = await house.start(await house.session())
    async with house.watch_run(run) as watch:
        puppet.says("one ")
        await watch.until("stream_delta")
        during = measures.running, measures.queued()
        puppet.returns()
        await watch.until("stream_end")
        after = measures.running, dict(measures.ended)["completed", ""]

    assert during == (1, 0)
    assert after == (0, 1)


async def test_the_first_event_and_the_agents_first_are_timed_once(house: House, puppet: Puppet) -> None:
    measures = house.stores.telemetry.measures
    run = await house.start(await house.session())
    async with house.watch_run(run) as watch:
        await watch.until("stream_start")
        shown, said = sum(measures.first_event.counts), sum(measures.first_said.counts)
        for word in ("one ", "two "):
            puppet.says(word)
            await watch.until("stream_delta")
        puppet.returns()
        await watch.rest()

    assert (shown, said) == (1, 0)
    assert (sum(measures.first_event.counts), sum(measures.first_said.counts)) == (1, 1)
    assert measures.first_said.sum >= measures.first_event.sum >= 0
    assert sum(measures.run_seconds.counts) == 1


async def test_a_viewer_is_behind_by_what_was_appended_since_it_was_given_some(house: House, puppet: Puppet) -> None:
    run = await house.start(await house.session())
    async with house.watch_run(run) as idle, house.watch_run(run) as busy:
        await idle.until("stream_start")
        before = idle.viewer.behind
        for word in ("one ", "two ", "three "):
            puppet.says(word)
            await busy.until("stream_delta")
        during = idle.viewer.behind, busy.viewer.behind
        puppet.returns()
        await busy.rest()
        ended = idle.viewer.behind
        await idle.rest()
        after = idle.viewer.behind

    assert before == 0
    assert during == (4, 0)
    assert ended == 6
    assert after == 0


async def test_a_lonely_viewer_is_behind_as_well(house: House, puppet: Puppet) -> None:
    run = await house.start(await house.session())
    async with house.watch_run(run) as lonely:
        await lonely.until("stream_start")
        puppet.says("one ")
        puppet.returns()
        row = await house.ended(run)
        behind = lonely.viewer.behind
        await lonely.rest()

    assert row.last_seq == 5
    assert behind == 4


async def test_a_run_gets_one_line_at_its_end(house: House, puppet: Puppet) -> None:
    with capture_logs() as said:
        run = await house.start(await house.session(), "what was asked")
        puppet.raises(AgentError("what was answered", "own_code"))
        await house.ended(run)
        async with house.watch_run(run) as watch:
            await watch.rest()
        await house.close()
    (line,) = (line for line in said if line["event"] == "run.ended")

    assert line["took"] >= 0
    assert {name: line[name] for name in ("run_id", "session_id", "status", "code", "events")} == {
        "run_id": run.id,
        "session_id": run.session_id,
        "status": "failed",
        "code": "own_code",
        "events": 2,
    }
    assert not any("what was" in str(line) for line in said)


async def test_runs_that_a_start_up_finishes_are_counted_and_none_is_running(open_house, puppet: Puppet) -> None:
    left = await open_house(puppet)
    await left.start(await left.session())
    await left.crash()
    found = (await open_house(puppet)).stores.telemetry.measures

    assert found.ended["interrupted", "run_interrupted"] == 1
    assert found.running == 0
