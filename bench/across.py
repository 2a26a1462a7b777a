"""What a second process adds: from the agent's yield to a viewer of its host, and to one of another process.

    python bench/across.py [--rounds 5] [--viewers 10] [--rate 20] [--events 300]

Two processes on one Valkey and one PostgreSQL are a gateway; a third, embedded, is another. In each round a run at the
first of the two is followed there and at the second, while a run of the embedded one is followed there: all three
audiences at once, so that whatever else the machine does meets all of them. Medians over the rounds.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
from collections.abc import Sequence

import uvloop
from backing import Backing, backing
from faults import check, log_of, opened, started
from following import Follower
from serving import Server, serving

WARM_UP = 20
"""Events at the start that are not counted: code and connections that are used for the first time."""
PATIENCE = 60.0
"""Seconds beyond what its run takes after which a round has failed: somebody waits for what does not come."""

Audience = list[Follower]


async def attend(server: Server, session: str, viewers: int) -> Audience:
    audience = [Follower("ws" if number % 2 else "sse", session) for number in range(viewers)]
    for follower in audience:
        follower.delays = []
        await follower.open(server)
    return audience


async def one_round(embedded: Server, host: Server, other: Server, viewers: int, content: str) -> list[list[float]]:
    """The delays of the three audiences, seconds."""
    alone, shared = await opened(embedded), await opened(host)
    audiences = [
        await attend(server, session, viewers)
        for server, session in ((embedded, alone), (host, shared), (other, shared))
    ]
    everybody = [follower for audience in audiences for follower in audience]
    following = [asyncio.create_task(follower.follow(one_run=True)) for follower in everybody]
    await asyncio.gather(*(follower.caught_up.wait() for follower in everybody))
    runs = await asyncio.gather(started(embedded, content, alone), started(host, content, shared))
    await asyncio.gather(*following)
    for server, (session, run), audience in zip((embedded, host, other), (*runs, runs[1]), audiences, strict=True):
        log = await log_of(server, session, run)
        for follower in audience:
            check([follower], log)
            follower.close()
    return [
        [delay for follower in audience for _, delay in (follower.delays or ())[WARM_UP:]] for audience in audiences
    ]


def quantile(delays: Sequence[float], percent: int) -> float:
    """In milliseconds."""
    return 1000 * statistics.quantiles(delays, n=100)[percent - 1]


def report(rounds: Sequence[Sequence[Sequence[float]]]) -> None:
    print("| | embedded | same process | another process | added | ratio |\n|---|---|---|---|---|---|")
    for percent in (50, 99):
        each = [[quantile(delays, percent) for delays in audiences] for audiences in rounds]
        embedded, same, another = (statistics.median(column) for column in zip(*each, strict=True))
        added = statistics.median(there - here for _, here, there in each)
        ratio = statistics.median(there / here for _, here, there in each)
        print(f"| p{percent} | {embedded:.2f} ms | {same:.2f} ms | {another:.2f} ms | {added:+.2f} ms | {ratio:.2f} |")


async def main(behind: Backing, rounds: int, viewers: int, rate: int, events: int) -> None:
    with (
        serving(agent="pacing:agent") as embedded,
        serving(agent="pacing:agent", **behind.settings) as host,
        serving(agent="pacing:agent", **behind.settings) as other,
    ):
        measured = []
        for number in range(rounds):
            async with asyncio.timeout(events / rate + PATIENCE):
                measured.append(await one_round(embedded, host, other, viewers, f"{events} {rate}"))
            medians = ", ".join(f"{quantile(delays, 50):.2f}/{quantile(delays, 99):.2f} ms" for delays in measured[-1])
            print(f"round {number + 1}, p50/p99: {medians}; load {os.getloadavg()[0]:.1f}", flush=True)
        for server in (embedded, host, other):
            assert server.complaints() == "", server.complaints()
    report(measured)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--viewers", type=int, default=10, help="of each audience")
    parser.add_argument("--rate", type=int, default=20, help="events a second")
    parser.add_argument("--events", type=int, default=300, help="of each run")
    given = parser.parse_args()
    with backing() as servers:
        uvloop.run(main(servers, given.rounds, given.viewers, given.rate, given.events))
