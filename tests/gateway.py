"""A real server process, started, stopped and killed by tests; and the plain HTTP that they talk to it."""

import asyncio
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

LISTENING = re.compile(r"Runcast is listening on (http://\S+)")
DELIBERATE = {"agent.crashed", "agent.failed_late", "agent.would_not_stop", "loop.blocked"}
"""What tests ask for, or a machine with much else to do brings about; anything else of its kind is a complaint."""

_ESTABLISHED = "01"

Json = dict[str, Any]


def environment(**settings: str) -> dict[str, str]:
    """This process's environment, with these settings and no others."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("RUNCAST_")}
    given = {f"RUNCAST_{name.upper()}": value for name, value in settings.items()}
    return inherited | {"PYTHONUNBUFFERED": "1", "PYTHONPATH": str(Path(__file__).parent)} | given


def sockets_of(pid: int) -> list[str]:
    """The sockets that a process holds, as `socket:[inode]`."""
    found = []
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found.append(str(entry.readlink()))
    return [each for each in found if each.startswith("socket:")]


class Gateway:
    """One data directory, and the process that serves it.

    Args:
        asked_for: events of its log that the test brings about; they are no complaints.
        port: to listen on; 0 takes a free one, at every start another.
    """

    def __init__(
        self,
        folder: Path,
        command: tuple[str, ...] = ("-m", "app"),
        *,
        asked_for: tuple[str, ...] = (),
        port: int = 0,
        **settings: str,
    ) -> None:
        self.data_dir = folder / "data"
        self.url = ""
        self._errors = folder / "stderr.txt"
        self._asked_for = DELIBERATE.union(asked_for)
        self._command = (sys.executable, *command, "serve", "--port", str(port))
        self._environment = environment(**({"data_dir": str(self.data_dir), "agent": "demo"} | settings))
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> "Gateway":
        with self._errors.open("a") as errors:
            self._process = subprocess.Popen(
                self._command, env=self._environment, stdout=subprocess.PIPE, stderr=errors, text=True
            )
        assert self._process.stdout is not None
        found = LISTENING.search(self._process.stdout.readline())
        assert found, self.stderr
        self.url = found[1]
        return self

    @property
    def ws_url(self) -> str:
        return self.url.replace("http", "ws", 1)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def stderr(self) -> str:
        return self._errors.read_text()

    def forget(self) -> None:
        """Empty the log: what stands in it was looked at."""
        self._errors.write_text("")

    @property
    def complaints(self) -> list[str]:
        """What stands in the log and should not: tracebacks, errors, lines of another form."""
        return [line for line in self.stderr.splitlines() if self._is_complaint(line)]

    @property
    def memory(self) -> float:
        """Resident memory of the process, MiB."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) / 1024

    @property
    def open_sockets(self) -> int:
        """How many sockets the process holds."""
        return len(sockets_of(self.pid))

    def connections(self, pid: int | None = None) -> int:
        """How many connections to its port the process holds, or one of its workers."""
        port = f":{httpx.URL(self.url).port:04X}"
        lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        ours = {f"socket:[{line[9]}]" for line in lines if line[1].endswith(port) and line[3] == _ESTABLISHED}
        return len(ours & set(sockets_of(pid or self.pid)))

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        self.wait()

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def wait(self, at_most: float = 20) -> int:
        """Wait for the process's end; its exit status."""
        assert self._process is not None
        assert self._process.stdout is not None
        status = self._process.wait(at_most)
        self._process.stdout.close()
        return status

    def stop(self) -> int:
        self.signal(signal.SIGTERM)
        return self.wait()

    def close(self) -> None:
        """Stop it, however far it got; a complaint in its log fails the test."""
        if self._process is not None:
            try:
                self._end()
            finally:
                self._process.kill()
        assert self.complaints == [], self.complaints

    def _end(self) -> None:
        """Stop it, and wait no longer than a moment for runs that a test left in progress."""
        assert self._process is not None
        for moment in (1.0, 20.0):
            if self._process.poll() is None:
                self.signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.wait(moment)
                return
        raise AssertionError("it did not stop")

    def _is_complaint(self, line: str) -> bool:
        try:
            said = json.loads(line)
        except ValueError:
            return True
        expected = said.get("event") in self._asked_for
        return not expected and (said["level"] not in ("debug", "info") or "Traceback" in line)

    def said(self, event: str) -> list[Json]:
        """The lines of its log about an event."""
        lines = [json.loads(line) for line in self.stderr.splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == event]

    def client(self, **options: Any) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=self.url, timeout=20, verify=False, **options)


Launch = Callable[..., Gateway]


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A server that the tests of a file share."""
    gateway = Gateway(tmp_path_factory.mktemp("gateway"))
    try:
        yield gateway.start()
    finally:
        gateway.close()


@pytest.fixture
def launch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launch]:
    """Starts servers of a test's own, with settings of its own."""
    with contextlib.ExitStack() as stack:

        def launch_(**settings: Any) -> Gateway:
            gateway = Gateway(tmp_path_factory.mktemp("own"), **settings)
            stack.callback(gateway.close)
            return gateway.start()

        yield launch_


async def refused_start(*arguments: str, **settings: str) -> list[str]:
    """The lines that `runcast serve` writes before it gives up starting."""
    command = [sys.executable, "-m", "app", "serve", *arguments]
    done = await asyncio.to_thread(
        subprocess.run,
        command,
        env=environment(**{"port": "0"} | settings),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode not in (0, None)
    assert done.stdout == ""
    return done.stderr.splitlines()


async def refusal(*arguments: str, **settings: str) -> str:
    """What `runcast serve` says as it refuses to start, which is one line."""
    (line,) = await refused_start(*arguments, **settings)
    return line


class LogPage(msgspec.Struct):
    """An answer of the log route, its messages as they were written."""

    events: list[msgspec.Raw]
    next: str
    done: bool


async def new_session(http: httpx.AsyncClient) -> str:
    return str((await http.post("/sessions")).raise_for_status().json()["id"])


async def start(http: httpx.AsyncClient, session: str, content: str, **more: Any) -> str:
    """Start a run; its id."""
    answer = await http.post(f"/sessions/{session}/runs", json={"content": content, **more})
    return str(answer.raise_for_status().json()["id"])


async def log_pages(http: httpx.AsyncClient, session: str, run: str, **query: Any) -> AsyncIterator[LogPage]:
    """The log of a run from its first event to its terminal, a long poll at a time."""
    after = "0"
    while True:
        params = {"after": after, "wait": 20, **query}
        answer = (await http.get(f"/sessions/{session}/runs/{run}/log", params=params)).raise_for_status()
        page = msgspec.json.decode(answer.content, type=LogPage)
        yield page
        if page.done:
            return
        after = page.next


async def log_of(http: httpx.AsyncClient, session: str, run: str, **query: Any) -> list[str]:
    """Every message of a run, as the JSON text that the server wrote, once the run has ended."""
    pages = log_pages(http, session, run, **query)
    return [bytes(event).decode() async for page in pages for event in page.events]


async def every_event(http: httpx.AsyncClient, session: str, run: str) -> list[str]:
    """The same in pages that are too short to be compacted: one message per event."""
    return await log_of(http, session, run, limit=20)
