"""Fixtures of every test."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from blockbuster import blockbuster_ctx

from app.agents.adapters import FunctionAgent
from tests.house import House, Puppet


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def blocking_calls_are_errors(request: pytest.FixtureRequest) -> Iterator[None]:
    """Nothing of ours may hold the event loop up: a blocking call made from there raises BlockingError."""
    if request.node.get_closest_marker("anyio") is None:
        yield
        return
    with blockbuster_ctx("app"):
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


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many schedules were simulated."""
    told = [dict(report.user_properties) for report in terminalreporter.getreports("passed") if report.when == "call"]
    counted = [each for each in told if "schedules" in each]
    if counted:
        schedules, steps = (sum(each[what] for each in counted) for what in ("schedules", "steps"))
        terminalreporter.write_line(f"{schedules:,} simulated schedules, {steps:,} steps")
