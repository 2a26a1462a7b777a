"""How long the runs of a process go on that was killed: until another one has ended them all (P7.1).

    python bench/takeover.py [--rounds 5] [--runs 600] [--rate 1] [--survivors 1]

The processes of a gateway share one Valkey and one PostgreSQL. One of them has all the runs, of so many events a second
each, and is killed with SIGKILL. Every tenth of a second the rows are looked at: how many are still running, and how
many are not yet put into the archive. Medians over the rounds.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import signal
import statistics
import time
from collections.abc import Sequence

import asyncpg
import httpx
import uvloop
from attrs import astuple, frozen
from backing import Backing, backing
from besieging import Gateway, gateways

AT_ONCE = 20
LOOK_EVERY = 0.1
PATIENCE = 60.0
SPREAD = 3.0
"""Seconds from the last start to the death, at most: signs of life must not be given in step with it."""


@frozen
class Takeover:
    """Seconds from the death of a process; CPU of those that are left, seconds."""

    first_ended: float
    last_ended: float
    last_archived: float
    cpu: float


async def begin(victim: Gateway, runs: int, rate: float) -> None:
    gate = asyncio.Semaphore(AT_ONCE)
    content = {"content": f"/quiet /length 10000 /rate {rate:g}"}

    async def one(http: httpx.AsyncClient) -> None:
        async with gate:
            session = (await http.post("/sessions")).raise_for_status().json()["id"]
            (await http.post(f"/sessions/{session}/runs", json=content)).raise_for_status()

    async with httpx.AsyncClient(base_url=victim.url, timeout=60) as http:
        await asyncio.gather(*(one(http) for _ in range(runs)))


async def one_round(behind: list[Gateway], rows: asyncpg.Connection, runs: int, rate: float) -> Takeover:
    victim, *others = behind
    await begin(victim, runs, rate)
    await asyncio.sleep(random.uniform(0, SPREAD))
    spent = -sum(other.server.cpu() for other in others)
    victim.server.signal(signal.SIGKILL)
    died = time.monotonic()
    victim.server.wait()
    first = last = archived = 0.0
    while not archived:
        await asyncio.sleep(LOOK_EVERY)
        count = "SELECT count(*) FILTER (WHERE ended_at IS NULL), count(*) FILTER (WHERE NOT archived) FROM runs"
        running, left = await rows.fetchrow(count)
        passed = time.monotonic() - died
        first = first or passed * (running < runs)
        last = last or passed * (not running)
        archived = passed * (not left)
        if passed > PATIENCE:
            raise TimeoutError(f"{running} runs go on, and {left} are not put away, {passed:.0f} s after a death")
    spent += sum(other.server.cpu() for other in others)
    wrong = await rows.fetchval("SELECT count(*) FROM runs WHERE status <> 'interrupted'")
    assert wrong == 0, f"{wrong} runs ended otherwise"
    await rows.execute("DELETE FROM sessions")
    victim.server.start()
    return Takeover(first, last, archived, spent)


def report(rounds: Sequence[Takeover], runs: int) -> None:
    print(
        f"| runs | first ended | last ended | from the first to the last | last archived | CPU a run |\n|{'---|' * 6}"
    )
    first, last, archived, cpu = map(statistics.median, zip(*map(astuple, rounds), strict=True))
    took = statistics.median(each.last_ended - each.first_ended for each in rounds)
    print(f"| {runs} | {first:.1f} s | {last:.1f} s | {took:.1f} s | {archived:.1f} s | {1000 * cpu / runs:.1f} ms |")


async def main(servers: Backing, rounds: int, runs: int, rate: float, survivors: int) -> None:
    rows = await asyncpg.connect(servers.database_url.replace("+asyncpg", ""))
    took = []
    with gateways(1 + survivors, servers.database_url, servers.keys.url, max_runs=str(runs)) as behind:
        for number in range(rounds):
            took.append(await one_round(behind, rows, runs, rate))
            seconds = ", ".join(f"{each:.1f}" for each in astuple(took[-1]))
            print(f"round {number + 1}: {seconds} s; load {os.getloadavg()[0]:.1f}", flush=True)
    await rows.close()
    report(took, runs)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--runs", type=int, default=600)
    parser.add_argument("--rate", type=float, default=1, help="events a second, of each run")
    parser.add_argument("--survivors", type=int, default=1, help="processes that are left")
    given = parser.parse_args()
    with backing() as behind:
        uvloop.run(main(behind, given.rounds, given.runs, given.rate, given.survivors))
