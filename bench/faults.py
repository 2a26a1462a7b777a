"""What viewers get through: a shutdown, neighbours that stall or vanish, everybody coming back at once.

    python bench/faults.py [shutdown] [stalls] [storm]

Every viewer's messages are checked: the script stops at the first that is not exact. `stalls` takes root, and loses
packets in a network namespace of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import random
import signal
import statistics
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from itertools import pairwise

import httpx
import uvloop
from following import Follower
from serving import Server, serving, unlimited_files

AT_ONCE = 50
"""Handshakes under way at the same time, where it does not matter."""
CUT_PORTS = 20_000
SETTLED = 10.0
"""Seconds of undisturbed streaming that later ones are compared with."""
PATIENCE = 120.0
LONG = 1_000_000
HALF = 100_000
"""Characters that have come when everybody drops out of a run of 10,000 events."""


async def opened(server: Server) -> str:
    """A session without runs: whoever follows it has caught up at once, and then sees its first run."""
    async with httpx.AsyncClient(base_url=server.url) as http:
        return str((await http.post("/sessions")).raise_for_status().json()["id"])


async def started(server: Server, content: str, session: str | None = None) -> tuple[str, str]:
    """A run, in a session of its own if none is given."""
    session = session or await opened(server)
    async with httpx.AsyncClient(base_url=server.url) as http:
        run = (await http.post(f"/sessions/{session}/runs", json={"content": content})).raise_for_status().json()
    return session, run["id"]


async def log_of(server: Server, session: str, run: str) -> list[dict[str, str]]:
    """Every message of a run that has ended, none merged with another."""
    events: list[dict[str, str]] = []
    page = {"next": "0", "done": False}
    async with httpx.AsyncClient(base_url=server.url) as http:
        while not page["done"]:
            query = {"after": page["next"], "limit": 50, "wait": 30}
            page = (await http.get(f"/sessions/{session}/runs/{run}/log", params=query)).raise_for_status().json()
            events += page["events"]
    return events


def crowd(session: str, sse: int, ws: int) -> list[Follower]:
    return [Follower("sse", session) for _ in range(sse)] + [Follower("ws", session) for _ in range(ws)]


async def all_open(server: Server, followers: Iterable[Follower]) -> None:
    gate = asyncio.Semaphore(AT_ONCE)

    async def open_one(follower: Follower) -> None:
        async with gate:
            await follower.open(server)

    await asyncio.gather(*map(open_one, followers))


def check(parts: Sequence[Follower], log: list[dict[str, str]]) -> None:
    """Raise unless what a viewer got over its connections is the log, each event once."""
    messages = [message for part in parts for message in part.messages]
    seqs = [int(message["id"].partition("-")[2]) for message in messages]
    assert all(before < after for before, after in pairwise(seqs))
    text = "".join(message["delta"] for message in messages if message["type"] == "stream_delta")
    assert text == "".join(message["delta"] for message in log if message["type"] == "stream_delta")
    assert messages[0] == log[0]
    assert messages[-1] == log[-1]


async def shutdown() -> None:
    """SIGTERM with 500 SSE and 50 WebSocket viewers."""
    with serving(agent="pacing:agent") as server:
        session, run = await started(server, f"{LONG} 10")
        before = crowd(session, 500, 50)
        await all_open(server, before)
        told: list[float] = []

        async def follow(follower: Follower) -> None:
            await follower.follow()
            told.append(time.monotonic())
            follower.close()

        following = [asyncio.create_task(follow(follower)) for follower in before]
        while not all(follower.messages for follower in before):  # noqa: ASYNC110
            await asyncio.sleep(0.1)
        await asyncio.sleep(2)
        began = time.monotonic()
        server.signal(signal.SIGTERM)
        await asyncio.gather(*following)
        status = await asyncio.to_thread(server.wait)
        gone = time.monotonic() - began
        codes = {follower.close_code for follower in before}
        assert server.complaints() == "", server.complaints()
        server.start()
        log = await log_of(server, session, run)
        again = crowd(session, 500, 50)
        back = time.monotonic()
        await resume(server, before, again)
        took = time.monotonic() - back
        for pair in zip(before, again, strict=True):
            check(pair, log)
    print(f"| told, first and last | {min(told) - began:.2f} s, {max(told) - began:.2f} s |")
    print(f"| close codes | {codes} |")
    print(f"| exit, {status} | after {gone:.1f} s, nothing in the log |")
    print(f"| all 550 resumed and exact | {took:.1f} s after the restart |")


async def resume(server: Server, before: Sequence[Follower], again: Sequence[Follower]) -> list[float]:
    """Come back where each broke off, all at once; how long each took to have all there is, seconds."""

    async def come_back(old: Follower, new: Follower) -> float:
        began = time.monotonic()
        await new.open(server, old.position)
        following = asyncio.create_task(new.follow())
        await new.caught_up.wait()
        took = time.monotonic() - began
        new.close()
        await following
        return took

    return await asyncio.gather(*(come_back(*pair) for pair in zip(before, again, strict=True)))


async def stalls() -> None:
    """200 viewers that never read and 200 that are cut from the network, beside 50 that are well."""
    alone()
    with serving(agent="pacing:agent") as server:
        session, run = await started(server, f"{LONG} 10 500")
        well, stalling, cut = crowd(session, 25, 25), crowd(session, 100, 100), crowd(session, 100, 100)
        for follower in well:
            follower.delays = []
        await all_open(server, well)
        for number, follower in enumerate(stalling):
            await follower.open(server, buffer=4096)
            await cut[number].open(server, port=CUT_PORTS + number)
        tasks = [asyncio.create_task(follower.follow()) for follower in (*well, *stalling, *cut)]
        await asyncio.sleep(2)
        settled = time.monotonic()
        await asyncio.sleep(SETTLED)

        attached = server.sockets()
        for follower in stalling:
            follower.stall()
        lose(f"{CUT_PORTS}:{CUT_PORTS + len(cut) - 1}")
        began = time.monotonic()
        freed: list[float] = []
        while len(freed) < len(stalling) + len(cut):
            await asyncio.sleep(0.1)
            gone = attached - server.sockets()
            freed += [time.monotonic() - began] * (gone - len(freed))
            assert time.monotonic() - began < PATIENCE, len(freed)
        over = time.monotonic()
        async with httpx.AsyncClient(base_url=server.url) as http:
            await http.post(f"/sessions/{session}/runs/{run}/cancel")
        log = await log_of(server, session, run)
        await asyncio.wait(tasks[: len(well)], timeout=2)
        for task in tasks:
            task.cancel()
        for follower in well:
            check([follower], log)
        complaints = server.complaints()
    delays = [pair for follower in well for pair in follower.delays or ()]
    print("| | p50 | p99 | most |\n|---|---|---|---|")
    for name, since, until in (("before", settled, began), ("while 400 stall", began, over)):
        print(f"| {name} | {quantiles(delay for at, delay in delays if since <= at < until)} |")
    print("freed after:", ", ".join(f"{freed[at]:.1f} s" for at in (0, 99, 199, 299, 399)))
    print(f"logged: {complaints or 'nothing'}")


def quantiles(seconds: Iterable[float]) -> str:
    cuts = statistics.quantiles(values := list(seconds), n=100)
    return " | ".join(f"{1000 * value:.1f} ms" for value in (cuts[49], cuts[98], max(values)))


def alone() -> None:
    """Move to a network namespace that holds nobody but this process and what it starts."""
    if ctypes.CDLL(None, use_errno=True).unshare(0x40000000):
        raise SystemExit("no network namespace can be made: that takes root")
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


def lose(ports: str) -> None:
    for side in ("--sport", "--dport"):
        subprocess.run(["iptables", "-A", "INPUT", "-p", "tcp", side, ports, "-j", "DROP"], check=True)


async def storm() -> None:
    """1,000 viewers that reconnect at once to a run of 10,000 events."""
    chance = random.Random(1000)
    with serving(agent="pacing:agent") as server:
        print("| the run | all there | p50 | p99 |\n|---|---|---|---|")
        session, run = await started(server, "9990 0")
        log = await log_of(server, session, run)
        before = crowd(session, 500, 500)
        for follower in before:
            follower.messages = log[: chance.randrange(1, len(log) - 1)]
        await one_storm(f"of {len(log):,} messages, ended", server, before, log)

        session = await opened(server)
        before = crowd(session, 500, 500)
        await all_open(server, before)
        session, run = await started(server, "9990 1000", session)
        following = [asyncio.create_task(follower.follow()) for follower in before]
        while max(len(follower.text) for follower in before[::100]) < HALF:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
        for follower in before:
            follower.close()
        await asyncio.gather(*following)
        begun = await one_storm("in progress", server, before, None)
        log = await log_of(server, session, run)
        rest = crowd(session, 500, 500)
        for one, two in zip(before, begun, strict=True):
            two.messages = one.messages + two.messages
        await resume(server, begun, rest)
        for pair in zip(begun, rest, strict=True):
            check(pair, log)
        assert server.complaints() == "", server.complaints()


async def one_storm(
    name: str, server: Server, before: Sequence[Follower], log: list[dict[str, str]] | None
) -> list[Follower]:
    again = [Follower(follower.transport, follower.session) for follower in before]
    began = time.monotonic()
    took = await resume(server, before, again)
    whole = time.monotonic() - began
    for pair in zip(before, again, strict=True):
        if log is not None:
            check(pair, log)
    cuts = statistics.quantiles(took, n=100)
    print(f"| {name} | {whole:.1f} s | {cuts[49]:.1f} s | {cuts[98]:.1f} s |", flush=True)
    return again


FIGURES: dict[str, Callable[[], Awaitable[None]]] = {"shutdown": shutdown, "stalls": stalls, "storm": storm}


async def main(names: Sequence[str]) -> None:
    unlimited_files()
    for name in names or list(FIGURES):
        figure = FIGURES[name]
        print(f"\n{figure.__doc__}\n", flush=True)
        await figure()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("figures", nargs="*", choices=[*FIGURES, []])
    uvloop.run(main(parser.parse_args().figures))
