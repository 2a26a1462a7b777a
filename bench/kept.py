"""What Valkey keeps of an event in memory, with 1, 8 and 64 events to the append.

    python bench/kept.py --redis redis://127.0.0.1:6379

The server should be idle; what is written is deleted again.
"""

from __future__ import annotations

import argparse
import asyncio

from redis.asyncio import Redis

from app.events import TextDelta
from app.runlog.redis.log import RedisLog

EVENTS = 64 * 320
TEXT = "twenty letters or so"


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--redis", required=True, help="the server's address")
    url = parser.parse_args().redis
    log, server = await RedisLog.open(url, prefix="bench:"), Redis.from_url(url)
    for size in (1, 8, 64):
        before = (await server.info("memory"))["used_memory"]
        for first in range(1, EVENTS + 1, size):
            await log.append("kept", first, [TextDelta(TEXT, part="t1")] * size)
        taken = (await server.info("memory"))["used_memory"] - before
        print(f"{size:3} an append: {taken / EVENTS:6.1f} bytes an event of {len(TEXT)} characters")
        await log.drop("kept")
    await log.close()
    await server.aclose()


if __name__ == "__main__":
    asyncio.run(main())
