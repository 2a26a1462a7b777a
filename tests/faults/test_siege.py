"""Three gateways, one of which is killed, one held up and one restarted, while everybody follows and commands them."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.gateway import environment
from tests.postgres import postgres_server
from tests.runlog.servers import VALKEY, KeyServer

ROOT = Path(__file__).parent.parent.parent
SMALL = (
    *("--runs", "20", "--turns", "2", "--viewers", "60", "--kills", "1", "--pauses", "1", "--restarts", "1"),
    *("--every", "1", "--pace", "3", "--stay", "3", "--seed", "24"),
)


@pytest.mark.slow
def test_every_viewer_has_what_the_logs_say_whatever_befalls_the_processes() -> None:
    """Row 24: two processes that take a run for theirs; row 1 with several processes. `bench/chaos.py` tells more."""
    database, keys = postgres_server().migrated(), KeyServer(VALKEY, "--appendonly", "yes")
    command = [sys.executable, "bench/chaos.py", "--database", database, "--valkey", keys.url, *SMALL]
    try:
        env = environment() | {"PYTHONPATH": str(ROOT)}
        siege = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=120, check=False)
    finally:
        keys.remove()
    assert siege.returncode == 0, siege.stdout + siege.stderr
    assert "| exact | 60 |" in siege.stdout
    assert "| pauses | 1 |" in siege.stdout
