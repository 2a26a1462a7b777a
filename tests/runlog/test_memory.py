"""MemoryLog where a black box ends."""

import asyncio

import pytest

from app.runlog.memory import MemoryLog

pytestmark = pytest.mark.anyio


async def test_runs_that_were_only_waited_for_leave_nothing_behind() -> None:
    log = MemoryLog()
    waiters = [asyncio.create_task(log.wait(f"r{number // 2}", 0)) for number in range(20)]
    await asyncio.sleep(0)
    assert len(log._windows) == 10

    for waiter in waiters:
        waiter.cancel()
    await asyncio.gather(*waiters, return_exceptions=True)

    assert not log._windows
