"""docs/how-to/curl.md, pasted into a shell; what it shows is what came back, up to ids, times and words."""

import json
import re
import shutil

import pytest

from tests.documents.likeness import alike, matches
from tests.documents.pages import Block
from tests.documents.reader import Reader

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")


BEFORE_ANYTHING = re.compile(r'data: {"type":"caught_up","position":"\d+-0"}\n\n')
"""What somebody is told who follows a run that has not said a word yet."""


@pytest.mark.executes("docs/how-to/curl.md")
def test_every_command_answers_as_it_is_shown(reader: Reader, blocks: list[Block]) -> None:
    reader.serve()
    said = ""
    for block in blocks:
        where = f"{block.page}:{block.line}"
        if block.language == "sh":
            said = reader.paste(block.text)
        elif block.language == "json":
            assert alike(json.loads(block.text), json.loads(said.strip())), (where, said)
        else:
            assert block.language == "text"
            lines = BEFORE_ANYTHING.sub("", said).strip().splitlines()
            for line, shown in enumerate(block.text.splitlines()):
                assert matches(shown, lines[line]), (where, shown, said)
