"""The browser client on its own, in a real browser: every tab gets the log, whatever happens to its connection."""

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from playwright.sync_api import BrowserContext

from tests.browser.bare import Bare, plugged
from tests.gateway import launch

__all__ = ["launch"]

MIXED = ("websocket", "sse", "eventsource", "auto") * 2


@pytest.fixture
def context(browser):
    context = browser.new_context()
    yield context
    context.close()


def ids(run):
    _, _, session, _, run_id = run.split("/")
    return session, run_id


def test_eight_tabs_of_mixed_transports_with_four_forced_drops_each_all_get_the_log(api, context, merge):
    run = api.start("/length 5000 /rate 80 Hello")
    session, _ = ids(run)
    with plugged(api.base) as (cable, do):
        tabs = [Bare.opened(context, cable.url).follow(session, transport=transport) for transport in MIXED]
        for drop in range(1, 5):
            for tab in tabs:
                tab.until("opens", drop)
                tab.until("passed", 30 * drop)
            do(cable.cut)
        for tab in tabs:
            tab.until("opens", 5)
        api.cancel(run)
        for tab in tabs:
            tab.until("ended")
    log = merge(api.log(run))
    for tab, transport in zip(tabs, MIXED, strict=True):
        assert merge(tab.got) == log, transport
        assert len(tab.transports) >= 5, (transport, tab.states)
        assert {"auto": "websocket"}.get(transport, transport) in tab.transports


@pytest.mark.parametrize("trouble", ["refuses", "resets", "hangs", "swallows"])
def test_where_a_proxy_blocks_websockets_the_client_is_on_sse_within_five_seconds_and_loses_nothing(
    api, context, merge, trouble
):
    run = api.start("/length 5000 /rate 50 Hello")
    session, _ = ids(run)
    with plugged(api.base) as (cable, do):
        cable.on_websocket = trouble
        tab = Bare.opened(context, cable.url).follow(session)
        tab.until("caught_up")
        on_sse = next(state for state in tab.states if state["state"] == "open" and state["transport"] == "sse")
        assert on_sse["at"] < 5_000
        do(cable.cut)
        tab.until("opens", 2)
        api.cancel(run)
        tab.until("ended")
    assert merge(tab.got) == merge(api.log(run))
    assert tab.transports[-1] == "sse"


def test_a_laptop_that_comes_to_a_network_without_websockets_goes_on(api, context, merge):
    run = api.start("/length 5000 /rate 60 Hello")
    session, _ = ids(run)
    with plugged(api.base) as (cable, do):
        tab = Bare.opened(context, cable.url).follow(session)
        tab.until("passed", 10)
        cable.on_websocket = "refuses"
        do(cable.cut)
        tab.until("opens", 2)
        api.cancel(run)
        tab.until("ended")
    assert merge(tab.got) == merge(api.log(run))
    assert (tab.transports[0], tab.transports[-1]) == ("websocket", "sse")


@pytest.mark.parametrize("transport", ["websocket", "sse", "eventsource"])
def test_dropping_at_every_turn_is_exact(api, context, merge, transport):
    """As in the playground, but asked of the client: after each drop it begins where it was, not where the page is."""
    run = api.start("/length 5000 /rate 100 Hello")
    session, _ = ids(run)
    tab = Bare.opened(context, api.base).follow(session, transport=transport)
    for drop in range(5):
        tab.until("opens", drop + 1)
        tab.until("passed", 40 * drop)
        tab.drop()
    tab.until("opens", 6)
    api.cancel(run)
    tab.until("ended")
    assert merge(tab.got) == merge(api.log(run))


@pytest.mark.parametrize("transport", ["websocket", "sse", "eventsource"])
def test_a_run_is_followed_to_its_end_and_a_second_time_after_it_there_is_nothing(api, context, merge, transport):
    run = api.start("/length 20 /rate 500 Hello")
    session, run_id = ids(run)
    tab = Bare.opened(context, api.base).follow(session, run=run_id, transport=transport, on=True)
    tab.until("ended")
    log = api.log(run)
    assert merge(tab.got) == merge(log)
    again = Bare.opened(context, api.base).follow(session, run=run_id, transport=transport, after=log[-1]["id"])
    again.until("ended")
    assert (again.got, again.page.evaluate("failure")) == ([], None)


REMEMBER = """async ([id]) => {
  const { follow, isTerminal } = await import("./client.js");
  for await (const message of follow(id, { after: "0", remember: true })) {
    const had = JSON.parse(sessionStorage.had ?? "[]");
    sessionStorage.had = JSON.stringify([...had, message]);
    document.title = String(had.length + 1);
    if (isTerminal(message)) return;
  }
}"""


def test_a_page_that_remembers_goes_on_where_it_was_when_it_is_loaded_again(api, context: BrowserContext, merge):
    run = api.start("/length 5000 /rate 80 Hello")
    session, _ = ids(run)
    page = context.new_page()
    page.goto(f"{api.base}/client.js")
    for received in (10, 40, 80):
        page.evaluate(f"([id]) => {{ ({REMEMBER})([id]) }}", [session])
        page.evaluate(
            """wanted => new Promise(resolve => {
              const look = () => (Number(document.title) >= wanted ? resolve() : setTimeout(look, 5));
              look();
            })""",
            received,
        )
        page.reload()
    api.cancel(run)
    page.evaluate(REMEMBER, [session])
    assert merge(page.evaluate("JSON.parse(sessionStorage.had)")) == merge(api.log(run))


class EmptyPage(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("content-type", "text/html")
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def elsewhere():
    """An origin that is not the gateway's."""
    with ThreadingHTTPServer(("127.0.0.1", 0), EmptyPage) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://localhost:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_page_of_an_allowed_origin_imports_the_client_from_a_server_under_a_base_path(launch, context, elsewhere):
    gateway = launch(allowed_origins=elsewhere, base_path="/runcast")
    page = context.new_page()
    page.goto(f"{elsewhere}/")
    source = f"{gateway.url}/client.js"
    page.evaluate(
        """async (source) => {
          const { createSession, connect } = await import(source);
          window.made = (await createSession()).id;
          window.run = await connect(made).send("/quiet /length 5 /rate 0");
        }""",
        source,
    )
    session = page.evaluate("made")
    for options in ({"share": True}, {"transport": "websocket"}, {"transport": "sse"}, {"transport": "eventsource"}):
        tab = Bare(page).follow(session, **{"from": source}, **options)
        tab.until("ended")
        assert tab.got[0]["type"] == "stream_start", options
        assert tab.got[-1]["type"] == "stream_end", (options, tab.states)
