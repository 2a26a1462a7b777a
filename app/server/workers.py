"""A worker process, as its supervisor starts it: what it says, and how it notices that the supervisor is gone."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Final

import structlog

from app.errors import ConfigurationError

log = structlog.get_logger()

_SPAWN: Final = multiprocessing.get_context("spawn")


class Voice:
    """What a worker has to say to its supervisor."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def serving(self) -> None:
        """Connections are accepted."""
        self._connection.send(None)

    def failed(self, error: ConfigurationError) -> None:
        """It can't start as configured."""
        self._connection.send(str(error))


Work = Callable[[int, Voice], None]
"""What a worker does, given its number. It is pickled: a function of a module, or a `partial` of one."""


def begin(work: Work, number: int) -> tuple[SpawnProcess, Connection]:
    """Start a worker: its process, and the connection that it speaks through."""
    said, says = _SPAWN.Pipe(duplex=False)
    process = _SPAWN.Process(target=_be_a_worker, args=(work, number, says), name=f"worker-{number}")
    with _deaf_to_the_terminal(), says:
        process.start()
    return process, said


@contextmanager
def _deaf_to_the_terminal() -> Iterator[None]:
    """Have what is started here ignore Ctrl+C until it has a process group of its own."""
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)


def _be_a_worker(work: Work, number: int, says: Connection) -> None:
    os.setpgid(0, 0)  # Ctrl+C reaches the supervisor alone, who passes it on: twice would mean not to wait
    threading.Thread(target=_go_with_the_supervisor, name="supervisor", daemon=True).start()
    work(number, Voice(says))


def _go_with_the_supervisor() -> None:
    """Stop as at a signal when the supervisor is gone, however it went."""
    supervisor = multiprocessing.parent_process()
    assert supervisor is not None  # noqa: S101 - this is a child
    supervisor.join()
    log.warning("supervisor.gone")
    os.kill(os.getpid(), signal.SIGTERM)
