"""An agent that takes no cancellation."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress

from app.agents.base import Turn


async def agent(turn: Turn) -> AsyncGenerator[str]:
    """Say a word, then stay for ever."""
    del turn
    yield "here to stay"
    while True:
        with suppress(asyncio.CancelledError):
            await asyncio.get_running_loop().create_future()
