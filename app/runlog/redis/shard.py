"""A shard: one of the servers that runs are spread over, and the connections to it."""

from __future__ import annotations

import asyncio
from hashlib import blake2b

from attrs import define

from app.errors import StoreUnavailable
from app.runlog.redis.pipe import Pipe
from app.runlog.redis.server import Command, Server
from app.runlog.redis.subscriber import Subscriber


@define(eq=False)
class Shard:
    """Three connections: one for what changes, one for what reads and may be long, one for what is published.

    Attributes:
        fit: whether it took what `check` gave it last.
    """

    server: Server
    writer: Pipe
    reader: Pipe
    subscriber: Subscriber
    fit: bool = True

    async def check(self, command: Command, patience: float) -> StoreUnavailable | None:
        """Why the server does not carry out a command that changes something, if it does not."""
        failure = None
        try:
            await self.writer.ask(*command, patience=patience)
        except StoreUnavailable as error:
            failure = error
        self.fit = failure is None
        return failure

    async def stop(self) -> None:
        """Finish what was begun and hang up."""
        await asyncio.gather(self.writer.stop(), self.reader.stop(), self.subscriber.stop())

    def weight(self, run_id: str) -> bytes:
        """How much this shard wants a run; the one that wants it most has it."""
        # Each run's shard follows from the servers' addresses alone, not from their order, and a server that comes or
        # goes takes only its own runs along (rendezvous hashing).
        return blake2b(f"{self.server.place} {run_id}".encode(), digest_size=8).digest()
