"""Which runs are left by everybody, and when that is noticed (P3.11)."""

import asyncio

import pytest

from app.errors import StoreUnavailable
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


class Elsewhere:
    """Other processes, and what they say when they are asked for viewers."""

    def __init__(self, *answers: bool | Exception) -> None:
        self.answers = list(answers)
        self.asked = 0

    async def __call__(self, session_id: str, run_id: str) -> bool:
        assert (session_id, run_id) == ("session", "run")
        self.asked += 1
        answer = self.answers.pop(0) if self.answers else False
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.mark.parametrize("seen", [True, StoreUnavailable("nobody can be asked")])
async def test_a_run_is_left_once_no_process_has_had_viewers_for_the_whole_period(
    left: asyncio.Queue[str], seen: bool | Exception
) -> None:
    elsewhere = Elsewhere(False, False, seen, False, seen)
    attendance = Attendance(0.01, left.put_nowait, elsewhere)
    attendance.watch("run", "session")
    assert await first(left) == "run"
    assert elsewhere.asked == 5 + 10


async def test_nobody_is_asked_while_somebody_follows_here_or_once_it_does_not_matter(left: asyncio.Queue[str]) -> None:
    elsewhere = Elsewhere()
    attendance = Attendance(0.0, left.put_nowait, elsewhere)
    attendance.watch("run", "session")
    attendance.count("session", 1)
    assert not attendance.waits("run")
    await asyncio.sleep(0)
    attendance.count("session", 0)
    assert attendance.waits("run")
    attendance.forget("run")
    await asyncio.sleep(0)
    assert elsewhere.asked == 0
    assert left.empty()
