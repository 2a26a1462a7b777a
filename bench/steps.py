"""Steps of a measurement: what the processes of a gateway use while something certain goes on at them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import httpx
from attrs import frozen
from backing import Backing
from faults import all_open, crowd, started
from following import Follower
from serving import Server

AT_ONCE = 20
SETTLED = 1.5
"""Seconds after which what a step began is over, and only what goes on goes on."""
SILENT = "2 0.001"
"""What is told to an agent that shall say nothing."""

Figures = dict[str, float]


@frozen
class Step:
    """What was used while something went on.

    Attributes:
        used: seconds of CPU by process, and what the servers behind them counted.
        heard: messages that came to viewers.
    """

    seconds: float
    used: Figures
    heard: int = 0

    def more(self, name: str, than: Step) -> float:
        """How much more was used than another step would have in the same time."""
        return self.used[name] - than.used[name] * self.seconds / than.seconds


@frozen
class Site:
    """A gateway: the process that executes, another one if there is one, and what is behind them."""

    host: Server
    other: Server | None = None
    behind: Backing | None = None

    def used(self) -> Figures:
        figures = {"host": self.host.cpu()}
        if self.other is not None and self.behind is not None:
            figures |= {"other": self.other.cpu(), **self.behind.keys_told(), **self.behind.rows_cpu()}
        return figures

    async def watch(self, seconds: float, followers: Sequence[Follower] = ()) -> Step:
        """Measure for so long."""
        before, heard = self.used(), count(followers)
        began = time.perf_counter()
        await asyncio.sleep(seconds)
        took, after = time.perf_counter() - began, self.used()
        return Step(took, {name: after[name] - before[name] for name in after}, count(followers) - heard)

    @asynccontextmanager
    async def runs(
        self, number: int, content: str, viewers: int = 0, at: Server | None = None
    ) -> AsyncIterator[list[Follower]]:
        """Runs that go on, each in a session with some viewers."""
        sessions = [(await started(self.host, content))[0] for _ in range(number)]
        followers = [follower for each in sessions for follower in crowd(each, viewers // 2, viewers - viewers // 2)]
        await all_open(at or self.host, followers)
        following = [asyncio.create_task(follower.follow()) for follower in followers]
        await asyncio.sleep(SETTLED)
        yield followers
        for follower in followers:
            follower.close()
        await asyncio.gather(*following)
        async with httpx.AsyncClient(base_url=self.host.url, timeout=60) as http:
            for session in sessions:
                (await http.delete(f"/sessions/{session}")).raise_for_status()
        await asyncio.sleep(SETTLED)

    async def go_on(
        self, number: int, content: str, seconds: float, viewers: int = 0, at: Server | None = None
    ) -> Step:
        async with self.runs(number, content, viewers, at) as followers:
            return await self.watch(seconds, followers)

    async def arrive(self, number: int) -> Figures:
        """What it takes that so many viewers come."""
        async with self.runs(1, SILENT):
            session, _ = await started(self.host, SILENT)
            followers = crowd(session, number // 2, number - number // 2)
            before, memory = self.used(), self.host.memory()
            await all_open(self.host, followers)
            following = [asyncio.create_task(follower.follow()) for follower in followers]
            await asyncio.gather(*(follower.caught_up.wait() for follower in followers))
            after = self.used()
            figures = {name: after[name] - before[name] for name in after}
            figures["memory"] = self.host.memory() - memory
            for follower in followers:
                follower.close()
            await asyncio.gather(*following)
        return {name: value / number for name, value in figures.items()}

    async def begin_and_end(self, number: int) -> Figures:
        """What it takes that so many runs of three events begin and end."""
        gate = asyncio.Semaphore(AT_ONCE)
        told = self.behind.rows_told if self.behind is not None else dict
        async with httpx.AsyncClient(base_url=self.host.url, timeout=60) as http:
            sessions = [(await http.post("/sessions")).json()["id"] for _ in range(number)]

            async def start(session: str) -> None:
                async with gate:
                    (await http.post(f"/sessions/{session}/runs", json={"content": "1 0"})).raise_for_status()

            await asyncio.sleep(SETTLED)
            rows_before: Figures = told()
            before = self.used()
            await asyncio.gather(*map(start, sessions))
            await asyncio.sleep(SETTLED)
            after = self.used()
            rows_after: Figures = told()
        figures = {name: after[name] - before[name] for name in after}
        figures |= {name: rows_after[name] - rows_before[name] for name in rows_after}
        return {name: value / number for name, value in figures.items()}


def count(followers: Sequence[Follower]) -> int:
    return sum(len(follower.messages) for follower in followers)
