"""Workers behind one port ask each other, and wait for nobody who can't answer."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from app import siblings as module
from app.siblings import Siblings

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def answering(folder: Path, numbers: list[int], count: int = 3) -> AsyncIterator[list[Siblings]]:
    """Workers that say by how much their number is exceeded by ten."""

    async def exceeded(number: int) -> int:
        return 10 - number

    async with AsyncExitStack() as stack:
        workers = [Siblings(folder, number, count) for number in numbers]
        for worker in workers:

            async def answer(number: int = worker.number) -> int:
                return await exceeded(number)

            await stack.enter_async_context(worker.answering({"ten": answer}))
        yield workers


async def test_a_worker_asks_all_the_others_and_not_itself(tmp_path: Path) -> None:
    async with answering(tmp_path, [0, 1, 2]) as workers:
        assert [await worker.ask("ten", int) for worker in workers] == [{1: 9, 2: 8}, {0: 10, 2: 8}, {0: 10, 1: 9}]


async def test_one_that_is_gone_is_missing_and_its_successor_is_not(tmp_path: Path) -> None:
    async with answering(tmp_path, [0]) as (asker,):
        async with answering(tmp_path, [1]):
            assert await asker.ask("ten", int) == {1: 9}
        assert await asker.ask("ten", int) == {}
        with socket.socket(socket.AF_UNIX) as killed:  # which leaves its name behind
            (tmp_path / "2").unlink(missing_ok=True)
            killed.bind(str(tmp_path / "2"))
        assert await asker.ask("ten", int) == {}
        async with answering(tmp_path, [1, 2]):
            assert await asker.ask("ten", int) == {1: 9, 2: 8}


async def test_one_that_is_held_up_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.05)

    async def never(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asked.wait()
        writer.close()

    asked = asyncio.Event()
    async with answering(tmp_path, [0, 1]) as (asker, _), await asyncio.start_unix_server(never, tmp_path / "2"):
        async with asyncio.timeout(5):
            assert await asker.ask("ten", int) == {1: 9}
        asked.set()


@pytest.mark.parametrize("answer", [b"", b"\xa3no", b"\xc1"])
async def test_what_is_no_answer_is_none(tmp_path: Path, answer: bytes) -> None:
    async def garbled(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(answer)
        writer.close()

    async with answering(tmp_path, [0]) as (asker,), await asyncio.start_unix_server(garbled, tmp_path / "1"):
        assert await asker.ask("ten", int) == {}
