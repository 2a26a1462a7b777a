"""Readiness over real stores: what counts as an answer, and what is said of it in the log."""

import asyncio

import pytest
from structlog.testing import capture_logs

from app.errors import NotReady
from app.hosts.base import Alone
from app.readiness import Readiness
from tests.house import House

pytestmark = pytest.mark.anyio


async def test_stores_that_answer_are_ready_and_nothing_is_said(house: House) -> None:
    with capture_logs() as said:
        await Readiness(house.stores, Alone()).check()

    assert said == []


async def test_a_store_that_was_shut_is_not_ready_and_the_change_is_told_once(house: House) -> None:
    readiness = Readiness(house.stores, Alone())
    await house.log.close()
    with capture_logs() as said:
        for _ in range(3):
            with pytest.raises(NotReady, match="read or written"):
                await readiness.check()

    assert [line["event"] for line in said] == ["stores.not_ready"]


async def test_many_checks_at_once_ask_the_stores_once(house: House) -> None:
    readiness = Readiness(house.stores, Alone())
    before = house.log._live.commits
    await asyncio.gather(*(readiness.check() for _ in range(100)))

    assert house.log._live.commits - before == 1
