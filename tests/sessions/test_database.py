"""Reading and writing: what a caller who went away leaves behind."""

import asyncio
import gc
from typing import Any

import pytest
from sqlalchemy import text

from app.sessions.sql import SqlSessionStore

pytestmark = pytest.mark.anyio


async def test_a_failure_whose_caller_went_away_is_no_unhandled_exception(store: SqlSessionStore) -> None:
    unhandled: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unhandled.append(context))
    reading = asyncio.create_task(store._database.read(text("SELECT nothing FROM nowhere")))
    await asyncio.sleep(0)
    reading.cancel()
    await asyncio.wait({reading, *store._database._going_on})
    assert reading.cancelled()
    del reading
    gc.collect()
    assert unhandled == []
