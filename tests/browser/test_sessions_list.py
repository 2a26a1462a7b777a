"""The playground's list of sessions: going to one, making one, deleting one."""

import re

from playwright.sync_api import expect

QUICK = "/quiet /length 5 /rate 500"


def test_sessions_are_gone_to_named_and_deleted_and_the_address_follows(api, open_tab):
    tab = open_tab()
    names = tab.page.locator("#sessions a")
    for said in ("first words", "second words"):
        tab.page.click("#new button")
        expect(tab.page.locator("#content")).to_be_focused()
        tab.send(f"{QUICK} {said}")
        tab.has_checked(1)
        expect(names.first).to_contain_text(said)
    second = tab.session
    assert tab.page.title() == f"{QUICK} second words · Runcast"

    names.filter(has_text="first words").first.click()
    tab.has_checked(1)
    expect(tab.page.locator("article .user")).to_have_text(f"{QUICK} first words")
    expect(tab.page.locator("#sessions [aria-current=page]")).to_contain_text("first words")
    first = tab.session
    assert first != second
    tab.page.go_back()
    expect(tab.page.locator("article .user")).to_have_text(f"{QUICK} second words")
    assert tab.session == second

    entry = tab.page.locator("#sessions li").filter(has_text="second words")
    entry.get_by_role("button", name=re.compile("Delete")).click()
    expect(entry.get_by_role("button", name="Really?")).to_be_focused()
    tab.page.keyboard.press("Enter")
    expect(entry).to_have_count(0)
    expect(tab.page.locator("#welcome")).to_be_visible()
    assert tab.session == ""
    there = [found["id"] for found in api.get("/sessions")["items"]]
    assert first in there
    assert second not in there


def test_more_sessions_than_a_page_holds_are_all_reached(api, open_tab):
    made = [api.post("/sessions", {"title": f"session {number}"})["id"] for number in range(35)]
    tab = open_tab()
    entries = tab.page.locator("#sessions li")
    expect(entries).to_have_count(30)
    earlier = tab.page.get_by_role("button", name="Earlier ones")
    shown = 30
    while earlier.count():
        earlier.click()
        expect(entries.nth(shown)).to_be_attached()
        shown = entries.count()
    there = entries.locator("a").evaluate_all("all => all.map(one => new URL(one.href).searchParams.get('session'))")
    assert there[:35] == made[::-1]
    assert len(there) == len(set(there))
