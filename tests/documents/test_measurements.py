"""bench/README.md: measurements take too long for a test; that they are called like this is looked up."""

import re
import shlex

import pytest

from tests.documents.pages import ROOT, Block, text_of

PAGE = "bench/README.md"


@pytest.mark.executes(PAGE, "console")
def test_every_measurement_is_a_script_with_these_options(blocks: list[Block]) -> None:
    for line in "".join(block.text for block in blocks).splitlines():
        dollar, python, script, *words = shlex.split(line)
        source = (ROOT / script).read_text(encoding="utf-8")
        assert (dollar, python) == ("$", "python")
        assert [word for word in words if word.startswith("--") and f'"{word}"' not in source] == []


def test_every_measurement_has_a_section() -> None:
    sections = re.findall(r"^## (\w+\.py): ", text_of(PAGE), re.MULTILINE)
    scripts = {file.name for file in (ROOT / "bench").glob("*.py") if "__main__" in file.read_text(encoding="utf-8")}

    assert set(sections) == scripts
