"""What the log says when the event loop does not turn, and what is counted."""

import asyncio
import time

import pytest
from structlog.testing import capture_logs
from structlog.typing import EventDict

from app.server import watchdog
from app.server.watchdog import Watchdog

pytestmark = pytest.mark.anyio


async def turned(dog: Watchdog, stalls: int) -> None:
    """Wait until so many stalls were counted."""
    async with asyncio.timeout(10):
        while dog.stalls < stalls:  # noqa: ASYNC110 - what is watched says nothing by itself
            await asyncio.sleep(0.01)


def hold_up() -> None:
    time.sleep(2.2)


def named(said: list[EventDict], event: str) -> list[EventDict]:
    return [line for line in said if line["event"] == event]


async def test_what_blocks_the_loop_is_named_once_with_its_stack() -> None:
    with capture_logs() as said, Watchdog() as dog:
        hold_up()
        await turned(dog, 1)
        hold_up()
        await turned(dog, 2)

    (warned,) = named(said, "loop.blocked")
    assert "in hold_up" in warned["stack"]
    assert "time.sleep(2.2)" in warned["stack"]
    assert dog.stalls == 2
    assert 3 < dog.stalled < 20
    assert len(named(said, "loop.turns_again")) == 1


async def test_a_loop_that_turns_is_not_spoken_of() -> None:
    with capture_logs() as said, Watchdog() as dog:
        turns = dog._turned
        async with asyncio.timeout(10):
            while dog._turned == turns:  # noqa: ASYNC110 - the same
                await asyncio.sleep(0)

    assert dog.stalls == 0
    assert named(said, "loop.blocked") == []


async def test_a_block_that_no_thread_could_watch_is_still_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog, "_LOOK", 60)
    with capture_logs() as said, Watchdog() as dog:
        hold_up()
        await turned(dog, 1)

    assert len(named(said, "loop.blocked")) == 1
