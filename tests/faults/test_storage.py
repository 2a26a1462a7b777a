"""Storage that fails: what was seen stays, what can't be kept waits, and what is lost is not passed over in silence."""

import asyncio
import errno
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.gateway import Gateway, Launch, every_event, log_of, new_session, refusal, refused_start, start
from tests.watching import PATIENCE, Item, Watch, logged, rise, says, story, watch, watch_ws

pytestmark = pytest.mark.anyio


SMALL = {"content": "count 3"}


class SmallDisk:
    """A file system of a few megabytes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._filler = path / "filler"

    def fill(self) -> None:
        """Leave not a byte."""
        with self._filler.open("wb", buffering=0) as file:
            for size in (1 << 16, 1 << 12, 1):
                try:
                    while True:
                        file.write(b"x" * size)
                except OSError as error:
                    assert error.errno == errno.ENOSPC  # noqa: PT017 - that it is raised is sure

    def free(self) -> None:
        self._filler.unlink()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    path = tmp_path / "small"
    path.mkdir()
    mount = shutil.which("mount")
    done = mount and subprocess.run([mount, "-t", "tmpfs", "-o", "size=4m", "none", path], check=False)
    if not done or done.returncode:
        pytest.skip("no small file system can be mounted here: it takes root")
    try:
        yield SmallDisk(path)
    finally:
        subprocess.run(["umount", "--lazy", path], check=True)


class Follower:
    """A viewer that takes down all it gets, in the background."""

    def __init__(self, viewer: Watch) -> None:
        self.seen: list[Item] = []
        self._viewer = viewer
        self._grown = asyncio.Event()

    async def to_the_terminal(self) -> None:
        while not (self.seen and self.seen[-1].is_terminal):
            self.seen.append(await self._viewer.next())
            self._grown.set()

    async def sees_more(self) -> None:
        before = len(self.seen)
        async with asyncio.timeout(PATIENCE):
            while len(self.seen) == before:
                self._grown.clear()
                await self._grown.wait()


async def test_a_full_disk_stops_nobody_from_reading_and_the_run_goes_on_when_there_is_room(
    launch: Launch, small_disk: SmallDisk
) -> None:
    """Row 10: the disk is full."""
    gateway = launch(
        agent="faulty:agent", data_dir=str(small_disk.path), drain_timeout="0", asked_for=("storage.failed",)
    )
    async with gateway.client() as http, watch_ws(gateway, session := await new_session(http)) as viewer:
        free = await new_session(http)
        follower = Follower(viewer)
        before = await start(http, session, "count 3")
        log_before = await log_of(http, session, before)
        await viewer.until_terminal()
        run = await start(http, session, "tick 100000")
        async with asyncio.TaskGroup() as group:
            group.create_task(follower.to_the_terminal())
            await follower.sees_more()
            small_disk.fill()
            await says(gateway, "storage.failed", 3)

            assert await log_of(http, session, before) == log_before
            assert (await http.get(f"/sessions/{session}/messages")).status_code == 200
            assert (await http.get(f"/sessions/{session}/runs/{run}")).json()["status"] == "running"
            refused = [await http.post("/sessions"), await http.post(f"/sessions/{free}/runs", json=SMALL)]

            small_disk.free()
            await follower.sees_more()
            assert (await http.get("/health/ready")).status_code == 200
            await start(http, free, **SMALL)
            await http.post(f"/sessions/{session}/runs/{run}/cancel")
        log = [Item.of(raw) for raw in await every_event(http, session, run)]

    assert len(gateway.said("storage.failed")) < 10
    assert rise(follower.seen)
    assert story(follower.seen) == story(log)
    assert [(answer.status_code, answer.json()["code"]) for answer in refused] == [(503, "internal_error")] * 2
    assert "retry-after" in refused[0].headers


async def test_a_file_that_the_disk_has_no_room_for_is_refused_and_takes_no_room(
    launch: Launch, small_disk: SmallDisk
) -> None:
    """Row 10, for uploads."""
    gateway = launch(agent="faulty:agent", data_dir=str(small_disk.path), asked_for=("request.failed",))
    async with gateway.client() as http:
        session = await new_session(http)
        path = f"/sessions/{session}/files"
        large = await http.post(path, files={"file": ("large", b"x" * 5_000_000)})
        left = [each for each in (small_disk.path / "files").rglob("*") if each.is_file()]
        small = await http.post(path, files={"file": ("small", b"x" * 100_000)})
        small_disk.fill()
        none = await http.post(path, files={"file": ("none", b"x" * 100_000)})
        small_disk.free()
        again = await http.post(path, files={"file": ("again", b"x" * 100_000)})

    assert (large.status_code, large.json()["code"], left) == (507, "storage_full", [])
    assert (none.status_code, none.json()["code"]) == (507, "storage_full")
    assert (small.status_code, again.status_code) == (201, 201)


@pytest.mark.slow
async def test_a_start_on_a_full_disk_says_so_and_the_next_one_finishes_what_was_left(
    launch: Launch, small_disk: SmallDisk
) -> None:
    """Row 10: the disk is full, and the server is killed and started."""
    gateway = launch(agent="faulty:agent", data_dir=str(small_disk.path), asked_for=("storage.failed",))
    session, run, seen = await killed_in_a_run(gateway)
    small_disk.fill()

    said = await refused_start("--port", "0", data_dir=str(small_disk.path))
    assert str(small_disk.path) in said[-1]
    assert "full" in said[-1]
    assert not any("Traceback" in line for line in said)

    small_disk.free()
    gateway.start()
    async with gateway.client() as http:
        log = [Item.of(raw) for raw in await every_event(http, session, run)]
    assert log[-1].message["code"] == "run_interrupted"
    assert story(log[: len(seen)]) == story(seen)


async def test_another_process_that_writes_is_waited_for_and_nobody_notices(launch: Launch) -> None:
    """Row 11: SQLITE_BUSY, by a second writer."""
    gateway = launch(agent="faulty:agent", drain_timeout="0")
    async with gateway.client() as http:
        session, other = await new_session(http), await new_session(http)
        async with watch_ws(gateway, session) as viewer:
            run = await start(http, session, "tick 100")
            await viewer.until_type("stream_delta")
            with closing(sqlite3.connect(gateway.data_dir / "sessions.sqlite3", isolation_level=None)) as writer:
                writer.execute("BEGIN IMMEDIATE")
                starting = asyncio.create_task(start(http, other, "count 3"))
                seen = await viewer.until(lambda item: item.message.get("delta", "").startswith("99"))
                assert (await http.get(f"/sessions/{session}/runs/{run}")).json()["status"] == "running"
                assert not starting.done()
                writer.execute("COMMIT")
            assert (await viewer.until_terminal())[-1].type == "stream_end"
        assert (await log_of(http, other, await starting))[-1].startswith('{"type":"stream_end"')
    assert rise(seen)


def damage(path: Path, at: float) -> None:
    """Flip 64 bytes in the middle of a file."""
    with path.open("r+b") as file:
        file.seek(int(path.stat().st_size * at))
        flipped = bytes(byte ^ 0xFF for byte in file.read(64))
        file.seek(-len(flipped), 1)
        file.write(flipped)


async def killed_in_a_run(gateway: Gateway) -> tuple[str, str, list[Item]]:
    """A session, its run, and what a viewer had seen when the server was killed."""
    async with gateway.client() as http:
        session = await new_session(http)
        async with watch_ws(gateway, session) as viewer:
            run = await start(http, session, "tick 1000")
            seen = await viewer.until(lambda item: item.message.get("delta", "").startswith("80"))
            gateway.kill()
    return session, run, logged(seen)


async def test_events_that_a_damaged_file_lost_are_a_warning_and_a_gap(launch: Launch) -> None:
    """Row 12: a corrupt write-ahead log, which SQLite itself cuts short without a word."""
    gateway = launch(agent="faulty:agent", asked_for=("storage.commits_lost",))
    session, run, seen = await killed_in_a_run(gateway)
    damage(gateway.data_dir / "events.sqlite3-wal", 0.5)
    gateway.start()

    assert len(gateway.said("storage.commits_lost")) == 1
    async with gateway.client() as http:
        log = [Item.of(raw) for raw in await every_event(http, session, run)]
    assert log[-1].message["code"] == "run_interrupted"
    assert len(log) < len(seen)
    for transport in ("ws", "sse"):
        async with watch(gateway, transport, session, seen[-1].id) as viewer:
            again = await viewer.until_type("caught_up")
        assert again[0].message == {
            "type": "gap",
            "requested": seen[-1].id,
            "earliest": "1-1",
            "latest": log[-1].id,
        }
        assert story(again) == story(log)


async def test_rows_that_a_damaged_file_lost_are_a_warning_and_the_rest_is_served(launch: Launch) -> None:
    """Row 12: the same, with the sessions."""
    gateway = launch(agent="faulty:agent", asked_for=("storage.commits_lost", "run.unknown"))
    session, run, _ = await killed_in_a_run(gateway)
    damage(gateway.data_dir / "sessions.sqlite3-wal", 0.6)
    gateway.start()

    assert len(gateway.said("storage.commits_lost")) == len(gateway.said("run.unknown")) == 1
    async with gateway.client() as http:
        assert (await http.get(f"/sessions/{session}/runs/{run}")).status_code == 404
        again = await new_session(http)
        assert await log_of(http, again, await start(http, again, "count 3"))


@pytest.mark.parametrize("file", ["events.sqlite3", "sessions.sqlite3"])
async def test_a_damaged_page_is_refused_at_the_start_by_the_name_of_its_file(launch: Launch, file: str) -> None:
    """Row 13: a corrupt database page."""
    gateway = launch(agent="faulty:agent")
    async with gateway.client() as http:
        session = await new_session(http)
        await log_of(http, session, await start(http, session, "count 3"))
    gateway.stop()
    path = gateway.data_dir / file
    with path.open("r+b") as database:
        database.seek(4096)  # the second page: its kind, and where its cells are
        database.write(b"\xff" * 64)

    said = await refusal("--port", "0", data_dir=str(gateway.data_dir))

    assert str(path) in said
    assert "restore it" in said
