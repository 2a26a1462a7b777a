"""Rates are of any minute, not of the minutes of a clock."""

import asyncio

import pytest

from app.transports.rates import Rate

pytestmark = pytest.mark.anyio


async def test_no_more_than_the_limit_in_any_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter((1000.0, 1030.0, 1059.0, 1059.5, 1060.0, 1061.0, 1090.0))
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: next(clock))
    rate = Rate(3)
    taken = [rate.admits() for _ in range(7)]
    monkeypatch.undo()

    assert taken == [True, True, True, False, True, False, True]
