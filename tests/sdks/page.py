"""docs/how-to/generated-sdks.md."""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROMPT = "/custom Tell me about lighthouses"
"""What its commands ask."""

TEXT = (ROOT / "docs" / "how-to" / "generated-sdks.md").read_text(encoding="utf-8")


def blocks(kind: str) -> list[str]:
    """Its code blocks of a language."""
    return re.findall(rf"^```{kind}\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


def command(program: str, url: str, prompt: str) -> str:
    """What it says to type, save for the server's URL, the message, and where the Python of `make` is."""
    (line,) = (line for line in blocks("sh")[0].splitlines() if f"examples/{program} " in line)
    for shown, here in {"http://localhost:8000": url, f'"{PROMPT}"': f'"{prompt}"'}.items():
        assert shown in line
        line = line.replace(shown, here)
    return line.replace("../../.venv/bin/python", sys.executable)
