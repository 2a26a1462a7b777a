"""A thousand viewers of one run: half over WebSockets, half over SSE, against a server process of its own.

    python bench/viewers.py [--viewers 1000] [--rate 40] [--rounds 3]

All are attached before the run starts, none may miss or repeat anything, and the server's memory has to return to
where it was once they have left. This process is the clients; the server has the other one.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from itertools import pairwise
from urllib.parse import urlsplit

import httpx
import uvloop
from attrs import define, field
from serving import Server, serving, unlimited_files
from websockets.asyncio.client import connect

AT_ONCE = 50
"""Handshakes under way at the same time."""
TERMINAL = '"type":"stream_end"'


@define
class Viewer:
    """What one viewer received."""

    attached: asyncio.Event = field(factory=asyncio.Event)
    messages: list[str] = field(factory=list)

    def take(self, text: str) -> bool:
        """Remember a message; True at the run's end."""
        self.messages.append(text)
        if not self.attached.is_set():
            self.attached.set()
        return text.startswith("{" + TERMINAL)


async def watch_socket(server: Server, session: str, viewer: Viewer, gate: asyncio.Semaphore) -> None:
    url = f"{server.url.replace('http', 'ws', 1)}/ws/sessions/{session}"
    async with gate:
        socket = await connect(url, compression=None, max_size=None, ping_interval=None)
    async with socket:
        async for text in socket:
            if viewer.take(str(text)):
                return


async def watch_events(server: Server, session: str, viewer: Viewer, gate: asyncio.Semaphore) -> None:
    address = urlsplit(server.url)
    async with gate:
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        writer.write(f"GET /sessions/{session}/events HTTP/1.1\r\nhost: {address.netloc}\r\n\r\n".encode())
        await reader.readuntil(b"\r\n\r\n")
    try:
        while True:
            size = int(await reader.readuntil(b"\r\n"), 16)
            chunk = (await reader.readexactly(size + 2)).decode()
            for line in chunk.split("\n"):
                if line.startswith("data: ") and viewer.take(line.removeprefix("data: ")):
                    return
    finally:
        writer.close()
        await writer.wait_closed()


def check(viewers: list[Viewer]) -> int:
    """Raise unless every viewer got the whole run once; the answer is how many messages came in all."""
    told: set[tuple[str, ...]] = set()
    for viewer in viewers:
        told.add(tuple(viewer.messages))
    for messages in told:  # most viewers were told the same
        parsed = [json.loads(text) for text in messages]
        logged = [message for message in parsed if "id" in message]
        seqs = [int(message["id"].partition("-")[2]) for message in logged]
        assert all(before < after for before, after in pairwise(seqs))
        assert logged[0]["type"] == "stream_start"
        assert sum(message["type"] == "caught_up" for message in parsed) == 1
        text = "".join(message["delta"] for message in logged if message["type"] == "stream_delta")
        assert text == logged[-1]["content"]
    return sum(len(viewer.messages) for viewer in viewers)


async def peak(server: Server, most: list[float]) -> None:
    while True:
        most[0] = max(most[0], server.memory())
        await asyncio.sleep(0.05)


async def one_round(server: Server, count: int, rate: float) -> str:
    async with httpx.AsyncClient(base_url=server.url) as http:
        session = (await http.post("/sessions")).json()["id"]
    idle, before = server.sockets(), server.memory()
    viewers = [Viewer() for _ in range(count)]
    gate = asyncio.Semaphore(AT_ONCE)
    most = [before]
    sampling = asyncio.create_task(peak(server, most))
    began, cpu_before = time.perf_counter(), server.cpu()
    async with asyncio.TaskGroup() as group:
        for number, viewer in enumerate(viewers):
            watch = watch_socket if number % 2 else watch_events
            group.create_task(watch(server, session, viewer, gate))
        for viewer in viewers:
            await viewer.attached.wait()
        attached, cpu_attached, held = time.perf_counter(), server.cpu(), server.memory()
        async with httpx.AsyncClient(base_url=server.url) as http:
            body = {"content": f"/quiet /length 460 /rate {rate:g} a bench"}
            run = (await http.post(f"/sessions/{session}/runs", json=body)).json()
    done = time.perf_counter()
    sampling.cancel()
    while server.sockets() > idle:  # noqa: ASYNC110 - /proc has no event to wait for
        await asyncio.sleep(0.02)
    cpu, after = server.cpu(), server.memory()
    received = check(viewers)
    async with httpx.AsyncClient(base_url=server.url) as http:
        position = (await http.get(f"/sessions/{session}/runs/{run['id']}")).json()["position"]
    return (
        f"| {count} | {rate:g} | {position.partition('-')[2]} | {received:,} | {attached - began:.1f} s "
        f"| {cpu_attached - cpu_before:.1f} s | {done - attached:.1f} s | {cpu - cpu_attached:.1f} s "
        f"| {before:.0f} | {held:.0f} | {most[0]:.0f} | {after:.0f} |"
    )


async def main(count: int, rate: float, rounds: int) -> None:
    unlimited_files()
    with serving() as server:
        print("| viewers | rate | events | received | attach | CPU | run | CPU | before | attached | peak | after |")
        print("|---|---|---|---|---|---|---|---|---|---|---|---|")
        for _ in range(rounds):
            print(await one_round(server, count, rate), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--viewers", type=int, default=1000)
    parser.add_argument("--rate", type=float, default=40)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    uvloop.run(main(options.viewers, options.rate, options.rounds))
