"""Several gateways that are one, with what they share and a proxy in front; and what befalls them."""

from __future__ import annotations

import asyncio
import contextlib
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from string import Template

import asyncpg
import httpx
from attrs import define, field
from serving import Server

PAUSE = (14.0, 16.0)
"""Seconds that a process stands still: longer than others take to give it up."""
DOWN = (0.5, 4.0)
"""Seconds until a process that was killed is started again."""
AT_MOST = 15.0
"""Seconds from the death of a process to the ends of its runs (P7.1)."""
LOOK_EVERY = 0.25

_NGINX = Template("""
daemon off;
pid $folder/pid;
error_log stderr crit;
worker_processes 1;
worker_rlimit_nofile 20000;
events { worker_connections 8192; }
http {
    access_log off;
    client_body_temp_path $folder/body;
    proxy_temp_path $folder/proxy;
    fastcgi_temp_path $folder/fastcgi;
    uwsgi_temp_path $folder/uwsgi;
    scgi_temp_path $folder/scgi;
    map $$http_upgrade $$connection_upgrade { default upgrade; "" ""; }
    upstream runcast { zone runcast 64k; least_conn; $servers }
    server {
        listen 127.0.0.1:$port backlog=4096;
        location / {
            proxy_pass http://runcast;
            proxy_http_version 1.1;
            proxy_connect_timeout 2s;
            proxy_set_header Host $$host:$$server_port;
            proxy_set_header Upgrade $$http_upgrade;
            proxy_set_header Connection $$connection_upgrade;
        }
    }
}
""")


def free_port() -> int:
    """One that is not among those that connections are made from, so that it is free again at the next start."""
    while True:
        port = random.randint(15000, 30000)
        with socket.socket() as taken, contextlib.suppress(OSError):
            taken.bind(("127.0.0.1", port))
            return port


@define(eq=False)
class Gateway:
    """One process of the gateway.

    Attributes:
        name: what it is called in the rows of its runs.
        well: nothing has befallen it.
    """

    server: Server
    name: str = ""
    well: bool = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.port}"


@define(eq=False)
class Siege:
    """What is done to the gateways, and what the database says meanwhile.

    Attributes:
        dead: when each host died, by its name.
        longest: seconds that a run went on whose host had died.
        wrong: what should not have happened.
    """

    gateways: list[Gateway]
    database: str
    chance: random.Random
    count: Counter[str]
    dead: dict[str, float] = field(factory=dict)
    longest: float = 0.0
    wrong: list[str] = field(factory=list)

    async def name_all(self) -> None:
        """Learn what the processes are called."""
        await asyncio.gather(*(self._name(gateway) for gateway in self.gateways))

    async def befall(self, kills: int, pauses: int, restarts: int, every: float) -> None:
        """Do all that, in any order, to any of the gateways; never to all of them at once."""
        kinds = [self._kill] * kills + [self._pause] * pauses + [self._restart] * restarts
        self.chance.shuffle(kinds)
        async with asyncio.TaskGroup() as group:
            for kind in kinds:
                await asyncio.sleep(self.chance.uniform(0.5, 1.5) * every)
                while sum(gateway.well for gateway in self.gateways) <= 1:  # noqa: ASYNC110
                    await asyncio.sleep(0.2)
                victim = self.chance.choice([gateway for gateway in self.gateways if gateway.well])
                victim.well = False
                group.create_task(kind(victim))

    async def watch(self) -> None:
        """Look at the rows, again and again: who runs, and where."""
        connection = await asyncpg.connect(self.database)
        try:
            while True:
                asked = time.monotonic()
                rows = await connection.fetch("SELECT session_id, host FROM runs WHERE status = 'running'")
                self.count["looks"] += 1
                for session, runs in Counter(row["session_id"] for row in rows).items():
                    if runs > 1:
                        self.wrong.append(f"{session} has {runs} runs in progress")
                for host in {row["host"] for row in rows} & self.dead.keys():
                    self.longest = max(self.longest, asked - self.dead[host])
                    if asked - self.dead[host] > AT_MOST:
                        self.wrong.append(f"a run of {host} goes on after {asked - self.dead[host]:.1f} s")
                await asyncio.sleep(LOOK_EVERY)
        finally:
            await connection.close()

    async def _kill(self, victim: Gateway) -> None:
        self.count["kills"] += 1
        victim.server.signal(signal.SIGKILL)
        self.dead[victim.name] = time.monotonic()
        await asyncio.to_thread(victim.server.wait)
        await asyncio.sleep(self.chance.uniform(*DOWN))
        await self._start(victim)

    async def _pause(self, victim: Gateway) -> None:
        self.count["pauses"] += 1
        victim.server.signal(signal.SIGSTOP)
        self.dead[victim.name] = time.monotonic()
        await asyncio.sleep(self.chance.uniform(*PAUSE))
        del self.dead[victim.name]
        victim.server.signal(signal.SIGCONT)
        victim.well = True

    async def _restart(self, victim: Gateway) -> None:
        self.count["restarts"] += 1
        victim.server.signal(signal.SIGTERM)
        await asyncio.to_thread(victim.server.wait)
        self.dead[victim.name] = time.monotonic()
        await self._start(victim)

    async def _start(self, victim: Gateway) -> None:
        await asyncio.to_thread(victim.server.start)
        await self._name(victim)
        victim.well = True

    async def _name(self, gateway: Gateway) -> None:
        """A process has its name in the row of a run that was started there."""
        run = None
        while run is None:
            with contextlib.suppress(httpx.HTTPError, AttributeError):  # everybody comes at once, and some are cut
                async with httpx.AsyncClient(base_url=gateway.url, timeout=20) as http:
                    session = (await http.post("/sessions")).raise_for_status().json()["id"]
                    body = {"content": "/quiet /length 1 /rate 0"}
                    run = (await http.post(f"/sessions/{session}/runs", json=body)).raise_for_status().json()["id"]
        connection = await asyncpg.connect(self.database)
        gateway.name = await connection.fetchval("SELECT host FROM runs WHERE id = $1", run)
        await connection.close()


@contextlib.contextmanager
def gateways(number: int, database: str, keys: str, **settings: str) -> Iterator[list[Gateway]]:
    """So many processes on one database and one Valkey."""
    shared = {"database_url": database, "redis_url": keys, "secret": "one secret of all of them", "agent": "demo"}
    shared |= settings
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor() as threads:
        behind = []
        for each in range(number):
            place = Path(folder) / str(each)
            place.mkdir()
            behind.append(Gateway(Server(place, shared | {"drain_timeout": "2"}, free_port())))
        try:
            list(threads.map(lambda each: each.server.start(), behind))
            yield behind
        finally:
            list(threads.map(lambda each: each.server.stop(), behind))


@contextlib.contextmanager
def proxy(behind: list[Gateway]) -> Iterator[str | None]:
    """nginx in front of them: its address, or None where there is none."""
    binary = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if binary is None:
        yield None
        return
    port = free_port()
    servers = " ".join(f"server 127.0.0.1:{each.server.port} max_fails=1 fail_timeout=5s;" for each in behind)
    with tempfile.TemporaryDirectory() as folder:
        text = _NGINX.substitute(folder=folder, port=port, servers=servers)
        (Path(folder) / "nginx.conf").write_text(text)
        process = subprocess.Popen([binary, "-e", "stderr", "-c", f"{folder}/nginx.conf"], stderr=subprocess.DEVNULL)
        try:
            with httpx.Client(transport=httpx.HTTPTransport(retries=8)) as http:
                http.get(f"http://127.0.0.1:{port}/health/live").raise_for_status()
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(10)
