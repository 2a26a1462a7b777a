"""A real server process, a real Chromium, and a cable between them that can be cut."""

import contextlib
import json
import os
import re
import shutil
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from attrs import Factory, define
from playwright.sync_api import Browser, Page, WebSocket, expect, sync_playwright

from tests import cable as cables
from tests import frames

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = ("no-sandbox", "disable-gpu", "disable-background-networking", "disable-component-update", "disable-sync")
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""What a client otherwise makes anew for every request, and takes ten times as long for as for asking."""

LISTENING = re.compile(r"Runcast is listening on (http://127\.0\.0\.1:\d+)")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)
            if CHROMIUM is None:
                item.add_marker(pytest.mark.skip(reason="no chromium, chromium-browser or google-chrome is installed"))


def merged(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Log messages with neighbouring deltas made one, as compaction may have done to any of them (P3.5)."""
    out: list[dict[str, Any]] = []
    for message in messages:
        last = out[-1] if out else {}
        if "delta" in message and (last.get("type"), last.get("agent")) == (message["type"], message.get("agent")):
            out[-1] = {**message, "delta": last["delta"] + message["delta"]}
        elif "id" in message:
            out.append(message)
    return out


@pytest.fixture
def merge() -> Callable[[list[dict[str, Any]]], list[dict[str, Any]]]:
    return merged


@define
class Api:
    """The server's HTTP side, as a test asks it."""

    base: str

    def get(self, path: str, **params: Any) -> Any:
        answer = httpx.get(f"{self.base}{path}", params=params, timeout=40, verify=NO_TLS)
        return answer.raise_for_status().json()

    def post(self, path: str, body: dict[str, Any] | None = None) -> Any:
        return httpx.post(f"{self.base}{path}", json=body or {}, verify=NO_TLS).raise_for_status().json()

    def start(self, content: str) -> str:
        """A run in a new session: the path of the run."""
        session = self.post("/sessions")["id"]
        run = self.post(f"/sessions/{session}/runs", {"content": content})
        return f"/sessions/{session}/runs/{run['id']}"

    def cancel(self, run: str) -> None:
        self.post(f"{run}/cancel")

    def log(self, run: str) -> list[dict[str, Any]]:
        """The whole log of a run that ended or is about to."""
        events: list[dict[str, Any]] = []
        page: dict[str, Any] = {"next": "0", "done": False}
        while not page["done"]:
            page = self.get(f"{run}/log", after=page["next"], wait=30)
            events += page["events"]
        return events

    def session_of(self, run: str) -> str:
        runs = self.get("/operator/runs")["items"]
        return next(str(found["session_id"]) for found in runs if found["id"] == run)

    def session_log(self, session: str) -> list[dict[str, Any]]:
        runs = self.get(f"/sessions/{session}/runs")["items"]
        return [event for run in runs for event in self.log(f"/sessions/{session}/runs/{run['id']}")]


