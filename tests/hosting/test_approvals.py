"""What an agent asks people: put to every viewer, answered once, by any of them (P4.1)."""

import asyncio
from contextlib import suppress
from typing import Any

import pytest

from app.agents.base import Approval, Turn
from app.errors import NoAnswer, NoSuchApproval, RunNotFound, SessionNotFound
from app.events import ApprovalRequested, ApprovalResolved, StreamEnd, ToolEvent, ToolStarted
from app.hosting.approvals import Approvals
from tests.house import ME, PATIENCE, House

pytestmark = pytest.mark.anyio

YES = Approval(approved=True)
NO = Approval(approved=False, comment="too dangerous")


async def careful(turn: Turn):
    answer = await turn.approve("rm", {"path": "/"}, reason="there is something in it")
    yield f"{'gone' if answer else 'kept'}: {answer.comment}"


async def asked(watch: Any) -> dict[str, Any]:
    """The question, once it was put."""
    return (await watch.until("approval_requested"))[-1]


@pytest.mark.parametrize(("answer", "text"), [(YES, "gone: None"), (NO, "kept: too dangerous")])
async def test_an_agent_is_told_what_somebody_answered(open_house, answer, text):
    house = await open_house(careful)
    run = await house.start(await house.session())
    async with house.watch_run(run) as watch:
        question = await asked(watch)
        assert question == {
            "type": "approval_requested",
            "id": question["id"],
            "call_id": question["call_id"],
            "tool": "rm",
            "args": {"path": "/"},
            "reason": "there is something in it",
        }
        await house.registry.approve(ME, run.session_id, question["call_id"], answer)
        resolved, *_, ended = [m for m in await watch.rest() if "id" in m]
    comment = {"comment": answer.comment} if answer.comment else {}
    assert resolved == {
        "type": "approval_resolved",
        "id": resolved["id"],
        "call_id": question["call_id"],
        "approved": answer.approved,
        **comment,
    }
    assert ended["content"] == text


async def test_a_viewer_that_comes_later_sees_the_question_and_may_answer_it(open_house):
    house = await open_house(careful)
    run = await house.start(await house.session())
    async with house.watch(run.session_id) as early:
        await asked(early)
        async with house.watch(run.session_id) as late:
            question = await asked(late)
            await house.registry.approve(ME, run.session_id, question["call_id"], YES, run.id)
            for watch in (early, late):
                assert (await watch.until("approval_resolved"))[-1]["approved"]


async def test_the_agent_goes_on_only_once_the_answer_is_in_the_log(open_house):
    logs: list[Any] = []

    async def agent(turn: Turn):
        await turn.approve("rm")
        logs.append((await house.log.read(turn.run_id, 0, 100)).entries[-1].event)
        yield "done"

    house = await open_house(agent)
    run = await house.start(await house.session())
    async with house.watch_run(run) as watch:
        question = await asked(watch)
        await house.registry.approve(ME, run.session_id, question["call_id"], YES)
        await watch.rest()
    assert logs == [ApprovalResolved(question["call_id"], approved=True)]


