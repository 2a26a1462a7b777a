"""Many events through one process for a long time, with viewers that come and go: does its memory stay flat?

    python bench/soak.py [--minutes 10] [--events 2000000]

Four sessions have one run after another; each is followed by viewers that stay for a moment, leave without a word, and
come back where they were, and by one that stays. Each run is checked as a whole; every minute has a line of figures.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import time
from itertools import pairwise

import httpx
import uvloop
from following import SAID, Follower
from serving import Server, serving, unlimited_files

SESSIONS = 4
RUN = 5_000
"""Events in a run."""
KEPT = 5
"""Runs that a session has before it is deleted, and another takes its place."""


class Soak:
    """The load, until it is time.

    Attributes:
        runs, visits: how many runs ended, and how many connections there were.
    """

    def __init__(self, server: Server, rate: int, until: float) -> None:
        self.runs = 0
        self.visits = 0
        self._server = server
        self._rate = rate
        self._until = until
        self._chance = random.Random(2_000_000)
        # No connection is kept: one that the server closes as a request is on its way to it looks like a fault.
        self._http = httpx.AsyncClient(
            base_url=server.url, timeout=60, limits=httpx.Limits(max_keepalive_connections=0)
        )

    async def session_after_session(self) -> None:
        while time.monotonic() < self._until:
            session = (await self._http.post("/sessions")).raise_for_status().json()["id"]
            for number in range(1, KEPT + 1):
                if time.monotonic() < self._until:
                    await self._run(session, number)
            (await self._http.delete(f"/sessions/{session}")).raise_for_status()

    async def blocks(self) -> int:
        """How many blocks of memory the server's interpreter has allocated, after a collection."""
        session = (await self._http.post("/sessions")).json()["id"]
        run = (await self._http.post(f"/sessions/{session}/runs", json={"content": "blocks"})).json()["id"]
        page = (await self._http.get(f"/sessions/{session}/runs/{run}/log", params={"wait": 30})).json()
        while not page["done"]:
            page = (await self._http.get(f"/sessions/{session}/runs/{run}/log", params={"wait": 1})).json()
        (await self._http.delete(f"/sessions/{session}")).raise_for_status()
        return int(page["events"][-1]["content"])

    async def _run(self, session: str, number: int) -> None:
        content = f"{RUN} {self._rate}"
        (await self._http.post(f"/sessions/{session}/runs", json={"content": content})).raise_for_status()
        await asyncio.gather(*(self._watch(session, number, stays=stays) for stays in (True, False)))
        self.runs += 1

    async def _watch(self, session: str, number: int, *, stays: bool) -> None:
        """Follow a run to its end over as many connections as it takes, and check what came."""
        seen: list[dict[str, str]] = []
        while not (seen and seen[-1]["type"] == "stream_end"):
            follower = Follower(self._chance.choice(("ws", "sse")), session)
            await follower.open(self._server, str(seen[-1]["id"]) if seen else f"{number}-0")
            self.visits += 1
            following = asyncio.create_task(follower.follow(one_run=True))
            await asyncio.wait({following}, timeout=60 if stays else self._chance.uniform(0.1, 2))
            follower.close()
            await following
            seen += follower.messages
        ids = [tuple(map(int, str(message["id"]).split("-"))) for message in seen]
        assert all(before < after for before, after in pairwise(ids))
        text = "".join(message["delta"] for message in seen if message["type"] == "stream_delta")
        assert text == seen[-1]["content"]
        assert [int(number) for number, _ in SAID.findall(text)] == list(range(RUN))


async def main(minutes: float, events: int) -> None:
    unlimited_files()
    with serving(agent="pacing:agent") as server:
        began, cpu = time.monotonic(), server.cpu()
        soak = Soak(server, round(events / minutes / 60 / SESSIONS * 1.1), began + minutes * 60)
        print("| minute | runs | events | visits | live blocks | RSS, MiB | sockets | CPU |")
        print("|---|---|---|---|---|---|---|---|", flush=True)
        load = [asyncio.create_task(soak.session_after_session()) for _ in range(SESSIONS)]
        for minute in range(1, round(minutes) + 1):
            await asyncio.wait(load, timeout=began + minute * 60 - time.monotonic(), return_when="FIRST_EXCEPTION")
            for one in load:
                if one.done():
                    one.result()
            blocks, used = await soak.blocks(), server.cpu() - cpu
            print(
                f"| {minute} | {soak.runs} | {soak.runs * RUN:,} | {soak.visits:,} | {blocks:,} "
                f"| {server.memory():.0f} | {server.sockets()} | {used / minute / 60:.0%} |",
                flush=True,
            )
        await asyncio.gather(*load)
        print(f"{soak.runs * RUN:,} events in {(time.monotonic() - began) / 60:.1f} minutes")
        print(f"logged: {server.complaints() or 'nothing'}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=1)
    parser.add_argument("--events", type=int, default=200_000)
    options = parser.parse_args()
    uvloop.run(main(options.minutes, options.events))
