"""The pages of the reference, in a server under a base path that asks who calls."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from attrs import Factory, define
from playwright.sync_api import Browser, Page, expect

from tests import frames
from tests.callers import ADA
from tests.gateway import Gateway

OPENAPI = Path(__file__).parents[2] / "openapi"
FOR_MACHINES = ("openapi.json", "asyncapi.json", "messages.json")
CHANNEL = json.loads((OPENAPI / "asyncapi.json").read_text(encoding="utf-8"))["channels"]["session"]


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A server that the tests of this file share."""
    gateway = Gateway(tmp_path_factory.mktemp("gateway"), auth="keys", api_keys=ADA.entry, base_path="/agents")
    try:
        yield gateway.start()
    finally:
        gateway.close()


@define
class Reader:
    """A page, what it asked for, and what it complained about."""

    page: Page
    asked: list[str] = Factory(list)
    complaints: list[str] = Factory(list)

    @classmethod
    def open(cls, browser: Browser, url: str, **options: Any) -> "Reader":
        reader = cls(browser.new_page(**options))
        reader.page.on("request", lambda request: reader.asked.append(request.url))
        reader.page.on("pageerror", lambda error: reader.complaints.append(str(error)))
        reader.page.on("console", lambda said: said.type == "error" and reader.complaints.append(said.text))
        reader.page.goto(url)
        return reader


@pytest.fixture
def read(browser: Browser, gateway: Gateway) -> Iterator[Any]:
    """Opens a page; in the end no page has asked another host, or complained."""
    readers: list[Reader] = []

    def open_(path: str, **options: Any) -> Page:
        readers.append(Reader.open(browser, f"{gateway.url}{path}", **options))
        return readers[-1].page

    yield open_
    for reader in readers:
        reader.page.close()
    at_home = (f"{gateway.url}/", "data:")
    assert [url for reader in readers for url in reader.asked if not url.startswith(at_home)] == []
    assert [said for reader in readers for said in reader.complaints] == []


@pytest.mark.parametrize("address", ["/schema", "/schema/"])
def test_the_contents_lead_to_every_page_and_every_contract(read: Any, address: str) -> None:
    page = read(address)
    links = [link.get_attribute("href") for link in page.get_by_role("link").all()]

    for link in links:
        answer = page.request.get(page.evaluate("href => new URL(href, location).href", link))
        assert answer.ok, link
    ends = {(link or "").rpartition("/")[2] for link in links}
    assert ends == {"openapi", "asyncapi", "messages", "runs", "", *FOR_MACHINES}


def test_operations_are_listed_and_tried_with_a_token(read: Any, gateway: Gateway) -> None:
    page = read("/schema/openapi")
    operation = page.locator("[id^=operations-][id$=-listProfiles]")
    operation.get_by_role("button").first.click()
    operation.get_by_role("button", name="Try it out").click()

    page.get_by_role("button", name="Authorize").first.click()
    dialog = page.locator(".dialog-ux")
    dialog.get_by_label("auth-bearer-value").fill(ADA.key)
    dialog.get_by_role("button", name="Apply credentials").first.click()
    dialog.get_by_role("button", name="Close").first.click()
    operation.get_by_role("button", name="Execute").click()

    answer = operation.locator(".live-responses-table .response").first
    expect(answer.locator(".response-col_status")).to_contain_text("200")
    expect(answer).to_contain_text('"name": "default"')


def test_the_websocket_is_named_by_its_address(read: Any, gateway: Gateway) -> None:
    page = read("/schema/asyncapi")
    expect(page.locator("#address")).to_have_text(
        f"{gateway.url.replace('http', 'ws', 1)}/ws/sessions/{{session_id}}", timeout=10_000
    )


@pytest.mark.parametrize("path", ["/schema/asyncapi", "/schema/messages"])
def test_every_message_is_on_the_page_with_its_fields_and_an_example(read: Any, path: str) -> None:
    page = read(f"{path}#ack")
    expect(page.locator("#ack")).to_be_visible(timeout=10_000)
    shown = page.locator("article").evaluate_all("all => all.map(each => each.id)")

    assert set(CHANNEL["messages"]) <= set(shown)
    assert len(shown) == len(set(shown))
    for name in CHANNEL["messages"]:
        example = json.loads(page.get_by_label(f"Example of {name}", exact=True).inner_text())
        assert example["type"] == name
        assert frames.is_valid("ServerMessage", example) or frames.is_valid("ClientMessage", example), example
    links = page.locator("a[href^='#']").evaluate_all("all => all.map(each => each.hash.slice(1))")
    assert set(links) <= set(shown)
    expect(page.locator("#ack")).to_be_in_viewport()


@pytest.mark.parametrize("path", ["/schema/", "/schema/openapi", "/schema/asyncapi", "/schema/messages"])
def test_a_page_is_as_light_or_dark_as_the_system(read: Any, path: str) -> None:
    colours = []
    for scheme in ("light", "dark"):
        page = read(path, color_scheme=scheme)
        expect(page.locator("h1, h2.title").first).to_be_visible()
        colours.append(
            page.evaluate(
                """() => [document.body, document.documentElement].map(each => getComputedStyle(each).backgroundColor)
                .find(colour => colour !== "rgba(0, 0, 0, 0)") ?? "rgb(255, 255, 255)" """
            )
        )
    light, dark = (sum(map(int, colour.removeprefix("rgb(").rstrip(")").split(","))) for colour in colours)
    assert light > 600
    assert dark < 150
