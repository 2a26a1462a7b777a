"""Tools of a model that wait for a person, over a real registry: who is asked, and what the model then hears."""

import asyncio
from typing import Any

import pytest

pytest.importorskip("pydantic_ai", reason="the extra `agent` is not installed")

from pydantic_ai import ApprovalRequired, RunContext, Tool

from app.agents.base import Approval, Profile
from app.agents.profile_tables import ModelTable
from app.agents.pydantic_ai import ModelAgent
from app.agents.pydantic_ai.approvals import REFUSED
from app.errors import ConfigurationError
from tests.conftest import OpenHouse
from tests.house import ME, House, Watch

pytestmark = pytest.mark.anyio


class Disk:
    """What tools do, and did."""

    def __init__(self) -> None:
        self.deleted: list[str] = []
        self.moved: list[str] = []

    def delete(self, path: str) -> str:
        """Delete a file."""
        self.deleted.append(path)
        return f"deleted {path}"

    def move(self, path: str) -> str:
        """Move a file."""
        self.moved.append(path)
        return f"moved {path}"


@pytest.fixture
def disk() -> Disk:
    return Disk()


def agent(*tools: Any, needs: tuple[str, ...] = (), subagents: tuple[Profile, ...] = (), **table: Any) -> ModelAgent:
    """An agent that calls every tool once, then says what came of it."""
    return ModelAgent(ModelTable(model="test", needs_approval=needs, **table), tools=tools, subagents=subagents)


async def answer(house: House, session: str, call_id: str, approved: bool, comment: str | None = None) -> None:
    await house.registry.approve(ME, session, call_id, Approval(approved, comment))


