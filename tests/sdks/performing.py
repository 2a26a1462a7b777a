"""The programs of openapi/sdk/examples, run to their ends over a network that resets their streams."""

import asyncio
import json
import os
import re
import signal
import subprocess
from pathlib import Path

from attrs import frozen

from tests.callers import ADA, shows
from tests.gateway import Gateway, every_event
from tests.sdks import page
from tests.sdks.cutter import Cutter

PROGRAMS = ("hey_api.ts", "openapi_fetch.ts", "python_client.py")
PROMPT = f"/rate 300 {page.PROMPT}"

Line = tuple[str, str, str]


@frozen
class Outcome:
    """What a program wrote, and what the proxy before it saw."""

    status: int
    lines: list[str]
    complaints: str
    resets: int
    targets: list[str]
    resumed_after: list[str | None]
    logs: dict[str, list[str]]

    def told(self, how: str) -> list[Line]:
        """What it wrote of the run that it read in this way."""
        (at,) = [index for index, line in enumerate(self.lines) if line.startswith(f"{how} ")]
        rows = [line.split(" ", 2) for line in self.lines[at + 1 :]]
        end = next(index for index, row in enumerate(rows) if row[0] in ("followed", "polled", "refused"))
        return [(where, kind, json.loads(text)) for where, kind, text in rows[:end]]


async def perform(program: str, sdk: Path, gateway: Gateway, cuts: tuple[int, ...]) -> Outcome:
    """Run a program to its end."""
    async with Cutter(gateway.url, cuts).listening() as cutter:
        process = await asyncio.create_subprocess_shell(
            page.command(program, cutter.url, PROMPT),
            cwd=sdk,
            env=os.environ | {"RUNCAST_TOKEN": ADA.key},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(60):
                out, complaints = await process.communicate()
        finally:
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGKILL)
    lines = out.decode().splitlines()
    async with gateway.client(headers=shows(ADA.key)) as http:
        logs = {
            how: await every_event(http, session, run)
            for how, session, run in re.findall(r"^(followed|polled) (\S+) (\S+)$", out.decode(), re.MULTILINE)
        }
    assert process.returncode is not None
    return Outcome(
        process.returncode, lines, complaints.decode(), cutter.resets, cutter.targets, cutter.resumed_after, logs
    )


def perform_all(sdk: Path, gateway: Gateway, cuts: tuple[int, ...] = ()) -> dict[str, Outcome]:
    """Run all programs at the same time."""

    async def together() -> list[Outcome]:
        return await asyncio.gather(*(perform(name, sdk, gateway, cuts) for name in PROGRAMS))

    return dict(zip(PROGRAMS, asyncio.run(together()), strict=True))
