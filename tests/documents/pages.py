"""The pages of the project, and the code blocks in them.

A block is claimed by the test that executes or checks it: by the mark `executes(page, *languages, section=...)`, whose
blocks the fixture `blocks` gives to the test. `tests/test_documents.py` fails for a block that no test claims.
"""

import ast
import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

from attrs import frozen

ROOT = Path(__file__).parents[2]
_FENCE = re.compile(r"^(?P<indent> *)```(?P<language>[^\n`]*)\n(?P<text>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


@frozen
class Block:
    """One fenced block.

    Attributes:
        section: the anchor of the heading that it stands below.
        line: of its fence, counted from 1.
    """

    page: str
    section: str
    line: int
    language: str
    text: str


@frozen
class Claim:
    """What a test says that it executes."""

    test: str
    page: str
    languages: tuple[str, ...]
    section: str | None = None

    def holds(self, block: Block) -> bool:
        """Whether it is about a block."""
        named = not self.languages or block.language in self.languages
        return block.page == self.page and named and self.section in (None, block.section)


def pages() -> list[str]:
    """Every page that is tested, from the root of the project."""
    outside = ("README.md", "CONTRIBUTING.md", "app/web/client/README.md", "bench/README.md")
    found = [*(ROOT / page for page in outside), *ROOT.glob("docs/**/*.md")]
    return sorted(str(page.relative_to(ROOT)) for page in found)


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def anchors(page: str) -> list[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    return [_anchor(heading) for heading in _HEADING.findall(_FENCE.sub("", text_of(page)))]


def _anchor(heading: str) -> str:
    plain = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading)
    return re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")


def blocks(page: str) -> list[Block]:
    """The blocks of a page, in order."""
    text = text_of(page)
    found = []
    for match in _FENCE.finditer(text):
        above = _HEADING.findall(_FENCE.sub("", text[: match.start()]))
        body = re.sub(rf"^{match['indent']}", "", match["text"], flags=re.MULTILINE)
        line = text.count("\n", 0, match.start()) + 1
        found.append(Block(page, _anchor(above[-1]) if above else "", line, match["language"], body))
    return found


def claims() -> Iterator[Claim]:
    """Every claim of a test, wherever it stands."""
    for file in sorted((ROOT / "tests").rglob("test_*.py")):
        source = file.read_text(encoding="utf-8")
        if "mark.executes(" not in source:
            continue
        tree = _parsed(source)
        names = _constants(tree)
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("mark.executes"):
                page, *languages = (_value(argument, names) for argument in node.args)
                given = {keyword.arg: _value(keyword.value, names) for keyword in node.keywords}
                where = f"{file.relative_to(ROOT)}:{node.lineno}"
                yield Claim(where, page, tuple(languages), given.get("section"))


def _parsed(source: str) -> ast.Module:
    for _ in range(5):
        with contextlib.suppress(SystemError):  # Python 3.11 counts its depth wrong when a collection comes in between
            return ast.parse(source)
    raise AssertionError("it can't be parsed")


def _constants(tree: ast.Module) -> dict[str, str]:
    """The names of a module that stand for texts."""
    found: dict[str, str] = {}
    for node in tree.body:
        if isinstance(node, ast.Assign):
            targets = [each.id for each in ast.walk(node.targets[0]) if isinstance(each, ast.Name)]
            values = [each.value for each in ast.walk(node.value) if isinstance(each, ast.Constant)]
            found.update(zip(targets, map(str, values), strict=False))
    return found


def _value(node: ast.expr, names: dict[str, str]) -> str:
    return names[node.id] if isinstance(node, ast.Name) else str(ast.literal_eval(node))
