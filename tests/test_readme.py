"""README.md and docs/tutorial.md, followed to the letter: what they say to type is typed, against a real server.

`console` blocks go on until they are stopped, `sh` blocks are pasted into a second terminal, `python` blocks are saved
as `my_agent.py`.
"""

import contextlib
import json
import re
import shlex
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.gateway import LISTENING, environment

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"^```(console|sh|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
DONE = "-- pasted --"
LAST_WORDS = ("stream_end", "stream_cancelled", "error")

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")

Message = dict[str, Any]


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class Reader:
    """Somebody who does what a document says, in an empty folder; 8000 is another port here."""

    def __init__(self, folder: Path, stack: contextlib.ExitStack) -> None:
        self.port = free_port()
        self.streams: list[str] = []
        self.tailed: list[str] = []
        self._folder = folder
        self._server: subprocess.Popen[str] | None = None
        self._stack = stack
        stack.callback(self._stop)
        self._shell = self._open(["sh"], stdin=subprocess.PIPE, stderr=subprocess.STDOUT)

    def follow(self, document: str) -> None:
        """Do everything, in order."""
        for kind, text in BLOCK.findall((ROOT / document).read_text(encoding="utf-8")):
            if kind == "python":
                (self._folder / "my_agent.py").write_text(text, encoding="utf-8")
            elif kind == "sh":
                self.streams += self.paste(text).split(": connected\n")[1:]
            else:
                self._type(text.removeprefix("$ ").strip())

    def paste(self, text: str) -> str:
        """Run it in the second terminal; everything that showed there."""
        assert self._shell.stdin is not None
        assert self._shell.stdout is not None
        self._shell.stdin.write(f"{text.replace('localhost:8000', f'localhost:{self.port}')}\necho; echo {DONE}\n")
        self._shell.stdin.flush()
        shown = iter(self._shell.stdout.readline, f"{DONE}\n")
        return "".join(line for line in shown if line or pytest.fail("the shell ended"))

    def serve(self, agent: str = "demo") -> None:
        """What `make run AGENT=...` does once everything is installed."""
        self._stop()
        command = ["serve", "--port", str(self.port), "--agent", agent]
        self._server = self._open([sys.executable, "-m", "app", *command], stderr=subprocess.DEVNULL)
        assert self._server.stdout is not None
        assert LISTENING.search(self._server.stdout.readline())

    def log(self, session: str, run: str) -> list[Message]:
        """The whole log of a run that has ended."""
        url = f"http://localhost:{self.port}/sessions/{session}/runs/{run}/log"
        page = httpx.get(url, timeout=20).raise_for_status().json()
        assert page["done"]
        return list(page["events"])

    def _type(self, line: str) -> None:
        command, *words = shlex.split(line)
        if command == "make":
            assert words[0] == "run"
            self.serve(*[word.removeprefix("AGENT=") for word in words[1:]])
        else:
            assert (command, words[0]) == (".venv/bin/runcast", "tail")
            self._tail(self.paste(f"echo {words[1]}").strip(), words[2:])

    def _tail(self, session: str, options: list[str]) -> None:
        """Read along until the last run there is has ended."""
        command = [sys.executable, "-m", "app", "tail", session, "--url", f"http://localhost:{self.port}", *options]
        runs = httpx.get(f"http://localhost:{self.port}/sessions/{session}/runs").json()["items"]
        tail = self._open(command)
        assert tail.stdout is not None
        while sum(line.startswith("-- ") for line in self.tailed) < len(runs):
            self.tailed.append(tail.stdout.readline() or pytest.fail("tail ended"))
        tail.terminate()

    def _open(self, command: list[str], **pipes: int) -> subprocess.Popen[str]:
        given = environment() | {"PYTHONPATH": str(ROOT)}
        process = subprocess.Popen(command, cwd=self._folder, env=given, stdout=subprocess.PIPE, text=True, **pipes)
        self._stack.enter_context(process)
        self._stack.callback(process.kill)
        return process

    def _stop(self) -> None:
        if self._server is not None:
            self._server.terminate()
            self._server.wait(20)


