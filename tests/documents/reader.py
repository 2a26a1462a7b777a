"""Somebody who follows a page to the letter: what it says to type is typed, against a real server.

`console` blocks go on until they are stopped, `sh` blocks are pasted into a second terminal, `python` blocks are saved
as `my_agent.py`.
"""

import contextlib
import json
import re
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.documents.pages import ROOT, Block
from tests.gateway import LISTENING, environment

DONE = "-- pasted --"
LAST_WORDS = ("stream_end", "stream_cancelled", "error")

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
        self.folder = folder
        self._server: subprocess.Popen[str] | None = None
        self._stack = stack
        stack.callback(self._stop)
        self._shell = self._open(["sh"], stdin=subprocess.PIPE, stderr=subprocess.STDOUT)

    def follow(self, blocks: Iterable[Block]) -> None:
        """Do everything, in order."""
        for block in blocks:
            if block.language == "python":
                (self.folder / "my_agent.py").write_text(block.text, encoding="utf-8")
            elif block.language == "sh":
                self.streams += self.paste(block.text).split(": connected\n")[1:]
            else:
                self._type(block.text.removeprefix("$ ").strip())

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
        process = subprocess.Popen(command, cwd=self.folder, env=given, stdout=subprocess.PIPE, text=True, **pipes)
        self._stack.enter_context(process)
        self._stack.callback(process.kill)
        return process

    def _stop(self) -> None:
        if self._server is not None:
            self._server.terminate()
            self._server.wait(20)


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
