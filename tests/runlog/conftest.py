"""Every backend behind one fixture, and strategies that make any event."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import strategies as st

from app import events
from app.runlog.archived import ArchivedLog
from app.runlog.base import RunLog
from app.runlog.memory import MemoryLog
from app.runlog.redis.log import RedisLog
from app.runlog.sqlite import SqliteLog
from tests.runlog.servers import debians_redis, prefix, start_server, valkey

__all__ = ["debians_redis", "prefix", "start_server", "valkey"]

whole = st.integers(-(2**63), 2**64 - 1)
json_values = st.recursive(
    st.none() | st.booleans() | whole | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
json_objects = st.dictionaries(st.text(), json_values, max_size=3)
moments = st.datetimes(timezones=st.just(UTC), min_value=datetime(1970, 1, 1))  # noqa: DTZ001
agents = st.none() | st.sampled_from(["researcher", ""])
for cls, fields in {
    events.RunStarted: {"at": moments},
    events.ThinkingDelta: {"part": st.sampled_from(["", "p1"]), "agent": agents},
    events.TextDelta: {"part": st.sampled_from(["", "p1"]), "agent": agents},
    events.ToolStarted: {"arguments": json_objects},
    events.ToolEvent: {"arguments": json_objects, "result": json_values},
    events.ApprovalRequested: {"arguments": json_objects},
    events.Custom: {"data": json_values},
}.items():
    st.register_type_strategy(cls, st.builds(cls, **fields))


class Shelf:
    """An archive in memory."""

    def __init__(self) -> None:
        self.bodies: dict[str, bytes] = {}
        self.deleted: set[str] = set()

    async def put_archive(self, run_id: str, body: bytes, *, trimmed: bool = False) -> None:
        self.bodies[run_id] = body

    async def awaits_archive(self, run_id: str) -> bool:
        return run_id not in self.bodies and run_id not in self.deleted

    async def get_archive(self, run_id: str) -> bytes | None:
        return self.bodies.get(run_id)


class ArchivesAtOnce(ArchivedLog):
    """Moves every log the moment it is closed, and owns its archive."""

    def __init__(self, live: RunLog) -> None:
        self.shelf = Shelf()
        super().__init__(live, self.shelf)

    async def append(self, run_id: str, first_seq: int, events: Any, *, closed: bool = False) -> None:
        await super().append(run_id, first_seq, events, closed=closed)
        if closed:
            await self.archive(run_id)

    async def drop(self, run_id: str) -> None:
        self.shelf.bodies.pop(run_id, None)
        await super().drop(run_id)


Opener = Callable[[], Awaitable[RunLog]]


@pytest.fixture(params=["memory", "sqlite", "valkey", "debians_redis"])
def open_live(request, tmp_path, prefix) -> Opener:
    server = request.getfixturevalue(request.param) if request.param in ("valkey", "debians_redis") else None

    async def open_it() -> RunLog:
        if server is not None:
            return await RedisLog.open(server.url, prefix=prefix)
        return MemoryLog() if request.param == "memory" else await SqliteLog.open(tmp_path / "log.sqlite")

    return open_it


@pytest.fixture
async def live(open_live, anyio_backend) -> AsyncIterator[RunLog]:
    log = await open_live()
    yield log
    await log.close()


@pytest.fixture(params=["plain", "over an archive", "archived at once"])
def log(request, live) -> RunLog:
    match request.param:
        case "plain":
            return live
        case "over an archive":
            return ArchivedLog(live, Shelf())
        case _:
            return ArchivesAtOnce(live)


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()
