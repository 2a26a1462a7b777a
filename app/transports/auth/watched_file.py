"""A file that is read again when it changes, so that keys are rotated without a restart."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager, nullcontext
from pathlib import Path
from typing import Any, Final

import structlog

from app.errors import ConfigurationError
from app.meanwhile import meanwhile

log = structlog.get_logger()

_LOOK_EVERY: Final = 2.0
"""Seconds between two looks."""

_LARGEST: Final = 1024 * 1024


class WatchedFile:
    """What a file says, as of the last look; a file that has become wrong is reported, and the last good one counts.

    Args:
        path: the file.
        parse: makes a value of its text; raises ConfigurationError where it can't.

    Attributes:
        value: what `parse` made of it.

    Raises:
        ConfigurationError: it can't be read, or is wrong from the start.
    """

    def __init__(self, path: Path, parse: Callable[[str], Any]) -> None:
        self._path = path
        self._parse = parse
        self._seen = self._state()
        self.value = self._read()

    def look(self) -> None:
        """Read the file again if it has changed."""
        try:
            state = self._state()
            if state == self._seen:
                return
            self._seen = state
            self.value = self._read()
        except ConfigurationError as error:
            log.error("keys.unreadable", path=str(self._path), error=str(error))  # noqa: TRY400 - a file, no fault here
        else:
            log.info("keys.read", path=str(self._path))

    def _state(self) -> tuple[int, int, int] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino

    def _read(self) -> Any:
        try:
            with self._path.open("rb") as file:
                text = file.read(_LARGEST + 1)
            if len(text) > _LARGEST:
                raise ConfigurationError(f"{self._path} is too large to be a file of keys")
            return self._parse(text.decode())
        except OSError as error:
            raise ConfigurationError(f"{self._path} can't be read: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise ConfigurationError(f"{self._path} is no text file") from error


def watching(files: Iterable[WatchedFile], *, every: float = _LOOK_EVERY) -> AbstractAsyncContextManager[None]:
    """Look at the files every two seconds, in a thread, for as long as this is entered."""
    watched = tuple(files)

    async def watch() -> None:
        while True:
            await asyncio.sleep(every)
            for file in watched:
                await asyncio.to_thread(file.look)

    return meanwhile(watch()) if watched else nullcontext()
