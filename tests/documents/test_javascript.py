"""JavaScript that pages show, in a page of a real Chromium that a real server's client.js is loaded into."""

from collections.abc import Callable, Iterator

import httpx
import pytest
from playwright.sync_api import Browser, Route

from tests.browser.conftest import CHROMIUM
from tests.callers import ADA
from tests.documents.pages import Block
from tests.gateway import Gateway

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium, chromium-browser or google-chrome is installed"),
]

SHORT = "/quiet /length 60 /rate 20"
Run = Callable[..., list[str]]


@pytest.fixture
def run(browser: Browser) -> Iterator[Run]:
    """Runs a module in a page of a server until it has written something to the console; all that it wrote."""
    with browser.new_context() as context:
        page = context.new_page()

        def run_(origin: str, script: str, until: str, **answers: str) -> list[str]:
            written: list[str] = []
            page.on("console", lambda said: written.append(said.text))
            page.on("pageerror", lambda error: written.append(f"{error}"))

            def answer(route: Route) -> None:
                name = route.request.url.rpartition("/")[2]
                if name == "page":
                    route.fulfill(content_type="text/html", body=f'<script type="module">{script}</script>')
                else:
                    route.fulfill(body=answers[name])

            page.route(lambda url: url.rpartition("/")[2] in {"page", *answers}, answer)
            with page.expect_console_message(lambda said: until in said.text, timeout=20_000):
                page.goto(f"{origin}/page")
            return written

        yield run_


@pytest.mark.executes("app/web/client/README.md", "js")
def test_the_readme_of_the_client_sends_and_follows(gateway: Gateway, run: Run, blocks: list[Block]) -> None:
    script = blocks[0].text.replace("https://runcast.example", "")
    assert script.count('"/client.js"') == 1

    written = run(gateway.url, script.replace('"Hello"', f'"{SHORT}"'), "stream_end")

    assert "1-1 stream_start" in written


@pytest.mark.executes("docs/how-to/authentication.md", "js")
def test_a_token_is_fetched_by_a_page_that_has_none(guarded: Gateway, run: Run, blocks: list[Block]) -> None:
    with httpx.Client(base_url=guarded.url, headers={"authorization": f"Bearer {ADA.key}"}) as ada:
        session = ada.post("/sessions").json()["id"]
        ada.post(f"/sessions/{session}/runs", json={"content": SHORT}).raise_for_status()
    before = f'import {{ follow }} from "/client.js"; const sessionId = "{session}";'

    written = run(guarded.url, before + blocks[0].text, "stream_end", token=ADA.key)

    assert "stream_start" in written
