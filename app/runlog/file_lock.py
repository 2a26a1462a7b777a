"""A claim on a data file that no second process can make, and that ends with the process, however it ends."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from app.errors import ConfigurationError


class FileLock:
    """An exclusive lock on `<path>.lock`, taken when made; the kernel lets go of it even on kill -9.

    Raises:
        ConfigurationError: somebody else holds it, or the file can't be made.
    """

    def __init__(self, path: Path) -> None:
        lock = path.with_name(f"{path.name}.lock")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ConfigurationError(f"{lock} can't be made: {error.strerror}") from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            owner = os.pread(self._file, 32, 0).decode("ascii", "replace").strip()
            os.close(self._file)
            raise ConfigurationError(
                f"{path} is in use by process {owner or 'unknown'}: stop it, or choose another data directory"
            ) from error
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let go. The file stays: removing it could take it from under a process that is about to lock it."""
        os.close(self._file)
