"""Fixtures of every test."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from blockbuster import blockbuster_ctx

from app.agents.adapters import FunctionAgent
from tests import frames
from tests.documents.pages import Block, Claim
from tests.documents.pages import blocks as blocks_of
from tests.house import House, Puppet
from tests.postgres import remove_server


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def pytest_configure() -> None:
    frames.watch_libraries()


@pytest.fixture(autouse=True)
def every_frame_is_in_the_schemas(
    request: pytest.FixtureRequest, record_property: Callable[[str, object], None]
) -> Iterator[None]:
    """What goes over a test's connections is valid by openapi/messages.json, or was wrong and is refused."""
    before = frames.counted.total()
    yield
    found, frames.wrong[:] = frames.wrong[:], []
    record_property("frames", frames.counted.total() - before)
    assert found == [] or request.node.get_closest_marker("newer_server")


@pytest.fixture(autouse=True)
def blocking_calls_are_errors(request: pytest.FixtureRequest) -> Iterator[None]:
    """Nothing of ours may hold the event loop up: a blocking call made from there raises BlockingError."""
    if request.node.get_closest_marker("anyio") is None:
        yield
        return
    with blockbuster_ctx("app") as blocking:
        for function in blocking.functions.values():
            # For a new connection, of which there are few, PostgreSQL's driver looks for the user's files.
            function.can_block_in("asyncpg/connect_utils.py", "_parse_connect_arguments")
        yield


OpenHouse = Callable[..., Awaitable[House]]


@pytest.fixture
async def open_house(tmp_path: Path, anyio_backend: str) -> AsyncIterator[OpenHouse]:
    """Opens registries over real stores in one folder, the later ones on what the earlier ones left there."""
    opened: list[House] = []

    async def open_(agent: Any, **options: Any) -> House:
        speaks = agent if hasattr(agent, "run_stream") else FunctionAgent(agent)
        opened.append(await House.open(tmp_path, speaks, **options))
        return opened[-1]

    yield open_
    for house in opened:
        await house.close()


@pytest.fixture
async def puppet(anyio_backend: str) -> Puppet:
    return Puppet()


@pytest.fixture
async def house(open_house: OpenHouse, puppet: Puppet) -> House:
    """A registry whose agent is `puppet`."""
    return await open_house(puppet)


@pytest.fixture
def blocks(request: pytest.FixtureRequest) -> list[Block]:
    """The blocks of the page that the test's mark `executes` names."""
    mark = request.node.get_closest_marker("executes")
    page, *languages = mark.args
    claim = Claim(request.node.nodeid, page, tuple(languages), mark.kwargs.get("section"))
    return [block for block in blocks_of(page) if claim.holds(block)]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many schedules were simulated, and how many frames checked."""
    told = [dict(report.user_properties) for report in terminalreporter.getreports("") if report.when == "teardown"]
    if any("schedules" in each for each in told):
        schedules, steps = (sum(each.get(what, 0) for each in told) for what in ("schedules", "steps"))
        terminalreporter.write_line(f"{schedules:,} simulated schedules, {steps:,} steps")
    if checked := sum(each.get("frames", 0) for each in told):
        terminalreporter.write_line(f"{checked:,} frames checked against openapi/messages.json")


def pytest_unconfigure() -> None:
    remove_server()
