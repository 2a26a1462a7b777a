"""Events per second through SqliteLog: 200 runs append at once, with 1, 8 and 64 events to the append.

    python bench/append.py [--synchronous full] [--redis redis://127.0.0.1:6379]

Each run awaits an append before it makes the next, as a run's recorder does. `busy` repeats the middle case while a
tenth of the event loop's time goes to something else. With a server's address, RedisLog is measured as well, and
`followed` is RedisLog while another one, in the same process, hears every append and reads it.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import time
from pathlib import Path

import uvloop

from app.events import Event, TextDelta
from app.measures import Measures
from app.runlog.base import RunLog
from app.runlog.memory import MemoryLog
from app.runlog.segment_writer import Synchronous
from app.runlog.sqlite import SqliteLog

RUNS = 200


async def run(log: RunLog, run_id: str, segment: list[Event], appends: int, waits: list[float]) -> None:
    for number in range(appends):
        began = time.perf_counter()
        await log.append(run_id, number * len(segment) + 1, segment)
        waits.append(time.perf_counter() - began)


async def measure(name: str, log: RunLog, size: int, appends: int, measures: Measures) -> None:
    segment: list[Event] = [TextDelta(f" word {number}", part="t1") for number in range(size)]
    waits: list[float] = []
    before = sum(measures.commits.counts)
    began, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(run(log, f"{name}-{size}-{number}", segment, appends, waits) for number in range(RUNS)))
    elapsed, spent = time.perf_counter() - began, time.process_time() - cpu
    events, commits = RUNS * appends * size, sum(measures.commits.counts) - before
    waits.sort()
    middle, slow = waits[len(waits) // 2] * 1e3, waits[len(waits) * 99 // 100] * 1e3
    print(
        f"{name:8} {size:3} an append: {events / elapsed:9,.0f} events/s  {len(waits) / elapsed:7,.0f} appends/s"
        f"  {spent / events * 1e6:6.2f} us CPU an event  p50 {middle:6.2f} ms  p99 {slow:6.2f} ms  {commits:5} commits"
    )


async def hog() -> None:
    """Take 2 ms of the loop out of every 20."""
    while True:
        until = time.perf_counter() + 0.002
        while time.perf_counter() < until:
            pass
        await asyncio.sleep(0.018)


async def follow(log: RunLog, run_id: str, last: int) -> None:
    after = 0
    while after < last and await log.wait(run_id, after):
        page = await log.read(run_id, after, 4096)
        after += len(page.entries)


async def measure_redis(url: str) -> None:
    from app.runlog.redis.log import RedisLog  # noqa: PLC0415 - it needs an extra

    measures = Measures()
    log = await RedisLog.open(url, prefix=f"bench-{os.getpid()}:", measures=measures)
    for size, appends in ((1, 200), (8, 150), (64, 50)):
        await measure("redis", log, size, appends, measures)
    busy = asyncio.create_task(hog())
    await measure("busy", log, 8, 150, measures)
    busy.cancel()
    other = await RedisLog.open(url, prefix=f"bench-{os.getpid()}:")
    readers = [asyncio.create_task(follow(other, f"followed-8-{number}", 8 * 150)) for number in range(RUNS)]
    await measure("followed", log, 8, 150, measures)
    await asyncio.gather(*readers)
    await asyncio.gather(*(log.drop(run_id) for run_id in await log.runs()))
    await other.close()
    await log.close()


async def main(synchronous: Synchronous, redis: str | None) -> None:
    with tempfile.TemporaryDirectory() as folder:
        measures = Measures()
        log = await SqliteLog.open(Path(folder) / "log.sqlite", synchronous=synchronous, measures=measures)
        for size, appends in ((1, 200), (8, 150), (64, 50)):
            await measure("sqlite", log, size, appends, measures)
        busy = asyncio.create_task(hog())
        await measure("busy", log, 8, 150, measures)
        busy.cancel()
        await log.close()
    if redis:
        await measure_redis(redis)
    memory = MemoryLog()
    for size, appends in ((1, 200), (8, 150), (64, 50)):
        await measure("memory", memory, size, appends, Measures())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--synchronous", choices=["normal", "full"], default="normal")
    parser.add_argument("--redis", metavar="URL", help="the address of a Redis or Valkey server")
    given = parser.parse_args()
    uvloop.run(main(given.synchronous, given.redis))
