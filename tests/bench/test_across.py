"""The measurement of a second process, in small: whoever follows has the run that is measured, and nothing else."""

import subprocess
import sys

import pytest

from tests.documents.pages import ROOT
from tests.gateway import environment
from tests.postgres import postgres_server

SMALL = ("--rounds", "3", "--viewers", "10", "--events", "40", "--rate", "100")


@pytest.mark.slow
def test_every_viewer_of_every_round_has_its_run_and_the_figures_are_told() -> None:
    postgres_server()  # or the test is skipped; the script starts one of its own
    command = [sys.executable, "bench/across.py", *SMALL]
    env = environment() | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=240, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    assert [line.partition(",")[0] for line in done.stdout.splitlines()[:3]] == [f"round {n}" for n in (1, 2, 3)]
    assert "| p99 |" in done.stdout
