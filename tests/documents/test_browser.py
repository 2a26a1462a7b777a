"""What the page about browsers shows: run in a real Chromium, React too, and compiled where it has types."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import CHROMIUM
from tests.documents.pages import Block
from tests.gateway import Gateway

PAGE = "docs/how-to/browser.md"
ROOT = Path(__file__).parents[2]
CLIENT = ROOT / "app/web/client"
NODE_PACKAGES = ROOT / "openapi/sdk/node_modules"

needs_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason="no chromium, chromium-browser or google-chrome is installed"
)
needs_node_packages = pytest.mark.skipif(
    not (NODE_PACKAGES / "installed").exists(), reason="the node packages are missing: run make node"
)


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with browser.new_context() as context:
        yield context.new_page()


def show(page: Page, gateway: Gateway, html: str) -> None:
    """Open a page of the gateway's origin that it does not have."""
    page.route("**/page", lambda route: route.fulfill(content_type="text/html", body=html))
    page.goto(f"{gateway.url}/page")


@pytest.mark.browser
@needs_chromium
@pytest.mark.executes(PAGE, "html")
def test_the_whole_page_sends_and_shows_the_answer(gateway: Gateway, page: Page, blocks: list[Block]) -> None:
    show(page, gateway, blocks[0].text)
    page.fill("input", "/quiet /length 5 /rate 100 Hello")
    page.click("button")
    expect(page.locator("#answer")).to_contain_text("You said")
    expect(page.locator("#answer")).to_contain_text("— stream_end")


@pytest.mark.browser
@needs_chromium
@pytest.mark.executes(PAGE, "js")
def test_a_tab_that_shares_follows(gateway: Gateway, page: Page, blocks: list[Block]) -> None:
    session = httpx.post(f"{gateway.url}/sessions").json()["id"]
    before = f'import {{ follow }} from "/client.js"; const sessionId = "{session}";'
    body = {"content": "/quiet /length 40 /rate 20"}
    httpx.post(f"{gateway.url}/sessions/{session}/runs", json=body).raise_for_status()
    with page.expect_console_message(lambda said: said.text == "1-1"):
        show(page, gateway, f'<script type="module">{before}{blocks[0].text}</script>')


@pytest.mark.browser
@needs_chromium
@needs_node_packages
@pytest.mark.executes(PAGE, "jsx")
def test_the_hook_works_in_react_also_where_effects_run_twice(
    gateway: Gateway, page: Page, blocks: list[Block], tmp_path: Path
) -> None:
    session = httpx.post(f"{gateway.url}/sessions").json()["id"]
    (tmp_path / "answer.jsx").write_text(blocks[0].text)
    (tmp_path / "main.jsx").write_text(
        f"""import {{ StrictMode }} from "react";
        import {{ createRoot }} from "react-dom/client";
        import {{ Answer }} from "./answer.jsx";
        const answer = <StrictMode><Answer id="{session}" base="{gateway.url}" /></StrictMode>;
        createRoot(document.body.appendChild(document.createElement("div"))).render(answer);"""
    )
    options = f"--format=esm --jsx=automatic --alias:runcast={CLIENT / 'client.js'} --log-level=error"
    subprocess.run(
        [NODE_PACKAGES / ".bin/esbuild", "main.jsx", "--bundle", "--outfile=out.js", *options.split()],
        cwd=tmp_path,
        env={**os.environ, "NODE_PATH": str(NODE_PACKAGES)},
        check=True,
        timeout=60,
    )
    script = (tmp_path / "out.js").read_text()
    page.route("**/out.js", lambda route: route.fulfill(content_type="text/javascript", body=script))
    show(page, gateway, '<!doctype html><body><script type="module" src="out.js"></script>')

    page.get_by_role("button", name="Ask").click()
    expect(page.locator("p")).to_contain_text("You said")
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_role("button", name="Ask")).to_be_enabled()
    run = httpx.get(f"{gateway.url}/sessions/{session}/runs").json()["items"][0]
    assert run["status"] == "cancelled"
    log = httpx.get(f"{gateway.url}/sessions/{session}/runs/{run['id']}/log").json()["events"]
    expect(page.locator("p")).to_have_text(log[-1]["content"], use_inner_text=False)


@needs_node_packages
@pytest.mark.executes(PAGE, "ts")
def test_the_typescript_compiles(blocks: list[Block], tmp_path: Path) -> None:
    (tmp_path / "program.ts").write_text(blocks[0].text)
    options = json.loads((CLIENT / "tsconfig.json").read_text())["compilerOptions"]
    paths = {"paths": {"runcast": [str(CLIENT / "client.d.ts")]}}
    (tmp_path / "tsconfig.json").write_text(json.dumps({"compilerOptions": options | paths, "include": ["program.ts"]}))
    command = [str(shutil.which("node")), NODE_PACKAGES / "typescript/bin/tsc", "-p", tmp_path]
    compiled = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert compiled.returncode == 0, compiled.stdout
