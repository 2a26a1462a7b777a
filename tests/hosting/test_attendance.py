"""Which runs are left by everybody, and when that is noticed (P3.11)."""

import asyncio

import pytest

from app.hosting.attendance import Attendance

pytestmark = pytest.mark.anyio


@pytest.fixture
async def left(anyio_backend: str) -> asyncio.Queue[str]:
    return asyncio.Queue()


async def first(left: asyncio.Queue[str]) -> str:
    async with asyncio.timeout(5):
        return await left.get()


async def test_a_run_that_nobody_ever_follows_is_left(left: asyncio.Queue[str]) -> None:
    attendance = Attendance(0.01, left.put_nowait)
    attendance.watch("run", "session")
    assert await first(left) == "run"


@pytest.mark.parametrize("followed", ["run", "session"])
async def test_viewers_of_the_run_and_of_its_session_count_alike(left: asyncio.Queue[str], followed: str) -> None:
    attendance = Attendance(0.01, left.put_nowait)
    attendance.count(followed, 2)
    attendance.watch("run", "session")
    attendance.watch("bystander", "elsewhere")
    assert await first(left) == "bystander"
    attendance.count(followed, 1)
    assert not attendance.waits("run")
    attendance.count(followed, 0)
    assert attendance.waits("run")
    assert await first(left) == "run"


async def test_who_comes_back_in_time_starts_the_grace_period_anew(left: asyncio.Queue[str]) -> None:
    attendance = Attendance(3600, left.put_nowait)
    attendance.watch("run", "session")
    for _ in range(3):
        assert attendance.waits("run")
        attendance.count("run", 1)
        attendance.count("session", 1)
        attendance.count("run", 0)
        assert not attendance.waits("run")
        attendance.count("session", 0)
    attendance.forget("run")
    assert not attendance.waits("run")
    attendance.count("run", 0)
    assert left.empty()
