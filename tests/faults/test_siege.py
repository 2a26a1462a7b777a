"""Three gateways, one of which is killed, one held up and one restarted, while everybody follows and commands them."""

import asyncio
import sys
from pathlib import Path

import pytest

from tests.gateway import environment
from tests.postgres import postgres_server
from tests.runlog.servers import VALKEY, KeyServer

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parent.parent.parent
SMALL = (
    *("--runs", "20", "--turns", "2", "--viewers", "60", "--kills", "1", "--pauses", "1", "--restarts", "1"),
    *("--every", "1", "--pace", "3", "--stay", "3", "--seed", "24"),
)


async def test_every_viewer_has_what_the_logs_say_whatever_befalls_the_processes() -> None:
    """Row 24: two processes that take a run for theirs; row 1 with several processes. `bench/chaos.py` tells more."""
    database, keys = postgres_server().migrated(), KeyServer(VALKEY, "--appendonly", "yes")
    try:
        siege = await asyncio.create_subprocess_exec(
            *(sys.executable, "bench/chaos.py", "--database", database, "--valkey", keys.url, *SMALL),
            cwd=ROOT,
            env=environment() | {"PYTHONPATH": str(ROOT)},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await siege.communicate()
    finally:
        keys.remove()
    assert siege.returncode == 0, said.decode()
    assert "| exact | 60 |" in said.decode()
    assert "| pauses | 1 |" in said.decode()
