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

    @property
    def url(self) -> str:
        return f"http://localhost:{self.port}"

    def serve(self, **settings: str) -> None:
        """What `make run` does once everything is installed, with settings as in the environment."""
        self._stop()
        command = [sys.executable, "-m", "app", "serve", "--port", str(self.port)]
        self._server = self._open(command, settings, stderr=subprocess.DEVNULL)
        assert self._server.stdout is not None
        assert LISTENING.search(self._server.stdout.readline())

    def log(self, session: str, run: str) -> list[Message]:
        """The whole log of a run that has ended."""
        page = httpx.get(f"{self.url}/sessions/{session}/runs/{run}/log", timeout=20).raise_for_status().json()
        assert page["done"]
        return list(page["events"])

    def _type(self, line: str) -> None:
        words = shlex.split(line)
        if "make" in words:
            at = words.index("make")
            assert words[at + 1] == "run"
            given = [word.partition("=") for word in (*words[:at], *words[at + 2 :])]
            self.serve(**{name.removeprefix("RUNCAST_").lower(): value for name, _, value in given if name != "EXTRA"})
        else:
            assert words[:2] == [".venv/bin/runcast", "tail"]
            self._tail(self.paste(f"echo {words[2]}").strip(), words[3:])

    def _tail(self, session: str, options: list[str]) -> None:
        """Read along until the last run there is has ended."""
        command = [sys.executable, "-m", "app", "tail", session, "--url", self.url, *options]
        runs = httpx.get(f"{self.url}/sessions/{session}/runs").json()["items"]
        tail = self._open(command)
        assert tail.stdout is not None
        while sum(line.startswith("-- ") for line in self.tailed) < len(runs):
            self.tailed.append(tail.stdout.readline() or pytest.fail("tail ended"))
        tail.terminate()

    def _open(self, command: list[str], settings: dict[str, str] | None = None, **pipes: int) -> subprocess.Popen[str]:
        given = environment(**(settings or {})) | {"PYTHONPATH": str(ROOT)}
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
