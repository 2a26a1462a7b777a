"""docs/how-to/generated-sdks.md against the programs that it is about."""

import re

import pytest

from tests.sdks import page
from tests.sdks.performing import PROGRAMS

EXAMPLES = page.ROOT / "openapi" / "sdk" / "examples"


@pytest.mark.executes("docs/how-to/generated-sdks.md", "ts", "python")
def test_its_code_stands_in_the_programs() -> None:
    programs = [(EXAMPLES / name).read_text(encoding="utf-8") for name in PROGRAMS]

    assert [block for kind in ("ts", "python") for block in page.blocks(kind) if block not in "\n".join(programs)] == []


def test_it_knows_how_long_the_programs_are() -> None:
    told = dict(re.findall(r"\[(\w+\.\w+)\]\(\S+\), (\d+) lines", page.TEXT))

    assert told == {name: str(len((EXAMPLES / name).read_text(encoding="utf-8").splitlines())) for name in PROGRAMS}
