"""The server process of a measurement, and what /proc tells of it."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from attrs import define

HERE = Path(__file__).parent


def unlimited_files() -> None:
    """As many files as the system lets us have; the server inherits it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def cpu_of(pid: int) -> float:
    """Seconds of CPU that a process used so far, user and system, to the nanosecond; /proc has only hundredths."""
    return time.clock_gettime((~pid << 3) | 2)  # as clock_getcpuclockid(3) names the clock of another process


@define
class Server:
    """A server on a data directory of its own; it can be stopped and started again.

    Attributes:
        port: the same at every start; 0 is any.
    """

    folder: Path
    settings: dict[str, str]
    port: int = 0
    pid: int = 0
    url: str = ""
    _process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        env = {name: value for name, value in os.environ.items() if not name.startswith("RUNCAST_")}
        env |= {"RUNCAST_DATA_DIR": str(self.folder / "data"), "RUNCAST_LOG_LEVEL": "warning"}
        env |= {"PYTHONUNBUFFERED": "1", "PYTHONPATH": f"{HERE}:{env.get('PYTHONPATH', '')}"}
        env |= {f"RUNCAST_{name.upper()}": value for name, value in self.settings.items()}
        command = [sys.executable, "-m", "app", "serve", "--port", str(self.port)]
        with (self.folder / "stderr").open("a") as errors:
            self._process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=errors, text=True)
        assert self._process.stdout is not None
        self.pid, self.url = self._process.pid, self._process.stdout.readline().split()[-1]

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def wait(self) -> int:
        assert self._process is not None
        return self._process.wait(60)

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                self.signal(signal.SIGTERM)
            self.wait()

    def complaints(self) -> str:
        """What it logged: warnings and worse, save that the machine has too much to do."""
        lines = (self.folder / "stderr").read_text().splitlines()
        return "\n".join(line for line in lines if '"loop.blocked"' not in line)

    def memory(self) -> float:
        """Resident memory now, MiB."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) / 1024

    def cpu(self) -> float:
        """Seconds of CPU used so far."""
        return cpu_of(self.pid)

    def sockets(self) -> int:
        """How many sockets it holds."""
        count = 0
        for entry in Path(f"/proc/{self.pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                count += str(entry.readlink()).startswith("socket:")
        return count


@contextlib.contextmanager
def serving(**settings: str) -> Iterator[Server]:
    """Start the server; stop it in the end."""
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder), settings)
        server.start()
        try:
            yield server
        finally:
            server.stop()