@pytest.fixture(name="reader")
def _reader(tmp_path: Path) -> Iterator[Reader]:
    with contextlib.ExitStack() as stack:
        yield Reader(tmp_path, stack)


def from_log(stream: str) -> list[Message]:
    """The messages of a stream that came out of a log."""
    said = [json.loads(line) for line in re.findall(r"^data: (.*)$", stream, re.MULTILINE)]
    return [message for message in said if "id" in message]


def merged(messages: list[Message]) -> list[Message]:
    """Neighbouring deltas made one, as compaction may have done to any of them (P3.5)."""
    out: list[Message] = []
    for message in messages:
        last = out[-1] if out else {}
        if "delta" in message and (last.get("type"), last.get("agent")) == (message["type"], message.get("agent")):
            out[-1] = {**message, "delta": last["delta"] + message["delta"]}
        else:
            out.append(message)
    return out


def by_run(streams: list[str]) -> list[list[list[Message]]]:
    """For each run, the streams that followed it one after the other."""
    runs: list[list[list[Message]]] = []
    for stream in map(from_log, streams):
        if stream[0]["type"] == "stream_start":
            runs.append([])
        runs[-1].append(stream)
    return runs


def seqs(messages: list[Message]) -> list[int]:
    return [int(message["id"].partition("-")[2]) for message in messages]


def is_exact(reader: Reader, streams: list[list[Message]]) -> None:
    """Nothing is missing and nothing came twice, however often the connection was dropped."""
    got = [message for stream in streams for message in stream]
    assert seqs(got) == sorted(set(seqs(got)))
    assert merged(got) == merged(reader.log(got[0]["session_id"], got[0]["run_id"]))


def test_the_readme_drops_a_connection_and_gets_exactly_the_rest(reader: Reader) -> None:
    reader.follow("README.md")

    [[dropped, resumed]] = by_run(reader.streams)
    assert all(message["type"] not in LAST_WORDS for message in dropped)
    assert resumed[-1]["type"] == "stream_end"
    is_exact(reader, [dropped, resumed])


def test_the_tutorial_survives_a_lost_connection_and_a_killed_server(reader: Reader) -> None:
    reader.follow("docs/tutorial.md")

    first, own, killed = by_run(reader.streams)
    for streams in (first, own, killed):
        is_exact(reader, streams)
    assert [len(first), len(own), len(killed)] == [2, 1, 2]
    assert [streams[-1][-1]["type"] for streams in (first, own, killed)] == ["stream_end", "stream_end", "error"]
    assert own[0][-1]["content"].endswith("16 and that was message 1.")
    assert killed[-1][-1]["code"] == "run_interrupted"
    assert '  measure({"text": "Count for me"})\n' in reader.tailed
    ends = [line.partition(":")[0].strip() for line in reader.tailed if line.startswith("-- ")]
    assert ends == [f"-- done at {first[-1][-1]['id']}", f"-- done at {own[-1][-1]['id']}", "-- run_interrupted"]


def test_the_readmes_agent_answers(reader: Reader) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    [agent] = [text for kind, text in BLOCK.findall(readme) if kind == "python"]
    (reader._folder / "my_agent.py").write_text(agent, encoding="utf-8")
    [setting] = re.findall(r"`make run AGENT=(my_agent:\S+)`", readme)
    reader.serve(setting)
    [session] = re.findall(r"^S=.*$", readme, re.MULTILINE)
    [start] = re.findall(r"^R=.*$", readme, re.MULTILINE)

    shown = reader.paste(f"{session}\n{start}\ncurl -sN localhost:8000/sessions/$S/runs/$R/events")

    assert from_log(shown)[-1]["type"] == "stream_end"
    assert from_log(shown)[-1]["content"] == "Hello "


def test_every_file_that_a_page_links_to_is_there() -> None:
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")):
        targets = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8"))
        assert [target for target in targets if not (page.parent / target).exists()] == [], page.name


def test_the_makefile_has_every_target_that_a_page_names() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]
    named = {name for page in pages for name in re.findall(r"[`$ ]make ([a-z]+)\b[^`\n]*`", page.read_text("utf-8"))}

    assert {"run", "test", "lint"} <= named <= targets
