"""README.md and docs/tutorial.md, followed to the letter."""

import re
import shutil

import pytest

from tests.documents.pages import Block, text_of
from tests.documents.reader import LAST_WORDS, Reader, by_run, from_log, is_exact

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")


@pytest.mark.executes("README.md", "console", "sh", "python")
def test_the_readme_drops_a_connection_and_gets_exactly_the_rest(reader: Reader, blocks: list[Block]) -> None:
    reader.follow(blocks)

    [[dropped, resumed]] = by_run(reader.streams)
    assert all(message["type"] not in LAST_WORDS for message in dropped)
    assert resumed[-1]["type"] == "stream_end"
    is_exact(reader, [dropped, resumed])


@pytest.mark.slow
@pytest.mark.executes("docs/tutorial.md", "console", "sh", "python")
def test_the_tutorial_survives_a_lost_connection_and_a_killed_server(reader: Reader, blocks: list[Block]) -> None:
    reader.follow(blocks)

    first, own, killed = by_run(reader.streams)
    for streams in (first, own, killed):
        is_exact(reader, streams)
    assert [len(first), len(own), len(killed)] == [2, 1, 2]
    assert [streams[-1][-1]["type"] for streams in (first, own, killed)] == ["stream_end", "stream_end", "error"]
    assert own[0][-1]["content"].endswith("16 and that was message 1.")
    assert killed[-1][-1]["code"] == "run_interrupted"
    assert '  measure({"text": "Count for me"})\n' in reader.tailed
    ends = [line.partition(":")[0].strip() for line in reader.tailed if line.startswith("-- ")]
    assert ends == [
        f"-- done at {first[-1][-1]['id']}",
        f"-- done at {own[-1][-1]['id']}",
        f"-- run_interrupted at {killed[-1][-1]['id']}",
    ]


@pytest.mark.executes("README.md", "python")
def test_the_readmes_agent_answers(reader: Reader, blocks: list[Block]) -> None:
    readme = text_of("README.md")
    [agent] = blocks
    (reader.folder / "my_agent.py").write_text(agent.text, encoding="utf-8")
    [setting] = re.findall(r"`make run AGENT=(my_agent:\S+)`", readme)
    reader.serve(agent=setting)
    [session] = re.findall(r"^S=.*$", readme, re.MULTILINE)
    [start] = re.findall(r"^R=.*$", readme, re.MULTILINE)

    shown = reader.paste(f"{session}\n{start}\ncurl -sN localhost:8000/sessions/$S/runs/$R/events")

    assert from_log(shown)[-1]["type"] == "stream_end"
    assert from_log(shown)[-1]["content"] == "Hello "
