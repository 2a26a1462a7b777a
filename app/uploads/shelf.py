"""The bytes of uploaded files on disk: `<root>/<folder of the session>/<id and suffix>`.

Every name here is made by the server: a folder is a hash of the session's id, since an id may be `..`. A session's
folder is never followed through a link. A file that is on its way in has a name of its own until it is whole and on the
disk, so that whatever has its final name is complete. Everything blocks: call it in a thread.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Final

_FOLDER: Final = re.compile(r"[0-9a-f]{32}")
_FILE: Final = re.compile(r"(file_[0-9a-f]{32})(\.[a-z0-9]{1,12})?(\.part)?")
_PART: Final = ".part"
_ATTEMPTS: Final = 10
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Incoming:
    """A file that is being written. Close it with `keep` or `discard`; threads may take turns."""

    def __init__(self, folder: Path, name: str) -> None:
        self._name = name
        self._lock = Lock()
        self._open = True
        self._folder = os.open(folder, _DIRECTORY)
        try:
            self._file = os.open(name + _PART, _NEW, 0o600, dir_fd=self._folder)
        except OSError:
            os.close(self._folder)
            raise

    def write(self, data: bytes) -> None:
        """Add bytes; nothing happens once it is closed."""
        with self._lock:
            view = memoryview(data)
            while self._open and view:
                view = view[os.write(self._file, view) :]

    def keep(self) -> None:
        """Give the file its name, once it would survive a loss of power."""
        with self._lock:
            os.fsync(self._file)
            os.rename(self._name + _PART, self._name, src_dir_fd=self._folder, dst_dir_fd=self._folder)
            os.fsync(self._folder)
            self._close()

    def discard(self) -> None:
        """Leave nothing behind; a file that was kept stays."""
        with self._lock:
            if self._open:
                with suppress(FileNotFoundError):
                    os.unlink(self._name + _PART, dir_fd=self._folder)
                self._close()

    def _close(self) -> None:
        self._open = False
        os.close(self._file)
        os.close(self._folder)


class Shelf:
    """All files, under one folder that only the server's own user may look into.

    Args:
        root: the folder; made when the first file comes.
    """

    def __init__(self, root: Path) -> None:
        self._root = root.absolute()

    def path(self, session_id: str, name: str) -> Path:
        """Where a session's file is."""
        return self._folder(session_id) / name

    def begin(self, session_id: str, name: str) -> Incoming:
        """Begin to write a file, whose name must be new.

        Raises:
            FileNotFoundError: the session's folder is removed again and again.
        """
        folder = self._folder(session_id)
        for _ in range(_ATTEMPTS):
            folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with suppress(FileExistsError):
                folder.mkdir(mode=0o700)
                _sync(folder.parent)
            # Another process that starts sweeps folders away while they are empty.
            with suppress(FileNotFoundError):
                return Incoming(folder, name)
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(folder))

    def holds(self, session_id: str, name: str) -> bool:
        """Whether the file is there, and a file."""
        try:
            folder, file = self._folder(session_id).lstat(), self.path(session_id, name).lstat()
        except OSError:
            return False
        return stat.S_ISDIR(folder.st_mode) and stat.S_ISREG(file.st_mode)

    def remove(self, session_id: str, name: str) -> None:
        """Remove a file, if it is there."""
        self.path(session_id, name).unlink(missing_ok=True)

    def clear(self, session_id: str) -> None:
        """Remove everything of a session, if there is anything."""
        folder = self._folder(session_id)
        while os.path.lexists(folder):
            # It stops at the first file that another process has removed meanwhile.
            with suppress(FileNotFoundError):
                shutil.rmtree(folder)

    def found(self) -> Iterator[tuple[str, Path]]:
        """Every file that is there or was on its way in, with its id; what we did not make is passed over."""
        for folder in self._folders():
            for path in _held_by(folder):
                if (match := _FILE.fullmatch(path.name)) is not None:
                    yield match[1], path

    def sweep(self) -> None:
        """Remove folders that hold nothing."""
        for folder in self._folders():
            with suppress(OSError):
                folder.rmdir()

    def _folders(self) -> Iterator[Path]:
        for folder in _held_by(self._root):
            if _FOLDER.fullmatch(folder.name) and folder.is_dir() and not folder.is_symlink():
                yield folder

    def _folder(self, session_id: str) -> Path:
        return self._root / hashlib.sha256(session_id.encode()).hexdigest()[:32]


def _held_by(folder: Path) -> list[Path]:
    """What is in a folder; nothing, if it was removed meanwhile."""
    try:
        return list(folder.iterdir())
    except FileNotFoundError:
        return []


def _sync(folder: Path) -> None:
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
