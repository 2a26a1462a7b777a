"""docs/how-to/python.md: its programs, run against a server, and typed strictly."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.callers import ADA
from tests.documents.pages import ROOT, Block
from tests.gateway import Gateway, environment

PAGE = "docs/how-to/python.md"


def run(block: Block, gateway: Gateway, folder: Path, **variables: str) -> str:
    """What a program writes that is saved and started."""
    program = folder / "program.py"
    assert block.text.count("http://localhost:8000") == 1
    program.write_text(block.text.replace("http://localhost:8000", gateway.url), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "error", program],
        cwd=folder,
        env=environment() | {"PYTHONPATH": str(ROOT)} | variables,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.executes(PAGE, "python", section="send-and-follow")
def test_what_the_agent_says_is_printed(gateway: Gateway, tmp_path: Path, blocks: list[Block]) -> None:
    said = run(blocks[0], gateway, tmp_path)

    assert "[count_words: {" in said
    assert "lighthouses" in said


@pytest.mark.executes(PAGE, "python", section="go-on-where-another-program-stopped")
def test_another_program_goes_on_after_the_bookmark(gateway: Gateway, tmp_path: Path, blocks: list[Block]) -> None:
    assert run(blocks[0], gateway, tmp_path).startswith("stream_end at 1-")
    assert (tmp_path / "bookmark.txt").read_text().startswith("ses_")


@pytest.mark.executes(PAGE, "python", section="one-run-to-its-end")
def test_a_run_is_followed_to_its_end(gateway: Gateway, tmp_path: Path, blocks: list[Block]) -> None:
    assert len(run(blocks[0], gateway, tmp_path).split()) >= 3


@pytest.mark.executes(PAGE, "python", "text", section="commands")
def test_commands_are_carried_out_or_refused_as_shown(gateway: Gateway, tmp_path: Path, blocks: list[Block]) -> None:
    program, output = blocks

    assert run(program, gateway, tmp_path) == output.text


@pytest.mark.executes(PAGE, "python", "text", section="where-callers-are-known")
def test_a_caller_with_a_token_is_let_in(guarded: Gateway, tmp_path: Path, blocks: list[Block]) -> None:
    program, output = blocks

    assert run(program, guarded, tmp_path, RUNCAST_TOKEN=ADA.key) == output.text


@pytest.mark.executes(PAGE, "python")
def test_the_programs_are_well_typed(tmp_path: Path, blocks: list[Block]) -> None:
    pytest.importorskip("mypy", reason="mypy is not installed: make lint")
    files = []
    for number, block in enumerate(blocks):
        files.append(tmp_path / f"program_{number}.py")
        files[-1].write_text(block.text, encoding="utf-8")
    options = ["--strict", "--allow-untyped-defs", "--allow-untyped-calls", "--check-untyped-defs"]
    options += ["--cache-dir", str(tmp_path / "cache"), "--follow-imports", "silent"]
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", *options, *files], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert checked.returncode == 0, checked.stdout
