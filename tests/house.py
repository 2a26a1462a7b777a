"""A registry over real stores, an agent that says what a test tells it to, and viewers that a test reads from."""

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from attrs import define, field

from app.agents.base import Agent, File, Profile, Turn
from app.agents.loader import Profiles
from app.assembly import assemble
from app.capacity import Capacity
from app.dialects.base import Frame
from app.dialects.native import Native
from app.events import Event
from app.hosting.conversation import NewMessage
from app.hosting.ending import Stores
from app.hosting.limits import RunLimits
from app.hosting.recovery import recover
from app.hosts.base import Fleet
from app.position import Position
from app.registry import RunRegistry
from app.runlog.archived import ArchivedLog
from app.runlog.base import RunLog
from app.runlog.memory import MemoryLog
from app.runlog.sqlite import SqliteLog
from app.sessions.base import Run
from app.sessions.sql import SqlSessionStore, open_sessions
from app.uploads.desk import Limits, Uploads
from app.viewing.viewer import Viewer

ME = "ada"
PATIENCE = 10.0
"""Seconds until a test gives up waiting."""
LIMITS = Limits(file_bytes=1024 * 1024, session_files=4, session_bytes=2 * 1024 * 1024)
TERMINAL = {"stream_end", "stream_cancelled", "error"}


async def in_pieces(chunks: Iterable[bytes]) -> AsyncIterator[bytes]:
    """A body as it comes."""
    for chunk in chunks:
        yield chunk


class Puppet:
    """An agent that says what `says` is given, and comes to its end with `returns`; one run at a time."""

    def __init__(self) -> None:
        self.turns: list[Turn] = []
        self.left = asyncio.Event()
        self._lines: asyncio.Queue[Callable[[], Event | str | None]] = asyncio.Queue()

    def says(self, *events: Event | str) -> None:
        for event in events:
            self._lines.put_nowait(lambda event=event: event)

    def returns(self) -> None:
        self._lines.put_nowait(lambda: None)

    def raises(self, error: BaseException) -> None:
        def line() -> None:
            raise error

        self._lines.put_nowait(line)

    async def run_stream(self, turn: Turn) -> AsyncIterator[Event | str]:
        self.turns.append(turn)
        self.left.clear()
        try:
            while (said := (await self._lines.get())()) is not None:
                yield said
        finally:
            self.left.set()


@define
class Watch:
    """An open viewer, read message by message."""

    viewer: Viewer
    frames: list[Frame] = field(factory=list)
    _due: deque[Frame] = field(factory=deque)

    async def next(self) -> dict[str, Any]:
        """The next message; StopAsyncIteration at the end."""
        async with asyncio.timeout(PATIENCE):
            while not self._due:
                self._due.extend((await anext(self.viewer.__aiter__())).frames)
        self.frames.append(self._due.popleft())
        return dict(json.loads(self.frames[-1].json))

    async def until(self, *kinds: str) -> list[dict[str, Any]]:
        """Everything up to the first message of one of these types."""
        messages = [await self.next()]
        while messages[-1]["type"] not in kinds:
            messages.append(await self.next())
        return messages

    async def rest(self) -> list[dict[str, Any]]:
        """Everything up to the end."""
        messages = []
        try:
            while True:
                messages.append(await self.next())
        except StopAsyncIteration:
            return messages


@define
class House:
    """One process's registry and its stores, in a folder of its own."""

    folder: Path
    agent: Agent
    rows: SqlSessionStore
    log: ArchivedLog
    stores: Stores
    uploads: Uploads
    registry: RunRegistry
    recovered: int

    @classmethod
    async def open(
        cls,
        folder: Path,
        agent: Agent,
        *,
        grace: float = 3600,
        memory: bool = False,
        live: RunLog | None = None,
        url: str | None = None,
        fleet: Fleet | None = None,
        capacity: Capacity | None = None,
        **limits: Any,
    ) -> "House":
        if live is None:
            live = MemoryLog() if memory else await SqliteLog.open(folder / "events.sqlite3")
        rows = await open_sessions(url or f"sqlite+aiosqlite:///{folder / 'sessions.sqlite3'}")
        log = ArchivedLog(live, rows, shared=fleet is not None)
        stores = Stores(log, rows, clock=lambda: datetime.now(UTC))
        try:
            recovered = await recover(stores) if fleet is None else 0  # others may be at work
        except asyncio.CancelledError:
            await rows.close()
            await log.close()
            raise
        uploads = Uploads(folder / "files", rows, LIMITS, stores.clock)
        if fleet is None:
            await uploads.recover()
        profile = Profile("default", agent)
        parts = assemble(
            stores,
            uploads,
            {"native": Native()},
            limits=RunLimits(**limits),
            capacity=capacity,
            disconnect_grace=grace,
            fleet=fleet,
        )
        registry = RunRegistry(parts, Profiles(profile, {"default": profile}))
        return cls(folder, agent, rows, log, stores, uploads, registry, recovered)

    async def close(self) -> None:
        async with asyncio.timeout(PATIENCE):
            await self.registry.close()
            await self.uploads.close()
            await self.rows.close()
            await self.log.close()

    async def crash(self) -> None:
        """Let go of everything at once, as the death of the process would: no run gets to its end."""
        self.registry._hosting._waiting.clear()
        tasks = list(self.registry._hosting._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.close()

    async def session(self, principal: str = ME) -> str:
        return (await self.registry.create_session(principal, None, None)).id

    async def upload(self, session: str, name: str, *chunks: bytes) -> File:
        async def form() -> tuple[str, AsyncIterator[bytes]]:
            return name, in_pieces(chunks)

        return await self.registry.upload(ME, session, form)

    async def start(self, session: str, content: str = "Hello", **more: Any) -> Run:
        started = await self.registry.start(ME, session, NewMessage(content, **more))
        assert started.created
        return started.run

    async def ended(self, run: Run) -> Run:
        """The run's row, once it is executed no more."""
        if (hosted := self.registry._hosting.get(run.id)) is not None:
            async with asyncio.timeout(PATIENCE):
                await hosted.done.wait()
        return await self.registry.run(ME, run.session_id, run.id)

    async def events(self, run: Run) -> list[Event]:
        """What is in the run's log."""
        return [entry.event for entry in (await self.log.read(run.id, 0, 100_000)).entries]

    async def messages(self, run: Run, after: str | None = None) -> list[dict[str, Any]]:
        """What a viewer of the run gets, to its end."""
        async with self.watch_run(run, after) as watch:
            return await watch.rest()

    @asynccontextmanager
    async def watch(self, session: str, after: str | None = None) -> AsyncIterator[Watch]:
        at = Position.parse(after) if after is not None else None
        async with await self.registry.follow_session(ME, session, at) as viewer:
            yield Watch(viewer)

    @asynccontextmanager
    async def watch_run(self, run: Run, after: str | None = None) -> AsyncIterator[Watch]:
        at = Position.parse(after) if after is not None else None
        viewer = await self.registry.follow_run(ME, run.session_id, run.id, at)
        assert viewer is not None
        async with viewer:
            yield Watch(viewer)