@pytest.fixture(scope="package")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """A server that all files share: what others left there is there."""
    folder = tmp_path_factory.mktemp("server")
    env = {name: value for name, value in os.environ.items() if not name.startswith("RUNCAST_")}
    env |= {"RUNCAST_DATA_DIR": str(folder), "RUNCAST_AGENT": "demo", "RUNCAST_DRAIN_TIMEOUT": "0"}
    env |= {"PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "app", "serve", "--host", "127.0.0.1", "--port", "0"]
    with (
        (folder / "errors.txt").open("w") as errors,
        subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=errors, text=True) as process,
    ):
        assert process.stdout is not None
        found = next(filter(None, map(LISTENING.search, process.stdout)), None)
        drain = threading.Thread(target=lambda out: [None for _ in out], args=(process.stdout,))
        drain.start()
        try:
            assert found, (folder / "errors.txt").read_text()
            yield Api(found[1])
        finally:
            process.terminate()
            process.wait(30)
            drain.join()


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """A Chromium. While it is there, its event loop keeps the thread from running another."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[f"--{flag}" for flag in FLAGS])
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """A Chromium that all files share."""
    with chromium() as browser:
        yield browser


@define
class Tab:
    """The playground in a tab."""

    page: Page
    complaints: list[str] = Factory(list)

    @property
    def session(self) -> str:
        return self.page.url.partition("?session=")[2]

    @property
    def position(self) -> str:
        """Where the messages received so far end."""
        said = (message.get("id") or message.get("position") for message in reversed(self.messages()))
        return next(position for position in said if position)

    def messages(self) -> list[dict[str, Any]]:
        """Every message that the page was given since it was loaded."""
        messages: list[dict[str, Any]] = json.loads(self.page.evaluate("JSON.stringify(received)"))
        return messages

    def frames(self) -> list[dict[str, Any]]:
        """The frames that the inspector keeps."""
        kept = "import('./playground/state.js').then(({ frames }) => JSON.stringify(frames.kept))"
        frames: list[dict[str, Any]] = json.loads(self.page.evaluate(kept))
        return frames

    def send(self, content: str) -> None:
        self.page.fill("#content", content)
        self.page.keyboard.press("Enter")

    def has_received(self, count: int) -> None:
        """Wait until so many messages are there; one that was merged counts for what it holds (P3.5)."""
        self.page.evaluate(HEARD, count)

    def state_is(self, state: str) -> None:
        expect(self.page.locator("#state")).to_have_attribute("data-state", state)

    def has_checked(self, runs: int) -> None:
        """Wait until so many runs have ended here and were compared with their logs."""
        expect(self.page.locator("#counters")).to_have_attribute("data-checked", str(runs), timeout=30_000)

    def is_exact(self, api: Api) -> None:
        """What was received is the session's log: nothing is missing, and nothing came twice."""
        assert merged(self.messages()) == merged(api.session_log(self.session))
        expect(self.page.locator("#counters")).to_contain_text("0 lost, 0 twice")


# Keeps every message that the page was given, for tests to look at.
KEEP = """
window.received = [];
window.heard = new EventTarget();
addEventListener("runcast:message", ({ detail }) => {
  received.push(detail);
  heard.dispatchEvent(new Event("message"));
});
"""
HEARD = """count => new Promise((resolve, reject) => {
  const seq = () => Number(received.findLast(({ id }) => id)?.id.split("-")[1] ?? 0);
  const look = () => (received.length >= count || seq() >= count) && resolve();
  heard.addEventListener("message", look);
  setTimeout(() => reject(new Error(`only ${received.length} messages of ${count} came`)), 30_000);
  look();
})"""

OpenTab = Callable[..., Tab]


def check_frames(page: Page) -> None:
    """Hold what the page says over its WebSockets, and hears, against the schemas."""

    def opened(socket: WebSocket) -> None:
        if (talk := frames.follow(socket.url)) is not None:
            socket.on("framesent", talk.sent)
            socket.on("framereceived", talk.received)

    page.on("websocket", opened)


@pytest.fixture
def open_tab(api: Api, browser: Browser) -> Iterator[OpenTab]:
    """Opens the playground, at an address or at the root, in a window of its own."""
    with contextlib.ExitStack() as stack:

        def open_(url: str | None = None, *, script: str = "", **options: Any) -> Tab:
            context = browser.new_context(**options)
            stack.callback(context.close)
            context.add_init_script(f"{KEEP}\n{script}")
            context.on("page", check_frames)
            tab = Tab(context.new_page())
            tab.page.on("pageerror", lambda error: tab.complaints.append(str(error)))
            tab.page.on("console", lambda said: said.type == "error" and tab.complaints.append(said.text))
            tab.page.goto(url or f"{api.base}/")
            return tab

        yield open_


class Cable:
    """A cable that is cut from a test's thread; `base` is the address at its near end."""

    def __init__(self, portal: BlockingPortal, plugged: cables.Cable) -> None:
        self.base = plugged.url
        self._portal = portal
        self._plugged = plugged

    def cut(self) -> None:
        self._portal.call(self._plugged.cut)


@pytest.fixture
def cable(api: Api) -> Iterator[Cable]:
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(cables.Cable.plugged(lambda: api.base)) as plugged,
    ):
        yield Cable(portal, plugged)
