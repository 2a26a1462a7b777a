"""What stands behind several processes that are one gateway: a Valkey and a PostgreSQL, and what both tell."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path

from attrs import frozen
from serving import cpu_of

from app.runlog.redis.server import Server as ValkeyServer
from app.runlog.redis.server import Wire
from tests.postgres import PostgresServer, postgres_server, remove_server
from tests.runlog.servers import VALKEY, KeyServer

SUBSCRIBERS = 50
PUBLISHED = 1500
APPEND_BYTES = 200
"""About what an append of one event is published as."""
SECRET = "one secret of all the processes of a gateway"


@frozen
class Backing:
    """Both servers, empty.

    Attributes:
        rows_pid: PostgreSQL's first process, which starts all others.
    """

    keys: KeyServer
    rows: PostgresServer
    database_url: str
    rows_pid: int

    @property
    def settings(self) -> dict[str, str]:
        """What each process of the gateway is told."""
        return {"redis_url": self.keys.url, "database_url": self.database_url, "secret": SECRET}

    def keys_told(self) -> dict[str, float]:
        """What Valkey counts: seconds of CPU, bytes that came in and went out, bytes of memory."""
        lines = self.keys.ask("INFO").decode(errors="replace").splitlines()
        said = {name: value for name, colon, value in (line.partition(":") for line in lines) if colon}
        return {
            "valkey": float(said["used_cpu_user"]) + float(said["used_cpu_sys"]),
            "valkey in": float(said["total_net_input_bytes"]),
            "valkey out": float(said["total_net_output_bytes"]),
            "valkey memory": float(said["used_memory"]),
        }

    def rows_told(self) -> dict[str, float]:
        """What PostgreSQL counts: transactions that wrote, and bytes of its log. Asking takes it some CPU."""
        writes, wal = "pg_snapshot_xmax(pg_current_snapshot())", "pg_current_wal_insert_lsn() - '0/0'"
        told = self.rows.sql(f"SELECT {writes}, {wal}").split("|")
        return {"postgresql writes": float(told[0]), "postgresql wal": float(told[1])}

    def rows_cpu(self) -> dict[str, float]:
        """Seconds of CPU that PostgreSQL's processes used, save those that have ended."""
        children = Path(f"/proc/{self.rows_pid}/task/{self.rows_pid}/children").read_text().split()
        spent = cpu_of(self.rows_pid)
        for child in map(int, children):
            with contextlib.suppress(OSError):
                spent += cpu_of(child)
        return {"postgresql": spent}


async def fan_out(behind: Backing) -> float:
    """Seconds of CPU that Valkey takes to send one append, as it is published, to one more process."""
    server = ValkeyServer(behind.keys.url)
    publisher, *listeners = [await server.connect() for _ in range(1 + SUBSCRIBERS)]
    alone = await publish(behind, publisher)
    for listener in listeners:
        await listener.ask("SUBSCRIBE", "fan-out")
    hearing = [asyncio.create_task(hear(listener)) for listener in listeners]
    together = await publish(behind, publisher)
    for task in hearing:
        task.cancel()
    await asyncio.wait(hearing)
    for wire in (publisher, *listeners):
        await wire.close()
    return (together - alone) / (PUBLISHED * SUBSCRIBERS)


async def publish(behind: Backing, wire: Wire) -> float:
    before = behind.keys_told()["valkey"]
    for _ in range(PUBLISHED):
        await wire.ask("PUBLISH", "fan-out", bytes(APPEND_BYTES))
        await asyncio.sleep(0.001)
    return behind.keys_told()["valkey"] - before


async def hear(wire: Wire) -> None:
    while True:
        await wire.receive()


@contextlib.contextmanager
def backing() -> Iterator[Backing]:
    """Start both; remove them in the end. No event loop may be running: preparing the database takes one."""
    rows = postgres_server()
    keys = KeyServer(VALKEY, "--appendonly", "yes")
    try:
        folder = Path(rows.sql("SHOW data_directory"))
        pid = int((folder / "postmaster.pid").read_text().splitlines()[0])
        yield Backing(keys, rows, rows.migrated(), pid)
    finally:
        keys.remove()
        remove_server()
