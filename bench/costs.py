"""What an event, a delivery, a viewer and a run cost each process, embedded and with Valkey, all in one run.

    python bench/costs.py [--rounds 5] [--runs 40] [--rate 20] [--seconds 6] [--write bench/costs.json]

Each round starts fresh processes: one that is embedded; two on one Valkey and one PostgreSQL, of which the first
executes all runs. Steps that differ by one thing (nothing; runs that are silent; runs that speak; that have viewers)
are measured one after another, and by how much they differ is divided by what differed. Costs are microseconds of CPU,
user and system, of one process; medians over the rounds. `--write` makes the file that `model.py` reads.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import statistics
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import uvloop
from backing import Backing, backing, fan_out
from serving import serving, unlimited_files
from steps import AT_ONCE, SILENT, Figures, Site, Step

CROWD = 400
"""Viewers whose arrival is measured."""
AUDIENCE = 6
"""Viewers of each run, where deliveries are measured."""
SHORT_RUNS = 300


def micro(seconds: float, of: float) -> float:
    return seconds * 1e6 / of


async def process_costs(site: Site, runs: int, rate: float, seconds: float) -> tuple[Figures, dict[str, Step]]:
    """What a process pays for what it executes and shows, and the steps that say so."""
    await site.begin_and_end(AT_ONCE)
    await site.arrive(AT_ONCE)
    arrival, short = await site.arrive(CROWD), await site.begin_and_end(SHORT_RUNS)
    speaking = f"1000000 {rate:g}"
    steps = {
        "idle": await site.watch(seconds),
        "silent": await site.go_on(runs, SILENT, seconds),
        "speaking": await site.go_on(runs, speaking, seconds),
        "shown": await site.go_on(runs, speaking, seconds, AUDIENCE),
    }
    idle, silent, spoken, shown = steps.values()
    said = runs * rate * shown.seconds
    print(f"heard {shown.heard / said / AUDIENCE:.0%} of the messages one by one", flush=True)
    costs = {
        "idle_us": micro(idle.used["host"], idle.seconds),
        "open_us": micro(silent.more("host", idle), runs * silent.seconds),
        "event_us": micro(spoken.more("host", silent), runs * rate * spoken.seconds),
        "delivery_us": micro(shown.more("host", spoken), shown.heard),
        "run_us": micro(short["host"], 1),
        "attach_us": micro(arrival["host"], 1),
        "viewer_kib": arrival["memory"] * 1024,
    }
    return costs, steps | {"arrival": Step(1, arrival), "short": Step(1, short)}


async def embedded(runs: int, rate: float, seconds: float) -> Figures:
    with serving(agent="pacing:agent") as server:
        costs, _ = await process_costs(Site(server), runs, rate, seconds)
    return costs


async def alone(behind: Backing, seconds: float) -> Figures:
    """Seconds of CPU that both servers take a second while nobody uses them."""
    before = behind.keys_told() | behind.rows_cpu()
    began = time.perf_counter()
    await asyncio.sleep(seconds)
    after = behind.keys_told() | behind.rows_cpu()
    return {name: (after[name] - before[name]) / (time.perf_counter() - began) for name in ("valkey", "postgresql")}


async def shared(behind: Backing, runs: int, rate: float, seconds: float) -> dict[str, Figures]:
    unused = await alone(behind, seconds)
    with (
        serving(agent="pacing:agent", **behind.settings) as host,
        serving(agent="pacing:agent", **behind.settings) as other,
    ):
        site = Site(host, other, behind)
        costs, steps = await process_costs(site, runs, rate, seconds)
        watched = await site.go_on(runs, SILENT, seconds, 1, other)
        followed = await site.go_on(runs, f"1000000 {rate:g}", seconds, 1, other)
    fanning_out = await fan_out(behind)
    idle, silent, spoken = steps["idle"], steps["silent"], steps["speaking"]
    short, arrival = steps["short"].used, steps["arrival"].used
    said, heard = runs * rate * spoken.seconds, runs * rate * followed.seconds
    costs["follow_us"] = micro(watched.more("other", idle), runs * watched.seconds)
    costs["follow_event_us"] = micro(followed.more("other", watched), heard) - costs["delivery_us"]
    valkey = {
        "idle_us": micro(idle.used["valkey"] / idle.seconds - unused["valkey"], 2),
        "open_us": micro(silent.more("valkey", idle), runs * silent.seconds),
        "event_us": micro(spoken.more("valkey", silent), said),
        "follow_us": micro(watched.more("valkey", silent), runs * watched.seconds),
        "follow_event_us": micro(fanning_out, 1),
        "run_us": micro(short["valkey"], 1),
        "event_in_bytes": spoken.more("valkey in", silent) / said,
        "event_out_bytes": spoken.more("valkey out", silent) / said,
        "follow_event_out_bytes": followed.used["valkey out"] / heard - spoken.used["valkey out"] / said,
        "event_memory_bytes": spoken.used["valkey memory"] / said,
    }
    postgresql = {
        "idle_us": micro(idle.used["postgresql"] / idle.seconds - unused["postgresql"], 2),
        "run_us": micro(short["postgresql"], 1),
        "run_writes": short["postgresql writes"],
        "run_wal_bytes": short["postgresql wal"],
        "attach_us": micro(arrival["postgresql"], 1),
    }
    return {"shared": costs, "valkey": valkey, "postgresql": postgresql}


def median(rounds: Sequence[dict[str, Figures]]) -> dict[str, Figures]:
    """Figure by figure; what is less than the noise is nothing."""
    return {
        part: {name: round(max(0, statistics.median(each[part][name] for each in rounds)), 2) for name in figures}
        for part, figures in rounds[0].items()
    }


def report(found: dict[str, Figures], rounds: Sequence[dict[str, Figures]]) -> None:
    print("| | embedded | shared | Valkey | PostgreSQL |\n|---|---|---|---|---|")
    parts = ("embedded", "shared", "valkey", "postgresql")
    for name in dict.fromkeys(name for part in parts for name in found[part]):
        cells = []
        for part in parts:
            values = [each[part][name] for each in rounds if name in each[part]]
            cells.append(f"{found[part][name]:,.1f} ({min(values):,.1f} to {max(values):,.1f})" if values else "")
        print(f"| {name} | {' | '.join(cells)} |")


async def main(behind: Backing, given: argparse.Namespace) -> None:
    unlimited_files()
    rounds: list[dict[str, Figures]] = []
    loads = []
    how = (given.runs, given.rate, given.seconds)
    for number in range(given.rounds):
        found = {"embedded": await embedded(*how)} if number % 2 == 0 else {}
        found |= await shared(behind, *how)
        rounds.append(found if found.get("embedded") else found | {"embedded": await embedded(*how)})
        loads.append(os.getloadavg()[0])
        print(f"round {len(rounds)}: load {loads[-1]:.1f}", flush=True)
    found = median(rounds)
    report(found, rounds)
    if given.write:
        measured = {
            "at": f"{datetime.now(UTC):%Y-%m-%d}",
            "on": f"{os.cpu_count()} cores, {platform.system()}, {platform.python_implementation()} "
            f"{platform.python_version()}",
            "load": f"{min(loads):.1f} to {max(loads):.1f}",
            "rounds": given.rounds,
            "rate": given.rate,
        }
        given.write.write_text(json.dumps({"measured": measured} | found, indent=2) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--runs", type=int, default=40, help="at a time")
    parser.add_argument("--rate", type=float, default=20, help="events a second of each run")
    parser.add_argument("--seconds", type=float, default=6, help="of each step")
    parser.add_argument("--write", type=Path, metavar="FILE")
    options = parser.parse_args()
    with backing() as servers:
        uvloop.run(main(servers, options))
