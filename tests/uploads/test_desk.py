"""Uploads: bytes and rows that stay together, over a real disk and a real database."""

import asyncio
import contextlib
import errno
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.errors import Draining, IdempotencyMismatch, InvalidMessage, SessionNotFound, StorageFull, TooLarge
from app.events import FileRef, RunStarted
from app.hosting.conversation import NewMessage
from app.uploads.desk import Claim
from app.uploads.shelf import Incoming, Shelf
from tests.house import LIMITS, ME, House, in_pieces

pytestmark = pytest.mark.anyio

MEBIBYTE = 1024 * 1024


def on_disk(house: House) -> list[Path]:
    return sorted(path for path in (house.folder / "files").rglob("*") if path.is_file())


def leave_behind(shelf: Shelf, session: str) -> None:
    """What a crash leaves: a file on its way in, and one whose row was not written any more."""
    shelf.begin(session, "file_" + "0" * 32).write(b"half")
    shelf.begin("gone", "file_" + "1" * 32).keep()


async def test_a_file_is_kept_as_it_came(house):
    session = await house.session()
    file = await house.upload(session, "../Notes\u202e.TXT", b"Hel", b"", b"lo")
    assert (file.name, file.size, file.media_type) == ("Notes.TXT", 5, "text/plain")
    assert await asyncio.to_thread(Path(file.path).read_bytes) == b"Hello"
    assert (await house.uploads.of_session(session)) == {file.id: file}
    assert Path(file.path).name == f"{file.id}.txt"


async def test_an_empty_file_is_one(house):
    file = await house.upload(await house.session(), "empty")
    assert (file.size, file.media_type) == (0, "application/octet-stream")


async def test_a_file_may_be_as_large_as_the_limit_and_no_larger(house):
    session = await house.session()
    file = await house.upload(session, "a", *[b"x" * 65536] * 16)
    assert file.size == LIMITS.file_bytes
    with pytest.raises(TooLarge, match="a file has at most 1048576 bytes"):
        await house.upload(session, "b", *[b"x" * 65536] * 16, b"x")
    assert on_disk(house) == [Path(file.path)]


async def test_a_session_has_so_many_files_and_so_many_bytes(house):
    full, heavy = await house.session(), await house.session()
    for number in range(LIMITS.session_files):
        await house.upload(full, str(number), b"x")
    with pytest.raises(TooLarge, match="a session has at most 4 files"):
        await house.upload(full, "one more", b"x")
    await house.upload(heavy, "a", b"x" * MEBIBYTE)
    await house.upload(heavy, "b", b"x" * (MEBIBYTE - 1))
    with pytest.raises(TooLarge, match="together"):
        await house.upload(heavy, "c", b"xx")
    await house.upload(heavy, "c", b"x")
    with pytest.raises(TooLarge, match="together"):
        await house.upload(heavy, "d")
    assert len(on_disk(house)) == LIMITS.session_files + 3


async def test_uploads_at_once_do_not_get_past_the_limits_together(house):
    session = await house.session()
    uploads = [house.upload(session, str(number), b"x") for number in range(10)]
    outcomes = await asyncio.gather(*uploads, return_exceptions=True)
    refused = [outcome for outcome in outcomes if isinstance(outcome, TooLarge)]
    assert (len(outcomes) - len(refused), len(on_disk(house))) == (LIMITS.session_files, LIMITS.session_files)


async def test_a_foreign_session_takes_no_file_and_is_not_read_from(house):
    session = await house.session("bob")

    async def form():
        raise AssertionError("the body was read")

    for principal, session_id in ((ME, session), (ME, "nowhere")):
        with pytest.raises(SessionNotFound):
            await house.registry.upload(principal, session_id, form)


async def test_a_server_that_goes_away_takes_no_file(house):
    session = await house.session()
    house.registry.drain()
    with pytest.raises(Draining):
        await house.upload(session, "a", b"x")


async def test_an_upload_that_breaks_off_leaves_nothing(house):
    session = await house.session()

    async def broken() -> AsyncIterator[bytes]:
        yield b"x" * 300_000
        raise ConnectionError

    with pytest.raises(ConnectionError):
        await house.uploads.receive(session, "a", broken())
    assert on_disk(house) == []


async def test_an_upload_that_is_cancelled_in_the_middle_leaves_nothing(house):
    session, reached = await house.session(), asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        yield b"x" * 300_000
        reached.set()
        await asyncio.Event().wait()

    upload = asyncio.create_task(house.uploads.receive(session, "a", endless()))
    await reached.wait()
    upload.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await upload
    assert on_disk(house) == []
    assert await house.uploads.of_session(session) == {}


async def test_an_upload_that_is_cancelled_at_its_end_is_kept_whole_or_not_at_all(house):
    session = await house.session()
    uploads = [asyncio.create_task(house.upload(session, "a", b"x")) for _ in range(4)]
    for turns, upload in enumerate(uploads):
        for _ in range(turns * 3):
            await asyncio.sleep(0)
        upload.cancel()
    await asyncio.gather(*uploads, return_exceptions=True)
    await house.uploads.close()
    kept = [row.stored_as for row in await house.rows.list_files(session)]
    assert sorted(kept) == sorted(path.name for path in on_disk(house))


@pytest.mark.parametrize("step", ["write", "keep"])
async def test_a_full_disk_is_said_and_leaves_nothing(house, monkeypatch, step):
    session = await house.session()

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Incoming, step, full)
    with pytest.raises(StorageFull):
        await house.upload(session, "a", b"x")
    monkeypatch.undo()
    assert on_disk(house) == []
    await house.upload(session, "a", b"x")


