"""The measurement of a takeover, in small: every run of the dead process ends, and the figures are told."""

import re
import subprocess
import sys

import pytest

from tests.documents.pages import ROOT
from tests.gateway import environment
from tests.postgres import postgres_server


@pytest.mark.slow
def test_the_runs_of_a_dead_process_end_in_time() -> None:
    postgres_server()  # or the test is skipped; the script starts one of its own
    command = [sys.executable, "bench/takeover.py", "--rounds", "2", "--runs", "20"]
    env = environment() | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=110, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    last_ended = re.search(r"^\| 20 \| \S+ s \| (\S+) s", done.stdout, re.MULTILINE)
    assert last_ended is not None
    assert float(last_ended[1]) < 15
