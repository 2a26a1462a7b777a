"""The page at /runs, as an operator meets it."""

import re

import httpx
import pytest
from playwright.sync_api import expect

from tests.callers import ADA
from tests.gateway import Gateway

TOKEN = "a-token-for-metrics-as-long-as-it-has-to-be"


def row(tab, run: str):
    return tab.page.locator(f"tr[data-run={run}]")


@pytest.mark.slow
def test_a_run_is_seen_live_with_its_viewers_and_how_it_ended(api, open_tab):
    path = api.start("/quiet /rate 0.01 a secret word")
    _, _, session, _, run = path.split("/")
    tab = open_tab(f"{api.base}/runs")
    found = row(tab, run)
    expect(found.locator(".status")).to_have_text("running")
    expect(found.locator("[data-column=viewers]")).to_have_text("0")
    viewer = open_tab(f"{api.base}/?session={session}")
    expect(found.locator("[data-column=viewers]")).to_have_text("1 websocket", timeout=15_000)
    expect(found.locator("[data-column=lag]")).to_have_text("0")
    expect(tab.page.locator("#summary")).to_contain_text(re.compile(r"running, 1 viewer in"))

    quiet = api.start("/quiet /rate 0.01").rpartition("/")[2]
    expect(tab.page.locator("tbody tr").first).to_have_attribute("data-run", quiet, timeout=15_000)
    tab.page.get_by_role("button", name="Viewers").click()
    expect(tab.page.locator("tbody tr").first).to_have_attribute("data-run", run)
    expect(tab.page.locator("th[aria-sort=descending]")).to_have_text("Viewers")

    viewer.page.close()
    for each in (path, f"/sessions/{api.session_of(quiet)}/runs/{quiet}"):
        httpx.post(f"{api.base}{each}/cancel").raise_for_status()
    expect(found.locator(".status")).to_have_text("cancelled", timeout=15_000)
    expect(found.locator("[data-column=cause]")).to_have_text("cancelled")
    tab.page.get_by_label("cancelled").uncheck()
    expect(found).to_have_count(0)
    assert "secret" not in tab.page.content()
    assert tab.complaints == []


def test_both_pages_ask_for_their_tokens_and_work_under_a_base_path(tmp_path, open_tab):
    gateway = Gateway(tmp_path, auth="keys", api_keys=ADA.entry, metrics_token=TOKEN, base_path="/under/here")
    try:
        url = gateway.start().url
        chat = open_tab(url)
        expect(chat.page.locator("#access")).to_be_visible()
        for other in ("#new", "#sessions", "#chat", "#composer", "#wire"):
            expect(chat.page.locator(other)).to_be_hidden()
        chat.page.fill("#token", ADA.key)
        chat.page.click("#access button")
        expect(chat.page.locator("#access")).to_be_hidden()
        chat.send("/quiet /length 5 /rate 0")
        chat.has_checked(1)
        expect(chat.page.locator("#sessions li")).to_have_count(1)

        runs = open_tab(f"{url}/runs")
        expect(runs.page.locator("#notice")).to_contain_text("token of /metrics")
        expect(runs.page.locator("table")).to_be_hidden()
        for token, said in ((ADA.key, "not the token"), (TOKEN, "")):
            runs.page.fill("#token", token)
            runs.page.click("#access button")
            expect(runs.page.locator("#notice")).to_contain_text(said)
        expect(runs.page.locator("tbody tr")).to_have_count(1)
        expect(runs.page.locator("tbody")).to_contain_text(re.compile("completed.*ada", re.DOTALL))
        runs.page.get_by_role("link", name="Playground").click()
        runs.page.wait_for_url(f"{url}/")
        chat.page.get_by_role("link", name="All runs").first.click()
        chat.page.wait_for_url(f"{url}/runs")
    finally:
        gateway.close()
