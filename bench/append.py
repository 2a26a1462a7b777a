"""Events per second through SqliteLog: 200 runs append at once, with 1, 8 and 64 events to the append.

    python bench/append.py [--synchronous full]

Each run awaits an append before it makes the next, as a run's recorder does. `busy` repeats the middle case while a
tenth of the event loop's time goes to something else.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from pathlib import Path

import uvloop

from app.events import Event, TextDelta
from app.runlog.memory import MemoryLog
from app.runlog.segment_writer import Synchronous
from app.runlog.sqlite import SqliteLog

RUNS = 200


async def run(log: SqliteLog | MemoryLog, run_id: str, segment: list[Event], appends: int, waits: list[float]) -> None:
    for number in range(appends):
        began = time.perf_counter()
        await log.append(run_id, number * len(segment) + 1, segment)
        waits.append(time.perf_counter() - began)


async def measure(name: str, log: SqliteLog | MemoryLog, size: int, appends: int) -> None:
    segment: list[Event] = [TextDelta(f" word {number}", part="t1") for number in range(size)]
    waits: list[float] = []
    before = getattr(log, "commits", 0)
    began, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(run(log, f"{name}-{size}-{number}", segment, appends, waits) for number in range(RUNS)))
    elapsed, spent = time.perf_counter() - began, time.process_time() - cpu
    events, commits = RUNS * appends * size, getattr(log, "commits", 0) - before
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


async def main(synchronous: Synchronous) -> None:
    with tempfile.TemporaryDirectory() as folder:
        log = await SqliteLog.open(Path(folder) / "log.sqlite", synchronous=synchronous)
        for size, appends in ((1, 200), (8, 150), (64, 50)):
            await measure("sqlite", log, size, appends)
        busy = asyncio.create_task(hog())
        await measure("busy", log, 8, 150)
        busy.cancel()
        await log.close()
    memory = MemoryLog()
    for size, appends in ((1, 200), (8, 150), (64, 50)):
        await measure("memory", memory, size, appends)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--synchronous", choices=["normal", "full"], default="normal")
    uvloop.run(main(parser.parse_args().synchronous))
