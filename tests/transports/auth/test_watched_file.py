"""Files of keys that are read again when they change."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import structlog

from app.errors import ConfigurationError
from app.transports.auth.watched_file import WatchedFile, watching


def number(text: str) -> int:
    if not text.strip().isdigit():
        raise ConfigurationError("no number")
    return int(text)


@pytest.fixture(name="path")
def _path(tmp_path: Path) -> Path:
    path = tmp_path / "number"
    path.write_text("1")
    return path


def test_it_is_read_at_once_and_again_when_it_has_changed(path: Path):
    file = WatchedFile(path, number)
    assert file.value == 1
    path.write_text("22")
    file.look()
    assert file.value == 22


def test_an_unchanged_file_is_not_read_again(path: Path):
    read: list[str] = []
    file = WatchedFile(path, read.append)
    file.look()
    assert read == ["1"]


def test_a_file_that_took_anothers_place_is_read_even_if_it_looks_alike(path: Path):
    file = WatchedFile(path, number)
    other = path.with_suffix(".new")
    other.write_text("2")
    stat = path.stat()
    os.utime(other, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    other.rename(path)
    file.look()
    assert file.value == 2


SPOILT = {
    "gone": Path.unlink,
    "wrong": lambda path: path.write_text("none"),
    "binary": lambda path: path.write_bytes(b"\xff"),
    "huge": lambda path: os.truncate(path, 2 * 1024 * 1024),
}


@pytest.mark.parametrize("spoil", SPOILT.values(), ids=SPOILT)
def test_a_file_that_has_become_wrong_is_reported_once_and_the_last_good_one_counts(
    path: Path, spoil: Callable[[Path], object]
):
    file = WatchedFile(path, number)
    spoil(path)
    with structlog.testing.capture_logs() as logged:
        file.look()
        file.look()
    assert [(line["log_level"], line["event"], line["path"]) for line in logged] == [
        ("error", "keys.unreadable", str(path))
    ]
    assert file.value == 1
    path.write_text("3")
    file.look()
    assert file.value == 3


@pytest.mark.parametrize("content", [None, b"none", b"\xff", b"1" * (1024 * 1024 + 1)])
def test_a_file_that_is_wrong_from_the_start_is_refused(tmp_path: Path, content: bytes | None):
    path = tmp_path / "number"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigurationError):
        WatchedFile(path, number)


@pytest.mark.anyio
async def test_while_it_is_watched_a_change_is_noticed(path: Path):
    read = asyncio.Event()
    loop = asyncio.get_running_loop()
    values: list[int] = []

    def parse(text: str) -> int:
        values.append(number(text))
        if len(values) > 1:
            loop.call_soon_threadsafe(read.set)
        return values[-1]

    file = await asyncio.to_thread(WatchedFile, path, parse)
    async with watching([file], every=0.001):
        await asyncio.to_thread(path.write_text, "22")
        async with asyncio.timeout(10):
            await read.wait()
    assert values == [1, 22]