async def test_deleting_a_session_removes_its_files(house):
    session, other = await house.session(), await house.session()
    gone = await house.upload(session, "a", b"x")
    kept = await house.upload(other, "a", b"x")
    await house.registry.delete_session(ME, session)
    assert on_disk(house) == [Path(kept.path)]
    assert await house.rows.kept_files([gone.id, kept.id]) == {kept.id}


async def test_a_session_that_is_deleted_during_an_upload_keeps_nothing(house):
    session = await house.session()

    async def deleting() -> AsyncIterator[bytes]:
        yield b"x" * 300_000
        await house.registry.delete_session(ME, session)
        yield b"x"

    with pytest.raises(SessionNotFound):
        await house.uploads.receive(session, "a", deleting())
    assert on_disk(house) == []


async def test_a_start_up_removes_what_has_no_row(open_house, puppet):
    first = await open_house(puppet)
    session = await first.session()
    kept = await first.upload(session, "a", b"x")
    await asyncio.to_thread(leave_behind, first.uploads._shelf, session)
    await first.close()
    second = await open_house(puppet)
    assert on_disk(second) == [Path(kept.path)]
    assert await second.uploads.of_session(session) == {kept.id: kept}


async def test_what_may_be_another_process_s_upload_is_left_alone_for_as_long_as_that_may_take(house):
    session = await house.session()
    kept = await house.upload(session, "a", b"x")
    await asyncio.to_thread(leave_behind, Shelf(house.folder / "files"), session)
    stray, *_ = [path for path in on_disk(house) if path != Path(kept.path)]
    await asyncio.to_thread(os.utime, stray, (0, 0))
    assert await house.uploads.recover(older_than=3600) == 1
    assert not await asyncio.to_thread(stray.exists)
    assert len(on_disk(house)) == 2
    assert await house.uploads.recover() == 1
    assert on_disk(house) == [Path(kept.path)]


async def test_a_message_names_files_by_id_or_by_path(house, puppet):
    session = await house.session()
    one, two = await house.upload(session, "one.txt", b"1"), await house.upload(session, "two.txt", b"22")
    run = await house.start(session, "Look", files=(Claim(id=two.id), Claim(path=one.path)))
    puppet.returns()
    await house.ended(run)
    (turn,) = puppet.turns
    assert list(turn.files) == [two, one]
    assert turn.content == f"Look\n\n[Uploaded files on disk:\n- two.txt → {two.path}\n- one.txt → {one.path}]"
    refs = (FileRef(two.id, "two.txt"), FileRef(one.id, "one.txt"))
    assert (run.content, run.files) == ("Look", refs)
    started = (await house.events(run))[0]
    assert isinstance(started, RunStarted)
    assert (started.input.content, started.input.files) == ("Look", refs)


async def test_later_turns_still_know_of_the_files(house, puppet):
    session = await house.session()
    file = await house.upload(session, "one.txt", b"1")
    first = await house.start(session, "Look", files=(Claim(id=file.id),))
    puppet.says("Seen")
    puppet.returns()
    await house.ended(first)
    second = await house.start(session, "And?")
    puppet.returns()
    await house.ended(second)
    assert [said.content for said in puppet.turns[-1].history] == [puppet.turns[0].content, "Seen"]
    assert (puppet.turns[-1].content, puppet.turns[-1].files) == ("And?", ())


async def test_what_is_no_file_of_the_session_starts_nothing(house):
    session, other = await house.session(), await house.session()
    mine, theirs = await house.upload(session, "a", b"x"), await house.upload(other, "a", b"x")
    climbing = str(Path(mine.path).parent / ".." / Path(mine.path).parent.name / Path(mine.path).name)
    wrong = [Claim(id=theirs.id), Claim(path=theirs.path), Claim(path="/etc/passwd"), Claim(path=climbing)]
    wrong += [Claim(id=mine.path), Claim(path=mine.id), Claim(path=""), Claim(id="")]
    for claim in wrong:
        with pytest.raises(InvalidMessage, match=r"^\$.files\[1\]: not a file of this session$"):
            await house.start(session, files=(Claim(id=mine.id), claim))
    assert await house.rows.run_numbers(session) == []


async def test_a_file_that_is_no_longer_there_is_refused(house):
    session = await house.session()
    file = await house.upload(session, "a", b"x")
    await asyncio.to_thread(Path(file.path).unlink)
    with pytest.raises(InvalidMessage, match="not a file of this session"):
        await house.start(session, files=(Claim(id=file.id),))


async def test_a_retry_names_the_same_files(house):
    session = await house.session()
    one, two = await house.upload(session, "a", b"x"), await house.upload(session, "b", b"x")
    message = NewMessage("Look", files=(Claim(id=one.id),), idempotency_key="k")
    first = await house.registry.start(ME, session, message)
    again = await house.registry.start(ME, session, message)
    assert (again.created, again.run.id) == (False, first.run.id)
    for files in ((), (Claim(id=two.id),), (Claim(id=one.id), Claim(id=two.id))):
        with pytest.raises(IdempotencyMismatch):
            await house.registry.start(ME, session, NewMessage("Look", files=files, idempotency_key="k"))


async def test_bytes_are_written_as_they_come(house):
    session, seen = await house.session(), []

    async def watched() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b"x" * 300_000
            seen.append(await asyncio.to_thread(lambda: sum(path.stat().st_size for path in on_disk(house))))

    await house.uploads.receive(session, "a", watched())
    assert seen == [300_000, 600_000, 900_000]
    await house.uploads.receive(session, "b", in_pieces([b"x"]))
