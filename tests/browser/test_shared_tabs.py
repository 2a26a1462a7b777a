"""Tabs that share one connection: each gets the log, whoever leads, and whatever becomes of the leader."""

import contextlib
import time

import httpx
import pytest
from playwright.sync_api import Error

from tests.browser.bare import Bare, plugged

# Knows the sockets that a tab opened itself.
SOCKETS = """
window.sockets = [];
window.WebSocket = class extends WebSocket {
  constructor(...given) {
    super(...given);
    sockets.push(this);
  }
};
"""
LEADS = "sockets.some(({ readyState }) => readyState === 1)"
FETCH = """path => fetch(path, { signal: AbortSignal.timeout(2_000), cache: "no-store" }).then(
  ({ status }) => status, ({ name }) => name)"""


@pytest.fixture
def context(browser):
    context = browser.new_context()
    context.add_init_script(SOCKETS)
    yield context
    context.close()


@pytest.fixture
def shared(context, api):
    """Opens a tab that shares."""
    return lambda session, **options: Bare.opened(context, api.base).follow(session, share=True, **options)


def crash(context, page):
    """Let the tab's process die, which answers nothing any more."""
    devtools = context.new_cdp_session(page)
    with page.expect_event("crash"), contextlib.suppress(Error):
        devtools.send("Page.crash", timeout=500)


def begin(api, content):
    run = api.start(content)
    return run, run.split("/")[2]


def stop(api, run):
    httpx.post(f"{api.base}{run}/cancel").raise_for_status()


def leader(tabs):
    """The tab that has the connection; one that still catches up has its own for that long."""
    end = time.monotonic() + 10
    while len(found := [tab for tab in tabs if tab.page.evaluate(LEADS)]) != 1:
        assert time.monotonic() < end, f"{len(found)} have a connection"
    return found[0]


def furthest(tabs):
    heard = ([message["id"] for message in tab.got if "id" in message] for tab in tabs)
    return max((int(ids[-1].split("-")[1]) for ids in heard if ids), default=0)


def all_go_on(tabs):
    """Every tab gets something that none has now."""
    goal = furthest(tabs) + 10
    for tab in tabs:
        tab.until("passed", goal)


def viewers(api):
    said = httpx.get(f"{api.base}/metrics").text.splitlines()
    return sum(float(line.split()[-1]) for line in said if line.startswith("runcast_viewers{"))


def nobody_looks(api):
    """Wait until what tests before this one closed is gone."""
    end = time.monotonic() + 10
    while viewers(api):
        assert time.monotonic() < end


def are_exact(tabs, api, run, merge):
    log = merge(api.log(run))
    for tab in tabs:
        tab.until("ended")
        assert merge(tab.got) == log, tab.states


def test_ten_tabs_over_sse_are_one_viewer_and_leave_the_browser_connections_for_other_things(
    api, context, shared, merge
):
    run, session = begin(api, "/length 5000 /rate 50 Hello")
    nobody_looks(api)
    tabs = [shared(session, transport="sse") for _ in range(10)]
    all_go_on(tabs)
    for tab in tabs:
        tab.until("caught_up")
    assert viewers(api) == 1
    assert tabs[-1].page.evaluate(FETCH, "/health/live") == 200
    stop(api, run)
    are_exact(tabs, api, run, merge)


@pytest.mark.slow
def test_without_sharing_six_tabs_over_sse_use_them_up(api, context):
    run, session = begin(api, "/length 5000 /rate 50 Hello")
    tabs = [Bare.opened(context, api.base) for _ in range(7)]
    for tab in tabs[:6]:
        tab.follow(session, transport="sse").until("passed", 1)
    assert tabs[6].page.evaluate(FETCH, "/health/live") == "TimeoutError"
    stop(api, run)


@pytest.mark.slow
def test_a_leader_that_closes_crashes_or_is_frozen_is_followed_by_another_and_nothing_is_lost(
    api, context, shared, merge
):
    run, session = begin(api, "/length 5000 /rate 100 Hello")
    tabs = [shared(session) for _ in range(5)]
    all_go_on(tabs)
    leader(tabs).page.close()
    tabs = [tab for tab in tabs if not tab.page.is_closed()]
    all_go_on(tabs)

    crashing = leader(tabs)
    tabs.remove(crashing)
    crash(context, crashing.page)
    all_go_on(tabs)

    frozen = leader(tabs)
    devtools = context.new_cdp_session(frozen.page)
    devtools.send("Page.setWebLifecycleState", {"state": "frozen"})
    awake = [tab for tab in tabs if tab is not frozen]
    all_go_on(awake)
    devtools.send("Page.setWebLifecycleState", {"state": "active"})
    all_go_on(tabs)

    late = [shared(session), shared(session, after=tabs[0].got[20]["id"])]
    all_go_on([*tabs, *late])
    for tab in [*tabs, *late]:
        tab.drop()
    all_go_on([*tabs, *late])
    leader([*tabs, *late])
    stop(api, run)
    are_exact([*tabs, late[0]], api, run, merge)
    late[1].until("ended")
    assert late[1].got[-1]["type"] == "stream_cancelled"


@pytest.mark.slow
def test_a_leader_that_hangs_is_deposed(api, shared, merge):
    run, session = begin(api, "/length 5000 /rate 100 Hello")
    tabs = [shared(session) for _ in range(3)]
    all_go_on(tabs)
    hanging = leader(tabs)
    hanging.page.evaluate("setTimeout(() => { for (const end = Date.now() + 9_000; Date.now() < end; ); })")
    others = [tab for tab in tabs if tab is not hanging]
    for tab in others:
        tab.until("passed", furthest(others) + 400)
    assert leader(others)
    all_go_on(tabs)
    assert leader(tabs) in others
    stop(api, run)
    are_exact(tabs, api, run, merge)


def test_commands_work_from_any_tab(api, shared):
    session = httpx.post(f"{api.base}/sessions", json={}).json()["id"]
    tabs = [shared(session, on=True) for _ in range(2)]
    for number, tab in enumerate(tabs, 1):
        tab.until("caught_up")
        assert tab.page.evaluate("session.send('/length 5000 /rate 20 Hello')")
        for other in tabs:
            other.until("starts", number)
        tab.page.evaluate("session.cancel()")
        for other in tabs:
            other.until("cancels", number)


@pytest.mark.slow
@pytest.mark.parametrize("transport", ["websocket", "sse", "eventsource"])
def test_shared_tabs_come_through_a_network_that_breaks(api, context, merge, transport):
    run, session = begin(api, "/length 5000 /rate 100 Hello")
    with plugged(api.base) as (cable, do):
        tabs = [Bare.opened(context, cable.url).follow(session, share=True, transport=transport) for _ in range(4)]
        for _ in range(4):
            all_go_on(tabs)
            do(cable.cut)
        all_go_on(tabs)
        stop(api, run)
        are_exact(tabs, api, run, merge)