def of_type(messages: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [message for message in messages if message["type"] == kind]


async def until_asked(watch: Watch, times: int = 1) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []
    while len(of_type(messages, "approval_requested")) < times:
        messages.append(await watch.next())
    return messages


async def test_a_tool_works_once_a_person_allows_it(open_house: OpenHouse, disk: Disk) -> None:
    house = await open_house(agent(disk.delete, needs=("delete",)))
    session = await house.session()
    run = await house.start(session)
    async with house.watch_run(run) as watch:
        *_, started, asked = await until_asked(watch)
        assert (started["type"], started["call_id"]) == ("tool_started", asked["call_id"])
        assert (asked["tool"], asked["args"]) == ("delete", {"path": "a"})
        assert disk.deleted == []
        await answer(house, session, asked["call_id"], approved=True)
        rest = [message for message in await watch.rest() if "id" in message]
    assert [message["type"] for message in rest][:2] == ["approval_resolved", "tool_call"]
    assert (rest[1]["call_id"], rest[1]["result"], rest[1]["success"]) == (asked["call_id"], "deleted a", True)
    assert (disk.deleted, rest[-1]["type"]) == (["a"], "stream_end")


@pytest.mark.parametrize(("comment", "said"), [(None, REFUSED), ("not mine", f"{REFUSED} They said: not mine")])
async def test_a_tool_that_is_refused_does_nothing_and_the_model_is_told(
    open_house: OpenHouse, disk: Disk, comment: str | None, said: str
) -> None:
    house = await open_house(agent(disk.delete, needs=("delete",)))
    session = await house.session()
    async with house.watch_run(await house.start(session)) as watch:
        asked = (await until_asked(watch))[-1]
        await answer(house, session, asked["call_id"], approved=False, comment=comment)
        rest = [message for message in await watch.rest() if "id" in message]
    (call,) = of_type(rest, "tool_call")
    assert (call["result"], call["success"], disk.deleted) == (said, False, [])
    assert REFUSED in rest[-1]["content"]  # the model of these tests repeats what it was told


async def test_other_tools_ask_nobody(open_house: OpenHouse, disk: Disk) -> None:
    house = await open_house(agent(disk.delete, disk.move))
    messages = await house.messages(await house.start(await house.session()))
    assert of_type(messages, "approval_requested") == []
    assert (disk.deleted, disk.moved) == (["a"], ["a"])


async def test_calls_of_one_turn_are_asked_for_together_and_answered_in_any_order(
    open_house: OpenHouse, disk: Disk
) -> None:
    house = await open_house(agent(disk.delete, disk.move, needs=("delete", "move")))
    session = await house.session()
    async with house.watch_run(await house.start(session)) as watch:
        first, second = of_type(await until_asked(watch, 2), "approval_requested")
        await answer(house, session, second["call_id"], approved=True)
        await answer(house, session, first["call_id"], approved=False)
        calls = {call["tool"]: call["success"] for call in of_type(await watch.rest(), "tool_call")}
    assert calls == {first["tool"]: False, second["tool"]: True}
    assert len(disk.deleted) + len(disk.moved) == 1


async def test_what_a_subagent_wants_is_asked_through_the_run_that_called_it(open_house: OpenHouse, disk: Disk) -> None:
    helper = Profile("helper", agent(disk.delete, needs=("delete",)))
    house = await open_house(agent(subagents=(helper,)))
    session = await house.session()
    async with house.watch_run(await house.start(session)) as watch:
        asked = (await until_asked(watch))[-1]
        await answer(house, session, asked["call_id"], approved=True)
        rest = await watch.rest()
    inner = next(call for call in of_type(rest, "tool_call") if call["tool"] == "delete")
    assert (inner["is_subagent"], inner["agent"], inner["call_id"]) == (True, "helper", asked["call_id"])
    assert (disk.deleted, rest[-1]["type"]) == (["a"], "stream_end")


async def test_asking_a_subagent_may_itself_need_approval(open_house: OpenHouse, disk: Disk) -> None:
    house = await open_house(agent(subagents=(Profile("helper", agent(disk.delete)),), needs=("ask_helper",)))
    session = await house.session()
    async with house.watch_run(await house.start(session)) as watch:
        asked = (await until_asked(watch))[-1]
        assert asked["tool"] == "ask_helper"
        await answer(house, session, asked["call_id"], approved=False)
        await watch.rest()
    assert disk.deleted == []


async def test_a_tool_may_ask_by_itself_and_say_why(open_house: OpenHouse, disk: Disk) -> None:
    def delete(ctx: RunContext[Any], path: str) -> str:
        """Delete a file."""
        if not ctx.tool_call_approved:
            raise ApprovalRequired(metadata={"reason": "it is not empty"})
        return disk.delete(path)

    house = await open_house(agent(delete, Tool(disk.move, requires_approval=True)))
    session = await house.session()
    async with house.watch_run(await house.start(session)) as watch:
        asked = of_type(await until_asked(watch, 2), "approval_requested")
        for each in asked:
            await answer(house, session, each["call_id"], approved=True)
        await watch.rest()
    assert {each["tool"]: each.get("reason") for each in asked} == {"delete": "it is not empty", "move": None}
    assert (disk.deleted, disk.moved) == (["a"], ["a"])


async def test_a_run_that_is_cancelled_while_it_asks_leaves_a_session_that_goes_on(
    open_house: OpenHouse, disk: Disk
) -> None:
    house = await open_house(agent(disk.delete, needs=("delete",)))
    session = await house.session()
    async with house.watch_run(await house.start(session)) as watch:
        await until_asked(watch)
        await house.registry.cancel(ME, session)
        assert (await watch.rest())[-1]["type"] == "stream_cancelled"
    assert disk.deleted == []
    async with asyncio.timeout(20), house.watch_run(await house.start(session)) as watch:
        messages = await watch.until("stream_end", "approval_requested", "error")
    assert messages[-1]["type"] != "error"


@pytest.mark.parametrize("needs", ["delete_file", "ask_helper", ""])
def test_a_name_that_no_tool_has_is_refused_at_the_start(disk: Disk, needs: str) -> None:
    with pytest.raises(ConfigurationError, match=r"needs_approval\[1\]: there is no tool"):
        agent(disk.delete, disk.move, needs=("move", needs))
