"""Takes the pictures of docs/images: `make screenshots`. A server of its own, the demo agent, a real Chromium."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import Browser, Page, sync_playwright

from tests.browser.conftest import CHROMIUM, FLAGS
from tests.gateway import Gateway

IMAGES = Path(__file__).parents[2] / "docs" / "images"
LARGEST = 150_000
"""Bytes of a picture."""

DESKTOP = {"width": 1160, "height": 680}
TALL = {"width": 1160, "height": 860}
RUNS = {"width": 1160, "height": 380}


def main() -> None:
    """Take them all."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        gateway = Gateway(Path(folder))
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[f"--{flag}" for flag in FLAGS])
        try:
            gateway.start()
            for take in (playground, inspector, phone, runs):
                take(browser, gateway.url)
        finally:
            browser.close()
            gateway.close()


@contextmanager
def page_at(browser: Browser, url: str, **options: Any) -> Iterator[Page]:
    context = browser.new_context(**{"viewport": DESKTOP, "reduced_motion": "reduce", **options})
    page = context.new_page()
    page.goto(url)
    yield page
    context.close()


def say(page: Page, *messages: str) -> None:
    for number, content in enumerate(messages, 1):
        page.fill("#content", content)
        page.keyboard.press("Enter")
        page.wait_for_selector(f"#counters[data-checked='{number}']", state="attached", timeout=60_000)


def keep(name: str, shot: Callable[..., bytes]) -> None:
    path = IMAGES / f"{name}.png"
    size = len(shot(path=path))
    if size > LARGEST:
        raise SystemExit(f"{path} has {size} bytes, and should have {LARGEST} at most")


def playground(browser: Browser, url: str) -> None:
    with page_at(browser, url) as page:
        for title in ("Plan the next release", "Why is the build red?"):
            httpx.post(f"{url}/sessions", json={"title": title}).raise_for_status()
        say(page, "/rate 400 What happens when my connection breaks?")
        page.locator("details.thinking summary").first.click()
        page.locator("details.tool summary").first.click()
        page.locator("#chat").evaluate("chat => chat.scrollTo(0, 0)")
        page.wait_for_timeout(300)
        keep("playground", page.screenshot)


def inspector(browser: Browser, url: str) -> None:
    with page_at(browser, url, viewport=TALL) as page:
        page.fill("#content", "/length 300 /rate 200 Tell me a long story")
        page.keyboard.press("Enter")
        for _ in range(2):
            page.wait_for_timeout(400)
            page.click("#glitch")
        page.wait_for_selector("#counters[data-checked='1']", timeout=60_000)
        page.locator(".frame").filter(has_text="stream_delta").nth(10).click()
        page.get_by_role("button", name="curl").click()
        page.wait_for_selector("#snippet")
        keep("inspector", page.locator("#wire").screenshot)


def phone(browser: Browser, url: str) -> None:
    size = {"width": 360, "height": 740}
    with page_at(browser, url, viewport=size, device_scale_factor=1.5, color_scheme="dark") as page:
        page.fill("#content", "/approve /rate 400 Clean up my notes")
        page.keyboard.press("Enter")
        page.wait_for_selector(".approval input")
        page.fill("#content", "/length 20 And tell me when you are done")
        page.keyboard.press("Enter")
        page.wait_for_selector(".waiting")
        page.locator(".approval input").fill("Keep the ones from May")
        page.wait_for_timeout(300)
        keep("phone", page.screenshot)


def runs(browser: Browser, url: str) -> None:
    sessions = [httpx.post(f"{url}/sessions").json()["id"] for _ in range(3)]
    first = f"{url}/sessions/{sessions[0]}/runs"
    for content in ("/quiet /length 20 /rate 0 /error", "/quiet /length 20 /rate 0 /crash"):
        run = httpx.post(first, json={"content": content}).json()["id"]
        httpx.get(f"{first}/{run}/log", params={"after": "1-20", "wait": 5})
    for session, rate in zip(sessions, (20, 200, 60), strict=True):
        content = f"/quiet /length 5000 /rate {rate}"
        httpx.post(f"{url}/sessions/{session}/runs", json={"content": content}).raise_for_status()
    httpx.post(first, json={"content": "/quiet And then?", "on_conflict": "queue"}).raise_for_status()
    with httpx.Client(base_url=url, timeout=60) as http, page_at(browser, f"{url}/runs", viewport=RUNS) as page:
        paths = [f"/sessions/{session}/events" for session in (sessions[0], *sessions[1:2] * 3)]
        streams = [http.send(http.build_request("GET", path), stream=True) for path in paths]
        page.get_by_role("cell", name="3 sse").wait_for()
        keep("runs", page.screenshot)
        for stream in streams:
            stream.close()


if __name__ == "__main__":
    main()
