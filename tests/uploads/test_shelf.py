"""Bytes on disk."""

import os
import stat
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from app.uploads.shelf import Shelf

FILE = "file_" + "0" * 32 + ".txt"
OTHER = "file_" + "1" * 32


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path / "files")


def put(shelf: Shelf, session: str = "s", name: str = FILE, data: bytes = b"data") -> Path:
    incoming = shelf.begin(session, name)
    incoming.write(data)
    incoming.keep()
    return shelf.path(session, name)


def everything(shelf: Shelf) -> list[Path]:
    return sorted(path for path in shelf._root.rglob("*") if path.is_file())


def test_a_file_is_there_once_it_is_whole(shelf):
    incoming = shelf.begin("s", FILE)
    incoming.write(b"da")
    assert not shelf.holds("s", FILE)
    incoming.write(b"ta")
    incoming.keep()
    assert shelf.holds("s", FILE)
    assert shelf.path("s", FILE).read_bytes() == b"data"


def test_only_the_servers_user_may_look(shelf):
    path = put(shelf)
    modes = [stat.S_IMODE(each.stat().st_mode) for each in (path, path.parent, path.parent.parent)]
    assert modes == [0o600, 0o700, 0o700]


def test_what_is_discarded_leaves_nothing_and_takes_nothing_more(shelf):
    incoming = shelf.begin("s", FILE)
    incoming.write(b"da")
    incoming.discard()
    incoming.write(b"ta")
    incoming.discard()
    assert everything(shelf) == []


def test_threads_may_write_and_discard_at_once(shelf):
    for number in range(50):
        incoming = shelf.begin("s", f"{OTHER[:-3]}{number:03}")
        writers = [Thread(target=incoming.write, args=(b"x" * 100_000,)) for _ in range(4)]
        for writer in writers:
            writer.start()
        incoming.discard()
        for writer in writers:
            writer.join()
    assert everything(shelf) == []


def test_a_name_is_used_once(shelf):
    put(shelf)
    with pytest.raises(FileExistsError):
        (shelf.begin("s", FILE), shelf.begin("s", FILE))


@pytest.mark.parametrize("session", ["..", ".", "~", "../../etc", "ses_1", "SES_1", "\0", "s" * 128])
def test_whatever_a_session_is_called_its_files_stay_inside(shelf, session):
    path = put(shelf, session)
    assert path.resolve().parent.parent == shelf._root.resolve()
    assert path.resolve() == path


def test_sessions_whose_names_differ_in_case_have_folders_that_do_not(shelf):
    assert shelf.path("s", FILE).parent != shelf.path("S", FILE).parent
    assert shelf.path("s", FILE).parent.name.lower() != shelf.path("S", FILE).parent.name.lower()


def test_a_link_in_the_place_of_a_session_is_not_followed(shelf, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / FILE).write_text("secret")
    folder = shelf.path("s", FILE).parent
    folder.parent.mkdir()
    folder.symlink_to(elsewhere)
    with pytest.raises(OSError, match=r"Not a directory|symbolic"):
        shelf.begin("s", OTHER)
    assert not shelf.holds("s", FILE)
    assert list(shelf.found()) == []
    with pytest.raises(OSError, match="symbolic"):
        shelf.clear("s")
    assert (elsewhere / FILE).read_text() == "secret"


def test_a_link_in_the_place_of_a_file_is_no_file(shelf, tmp_path):
    put(shelf, name=OTHER)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("secret")
    shelf.path("s", FILE).symlink_to(elsewhere)
    assert not shelf.holds("s", FILE)
    put(shelf)
    assert (elsewhere.read_text(), shelf.path("s", FILE).is_symlink()) == ("secret", False)


def test_clearing_a_session_removes_all_of_it_and_nothing_else(shelf):
    put(shelf)
    put(shelf, name=OTHER)
    shelf.begin("s", FILE)
    kept = put(shelf, "t")
    shelf.clear("s")
    shelf.clear("s")
    assert everything(shelf) == [kept]


def test_what_is_found_is_ours_with_what_was_on_its_way_in(shelf):
    assert list(shelf.found()) == []
    path = put(shelf)
    part = shelf.begin("t", OTHER)
    for stranger in (shelf._root / "README", path.parent / "notes.txt"):
        stranger.write_text("not ours")
    assert sorted(file_id for file_id, _ in shelf.found()) == [FILE[:-4], OTHER]
    part.discard()
    shelf.sweep()
    assert sorted(each.name for each in shelf._root.iterdir()) == sorted(["README", path.parent.name])


class Just:
    """Has something done elsewhere just before one of our own calls of the system."""

    def __init__(self, patch: pytest.MonkeyPatch, name: str) -> None:
        self._call = getattr(os, name)
        self._due: dict[str, Callable[[], None]] = {}
        patch.setattr(os, name, self._called)

    def before(self, path: str | Path, do: Callable[[], None]) -> None:
        """Once, when the call is about this path."""
        self._due[str(path)] = do

    def _called(self, path: Any, *arguments: Any, **options: Any) -> Any:
        if (do := self._due.pop(str(path), None)) is not None:
            do()
        return self._call(path, *arguments, **options)


def test_a_sweep_of_another_process_does_not_disturb_a_file_that_begins(shelf, monkeypatch):
    folder = shelf.path("s", FILE).parent
    opens, swept = Just(monkeypatch, "open"), []

    def sweep() -> None:
        Shelf(shelf._root).sweep()
        swept.append(not folder.exists())

    for at in (folder, FILE + ".part"):
        opens.before(at, sweep)
        assert put(shelf).read_bytes() == b"data"
        shelf.clear("s")
    assert swept == [True, True]


def test_a_folder_that_goes_whenever_it_is_made_is_given_up(shelf, monkeypatch):
    folder, make = shelf.path("s", FILE).parent, Path.mkdir

    def make_and_lose(path: Path, *arguments: Any, **options: Any) -> None:
        make(path, *arguments, **options)
        if path == folder:
            folder.rmdir()

    monkeypatch.setattr(Path, "mkdir", make_and_lose)
    with pytest.raises(FileNotFoundError, match=folder.name):
        shelf.begin("s", FILE)


def test_a_session_that_another_process_clears_meanwhile_is_not_found(shelf, monkeypatch):
    put(shelf)
    kept = put(shelf, "t", OTHER)
    for call in ("listdir", "scandir"):  # newer Pythons list by the other
        Just(monkeypatch, call).before(shelf.path("s", FILE).parent, lambda: Shelf(shelf._root).clear("s"))
    assert list(shelf.found()) == [(OTHER, kept)]


def test_a_file_that_another_process_removes_meanwhile_keeps_no_other_from_being_cleared(shelf, monkeypatch):
    for name in (FILE, OTHER):
        put(shelf, name=name)
    unlinks = Just(monkeypatch, "unlink")
    for name, other in ((FILE, OTHER), (OTHER, FILE)):  # whichever comes first
        unlinks.before(name, lambda other=other: shelf.path("s", other).unlink(missing_ok=True))
    shelf.clear("s")
    assert list(shelf._root.iterdir()) == []