class Gate:
    """A log that takes nothing while it is shut."""

    def __init__(self, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
        self.opened = asyncio.Event()
        self.reached = asyncio.Event()
        self._append = house.log.append
        monkeypatch.setattr(house.log, "append", self._wait_and_append)

    async def _wait_and_append(self, *args: Any, **more: Any) -> None:
        self.reached.set()
        await self.opened.wait()
        await self._append(*args, **more)


async def test_who_answers_is_told_so_once_the_answer_is_in_the_log(open_house, monkeypatch):
    house = await open_house(careful)
    run = await house.start(await house.session())
    async with house.watch_run(run) as watch:
        call_id = (await asked(watch))["call_id"]
        gate = Gate(house, monkeypatch)
        answering = [asyncio.create_task(house.registry.approve(ME, run.session_id, call_id, YES)) for _ in range(2)]
        async with asyncio.timeout(PATIENCE):
            await gate.reached.wait()
            with pytest.raises(NoSuchApproval, match="otherwise"):
                await house.registry.approve(ME, run.session_id, call_id, NO)
        assert not any(task.done() for task in answering)
        gate.opened.set()
        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(*answering)
        assert ApprovalResolved(call_id, approved=True) in await house.events(run)


async def test_an_answer_that_died_with_its_process_was_accepted_for_nobody(open_house, monkeypatch):
    house = await open_house(careful)
    run = await house.start(await house.session())
    async with house.watch_run(run) as watch:
        call_id = (await asked(watch))["call_id"]
    gate = Gate(house, monkeypatch)
    answering = asyncio.create_task(house.registry.approve(ME, run.session_id, call_id, YES))
    async with asyncio.timeout(PATIENCE):
        await gate.reached.wait()
    await house.crash()
    with pytest.raises(NoSuchApproval, match="has ended"):
        await answering
    house = await open_house(careful)
    assert ApprovalResolved(call_id, approved=True) not in await house.events(run)
    with pytest.raises(NoSuchApproval):
        await house.registry.approve(ME, run.session_id, call_id, YES)


async def test_an_answer_that_storage_does_not_take_is_given_again(open_house, monkeypatch):
    monkeypatch.setattr("app.hosting.approvals._PATIENCE", 0.01)
    house = await open_house(careful)
    run = await house.start(await house.session())
    async with house.watch_run(run) as watch:
        call_id = (await asked(watch))["call_id"]
        gate = Gate(house, monkeypatch)
        with pytest.raises(NoAnswer, match="again"):
            await house.registry.approve(ME, run.session_id, call_id, YES)
        gate.opened.set()
        assert (await watch.until("approval_resolved"))[-1]["approved"]
        await house.registry.approve(ME, run.session_id, call_id, YES)
        assert (await watch.rest())[-1]["content"] == "gone: None"


async def test_the_same_answer_twice_is_one_and_another_one_is_refused(open_house):
    go_on = asyncio.Event()

    async def agent(turn: Turn):
        await turn.approve("rm")
        await go_on.wait()
        yield "done"

    house = await open_house(agent)
    run = await house.start(await house.session())
    async with house.watch_run(run) as watch:
        call_id = (await asked(watch))["call_id"]
        for _ in range(3):
            await house.registry.approve(ME, run.session_id, call_id, YES)
        with pytest.raises(NoSuchApproval, match="already"):
            await house.registry.approve(ME, run.session_id, call_id, NO)
        go_on.set()
        assert [m["type"] for m in await watch.rest()].count("approval_resolved") == 1


async def test_the_same_answer_is_one_also_when_the_run_has_ended_meanwhile(open_house):
    house = await open_house(careful)
    run = await house.start(await house.session())
    async with house.watch_run(run) as watch:
        call_id = (await asked(watch))["call_id"]
        await house.registry.approve(ME, run.session_id, call_id, NO)
    before = await house.ended(run)
    for which in (None, run.id):
        await house.registry.approve(ME, run.session_id, call_id, NO, which)
        with pytest.raises(NoSuchApproval):
            await house.registry.approve(ME, run.session_id, call_id, YES, which)
        with pytest.raises(NoSuchApproval):
            await house.registry.approve(ME, run.session_id, "never asked", NO, which)
    assert await house.registry.run(ME, run.session_id, run.id) == before


async def test_what_was_not_asked_has_no_answer(open_house, puppet):
    house = await open_house(puppet)
    session = await house.session()
    with pytest.raises(NoSuchApproval):
        await house.registry.approve(ME, session, "call", YES)
    run = await house.start(session)
    puppet.says(ApprovalRequested("rm", {}, call_id="said, not asked"))
    async with house.watch_run(run) as watch:
        await asked(watch)
    for call_id in ("call", "said, not asked"):
        with pytest.raises(NoSuchApproval):
            await house.registry.approve(ME, session, call_id, YES)
    with pytest.raises(SessionNotFound):
        await house.registry.approve("eve", session, "said, not asked", YES)
    with pytest.raises(RunNotFound):
        await house.registry.approve(ME, session, "call", YES, "run_of_nobody")


async def test_a_question_that_the_runs_end_leaves_open_is_answered_with_no(open_house):
    house = await open_house(careful)
    run = await house.start(await house.session())
    async with house.watch_run(run) as watch:
        question = await asked(watch)
        await house.registry.cancel(ME, run.session_id)
        rest = await watch.rest()
    assert [(m["type"], m.get("approved")) for m in rest if "id" in m] == [
        ("approval_resolved", False),
        ("stream_cancelled", None),
    ]
    with pytest.raises(NoSuchApproval):
        await house.registry.approve(ME, run.session_id, question["call_id"], YES)


async def test_an_answer_that_nobody_can_record_any_more_is_refused_and_not_remembered():
    ending = asyncio.Event()
    approvals = Approvals(lambda event: [] if ending.is_set() else [event])
    asking = asyncio.create_task(approvals.ask(ApprovalRequested("rm", {}, call_id="call")))
    await asyncio.sleep(0)
    ending.set()
    for _ in range(2):
        with pytest.raises(NoSuchApproval):
            await approvals.answer("call", YES)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking


async def test_a_question_that_the_agent_gives_up_does_not_stay_open(open_house):
    async def agent(turn: Turn):
        try:
            async with asyncio.timeout(0):
                await turn.approve("rm")
        except TimeoutError:
            yield "never mind"

    house = await open_house(agent)
    run = await house.ended(await house.start(await house.session()))
    _, question, answer, *_, end = await house.events(run)
    assert answer == ApprovalResolved(question.call_id, approved=False, comment="the agent waits no longer")
    assert end == StreamEnd("never mind")


async def test_several_questions_are_told_apart(open_house):
    async def agent(turn: Turn):
        answers = await asyncio.gather(*(turn.approve("rm", {"n": n}) for n in range(3)))
        yield " ".join(str(answer.comment) for answer in answers)

    house = await open_house(agent)
    run = await house.start(await house.session())
    async with house.watch_run(run) as watch:
        questions = [await asked(watch) for _ in range(3)]
        for question in reversed(questions):
            comment = f"number {question['args']['n']}"
            await house.registry.approve(ME, run.session_id, question["call_id"], Approval(True, comment))
        assert (await watch.rest())[-1]["content"] == "number 0 number 1 number 2"


async def test_a_question_about_a_tool_call_has_its_id(open_house):
    async def agent(turn: Turn):
        yield ToolStarted("rm", {"path": "/"}, call_id="c")
        await turn.approve("rm", {"path": "/"}, call_id="c")
        yield ToolEvent("rm", {}, "gone", success=True, call_id="c")

    house = await open_house(agent)
    run = await house.start(await house.session())
    async with house.watch_run(run) as watch:
        assert (await asked(watch))["call_id"] == "c"
        await house.registry.approve(ME, run.session_id, "c", YES)
        assert {m["call_id"] for m in await watch.rest() if "call_id" in m} == {"c"}


async def test_a_question_of_a_wrong_type_is_the_agents_mistake(open_house):
    async def agent(turn: Turn):
        try:
            await turn.approve(7)
        except TypeError as error:
            yield str(error)

    house = await open_house(agent)
    run = await house.ended(await house.start(await house.session()))
    assert run.output == "ApprovalRequested.tool_name must be str, not '7'"


async def test_a_turn_that_nobody_performs_has_nobody_to_ask():
    with pytest.raises(RuntimeError, match="nobody can be asked"):
        await Turn("s", "r", "Hello").approve("rm")


async def test_who_asks_after_the_end_hears_no(open_house, monkeypatch):
    monkeypatch.setattr("app.hosting.run._STOP_GRACE", 0.01)
    late: asyncio.Queue[Approval] = asyncio.Queue()
    ended = asyncio.Event()

    async def agent(turn: Turn):
        yield "a"
        while not ended.is_set():
            with suppress(asyncio.CancelledError):
                await ended.wait()
        late.put_nowait(await turn.approve("rm"))

    house = await open_house(agent)
    run = await house.start(await house.session())
    async with house.watch_run(run) as watch:
        await watch.until("stream_delta")
        await house.registry.cancel(ME, run.session_id)
        await watch.rest()
    await house.ended(run)
    ended.set()
    async with asyncio.timeout(PATIENCE):
        assert not await late.get()
