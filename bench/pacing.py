"""The agent of measurements: it says numbers, each with the moment at which it was said."""

import asyncio
import gc
import sys
import time
from collections.abc import AsyncGenerator

from app.agents.base import Turn


async def agent(turn: Turn) -> AsyncGenerator[str]:
    """`<how many> <how many a second> [<with how many characters beside it>]`, 0 for as fast as they are taken.

    Or `blocks`: how many blocks of memory the interpreter has allocated.
    """
    if turn.content == "blocks":
        gc.collect()
        yield str(sys.getallocatedblocks())
        return
    count, rate, beside = map(float, (*turn.content.split(), 0)[:3])
    began = time.monotonic()
    for number in range(int(count)):
        if rate and (ahead := began + number / rate - time.monotonic()) > 0:
            await asyncio.sleep(ahead)
        yield f"{number}@{time.monotonic():.6f} {'.' * int(beside)}"
