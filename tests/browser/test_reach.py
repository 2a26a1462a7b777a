"""Whom the playground serves: who has a phone, no mouse, no network but this server, no eyes on it, very long runs."""

import re
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

QUICK = "/quiet /length 5 /rate 500"

LONG_TASKS = """
window.tasks = [];
new PerformanceObserver((list) => tasks.push(...list.getEntries().map(({ duration }) => duration)))
  .observe({ type: "longtask", buffered: true });
"""
LONGEST = 1_000
"""Milliseconds that a page may not answer, on a machine that has much else to do."""


@pytest.mark.slow
def test_a_run_of_ten_thousand_events_is_drawn_without_freezing_the_page(api, open_tab):
    tab = open_tab(script=LONG_TASKS)
    tab.send("/length 10000 /rate 0 Hello")
    tab.has_checked(1)
    tab.page.reload()
    tab.has_checked(1)
    tab.is_exact(api)
    tab.send("/quiet /length 3000 /rate 1500 Hello")
    tab.has_checked(2)
    assert max(tab.page.evaluate("tasks"), default=0) < LONGEST
    assert tab.page.locator(".frame").count() < 100
    expect(tab.page.locator("article").first.locator(".prose").last).to_contain_text("Nothing is said twice")


@pytest.mark.parametrize("path", ["/", "/runs"])
def test_nothing_is_asked_of_another_host(api, open_tab, path):
    tab = open_tab("about:blank")
    asked: list[str] = []
    tab.page.on("request", lambda request: asked.append(request.url))
    tab.page.on("websocket", lambda socket: asked.append(socket.url))
    tab.page.goto(f"{api.base}{path}")
    if path == "/":
        tab.send(f"{QUICK} ![image](https://example.org/x.png) <img src=https://example.org/y.png>")
        tab.has_checked(1)
    else:
        expect(tab.page.locator("table")).to_be_visible()
    assert len(asked) > 10
    assert {urlsplit(url).netloc for url in asked} == {urlsplit(api.base).netloc}
    assert tab.complaints == []


def test_everything_is_reached_by_the_keyboard(api, open_tab):
    tab = open_tab()
    keyboard = tab.page.keyboard
    content, help_ = tab.page.locator("#content"), tab.page.locator("#help-dialog")
    expect(content).to_be_focused()
    keyboard.press("?")
    expect(help_).to_be_visible()
    keyboard.press("Escape")
    expect(content).to_be_focused()
    keyboard.type("s?")
    expect(content).to_have_value("s?")
    content.clear()
    keyboard.type(f"{QUICK} Hello")
    keyboard.press("Enter")
    tab.has_checked(1)

    reached = set()
    wanted = {"sessions-fold", "profile", "New session", "fold", "help", "chat", "content", "send", "transport"}
    wanted |= {"latency", "glitch", "drop", "frames", "Pause", "curl", "Python", "JavaScript", "All runs"}
    steps = tab.page.locator("a, button, input, select, textarea, [tabindex]").count() + 2
    while wanted - reached:
        assert (steps := steps - 1), wanted - reached
        keyboard.press("Tab")
        reached.add(tab.page.evaluate("document.activeElement.id || document.activeElement.textContent.trim()"))

    tab.page.locator("#chat").focus()
    keyboard.press("?")
    expect(help_).to_be_visible()
    keyboard.press("Escape")
    expect(help_).to_be_hidden()
    keyboard.press("i")
    expect(tab.page.locator("#wire")).to_be_hidden()
    keyboard.press("s")
    expect(tab.page.locator("#sessions")).to_be_hidden()
    before = tab.session
    keyboard.press("n")
    expect(tab.page.locator("article")).to_have_count(0)
    expect(tab.page.locator("#content")).to_be_focused()
    assert tab.session not in ("", before)
    keyboard.type("/quiet /length 5000 /rate 50 s i n ?")
    keyboard.press("Enter")
    expect(tab.page.locator("#stop")).to_be_visible()
    tab.page.locator("#chat").focus()
    keyboard.press("Escape")
    expect(tab.page.locator("article[data-status=cancelled]")).to_have_count(1)
    keyboard.press("/")
    expect(tab.page.locator("#content")).to_be_focused()


def test_whoever_listens_instead_of_looking_is_told_once_an_answer_is_whole(open_tab):
    tab = open_tab()
    log = tab.page.get_by_role("log", name="Messages")
    tab.send("/quiet /length 5000 /rate 100 Hello")
    tab.has_received(10)
    expect(log).to_have_attribute("aria-busy", "true")
    tab.page.click("#stop")
    tab.has_checked(1)
    expect(log).to_have_attribute("aria-busy", "false")
    expect(log).to_have_attribute("aria-live", "polite")
    unnamed = tab.page.locator(":is(button, input, select, textarea):visible").evaluate_all(
        """all => all
            .filter(one => !(one.ariaLabel || one.textContent.trim() || one.labels?.length))
            .map(one => one.outerHTML)"""
    )
    assert unnamed == []


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_the_pages_fit_a_phone_in_the_colours_that_it_asks_for(api, open_tab, scheme):
    tab = open_tab(viewport={"width": 360, "height": 640}, color_scheme=scheme, has_touch=True)
    tab.send("/approve /length 20 /rate 500 Hello")
    expect(tab.page.locator(".approval button").first).to_be_visible()
    tab.page.locator(".approval").get_by_role("button", name="Allow").tap()
    tab.has_checked(1)
    expect(tab.page.locator("#wire")).to_be_hidden()
    for button in ("#fold", "#sessions-fold"):
        tab.page.tap(button)
        assert tab.page.evaluate("document.documentElement.scrollWidth") <= 360
        expect(tab.page.locator("#content")).to_be_in_viewport()
    tab.page.locator("#sessions a").first.tap()
    expect(tab.page.locator("#sessions")).to_be_hidden()
    tab.page.tap("#help")
    tab.page.get_by_role("dialog").get_by_role("button", name="Close").tap()
    gists = tab.page.locator(".frame .gist").evaluate_all("all => all.map(each => each.offsetWidth)")
    assert min(gists) > 80
    paper = tab.page.evaluate("getComputedStyle(document.body).backgroundColor")
    lightness = sum(map(int, re.findall(r"\d+", paper)[:3])) / 3
    assert (lightness < 64) == (scheme == "dark")

    tab.page.goto(f"{api.base}/runs")
    expect(tab.page.locator("tbody tr").first).to_be_visible()
    assert tab.page.evaluate("document.documentElement.scrollWidth") <= 360
