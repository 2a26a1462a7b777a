"""The static files of `app/web`, as a server process gives them out."""

import hashlib
import re
from base64 import b64encode
from importlib.resources import files

import pytest

from tests.gateway import Gateway

pytestmark = pytest.mark.anyio

VENDORED = files("app.web") / "vendor"


async def test_files_in_folders_are_served_where_they_lie(gateway: Gateway) -> None:
    async with gateway.client() as http:
        answer = await http.get("/vendor/htm.mjs")

    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
    assert answer.content == (VENDORED / "htm.mjs").read_bytes()


async def test_what_is_no_part_of_a_page_is_not_served(gateway: Gateway) -> None:
    async with gateway.client() as http:
        answers = [
            await http.get(path)
            for path in (
                "/vendor/README.md",
                "/client/src/client.js",
                "/client/package.json",
                "/vendor/LICENSE.htm",
                "/vendor",
                "/../main.py",
            )
        ]

    assert [answer.status_code for answer in answers] == [404] * len(answers)


async def test_a_page_allows_nothing_inline_but_its_own_import_map(gateway: Gateway) -> None:
    async with gateway.client() as http:
        page = await http.get("/")

    policy = dict(part.split(" ", 1) for part in page.headers["content-security-policy"].split("; "))
    maps = re.findall(r'<script type="importmap">(.*?)</script>', page.text, re.DOTALL)
    digests = [b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in maps]
    assert policy["script-src"].split() == ["'self'", *(f"'sha256-{digest}'" for digest in digests)]
    assert len(re.findall("<script", page.text)) == len(maps) + len(re.findall(r"<script[^>]+src=", page.text))
    assert "unsafe" not in page.headers["content-security-policy"]


def test_every_vendored_file_stands_in_the_list_with_a_licence_that_is_there() -> None:
    rows = re.findall(
        r"^\| `([\w.-]+)` \| .* \| ([\d.]+) \| (.*) \|$", (VENDORED / "README.md").read_text(), re.MULTILINE
    )
    there = {item.name for item in VENDORED.iterdir()}

    assert {name for name, _, _ in rows} == {name for name in there if name.endswith((".mjs", ".js", ".css", ".gz"))}
    assert {name for _, _, licence in rows for name in re.findall(r"\((.*)\)", licence)} == {
        name for name in there if name.startswith("LICENSE")
    }
