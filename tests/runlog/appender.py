"""A process to be killed: appends to a few runs at once, prints `<run> <seq>` for each that was acknowledged."""

import asyncio
import os
import sys
from pathlib import Path

from app.events import TextDelta
from app.runlog.sqlite import SqliteLog

RUNS = 5


async def append_for_ever(log: SqliteLog, run_id: str) -> None:
    seq = (await log.read(run_id, 0, 100_000)).tail
    while True:
        count = seq % 4 + 1
        await log.append(run_id, seq + 1, [TextDelta(str(seq + 1 + number)) for number in range(count)])
        seq += count
        os.write(1, f"{run_id} {seq}\n".encode())


async def main() -> None:
    log = await SqliteLog.open(Path(sys.argv[1]))
    await asyncio.gather(*(append_for_ever(log, f"r{number}") for number in range(RUNS)))


if __name__ == "__main__":
    asyncio.run(main())
