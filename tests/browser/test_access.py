"""A real browser at a server that asks who calls: the playground, a subprotocol, a ticket (P6.2)."""

import httpx
import pytest
from playwright.sync_api import expect

from tests.browser.bare import Bare, plugged
from tests.callers import ADA, BOB, guarded, keyed, shows
from tests.gateway import launch

__all__ = ["guarded", "launch"]

FOLLOW = """async ([path, options]) => {
  const { follow, createSession, request } = await import("./client.js");
  const { token } = options;
  const { id } = await createSession({ token });
  const body = { content: "/quiet /length 5 /rate 0" };
  const run = await request(`sessions/${id}/runs`, { token }, { method: "POST", body });
  const ticket = async () => (await request("tickets", { token }, { method: "POST", body: { session_id: id } })).ticket;
  const given = options.by === "ticket" ? { ticket } : { token };
  const got = [];
  const transports = new Set();
  const onState = ({ state, transport }) => state === "open" && transports.add(transport);
  for await (const message of follow(id, { after: "0", transport: options.transport, onState, ...given })) {
    got.push(message.type);
    if (message.type === "stream_end") break;
  }
  return [got[0], got[got.length - 1], [...transports].join()];
}"""

EVENT_SOURCE = """async ([token, content]) => {
  const { createSession, request } = await import("./client.js");
  const { id } = await createSession({ token });
  const run = await request(`sessions/${id}/runs`, { token }, { method: "POST", body: { content } });
  const { ticket } = await request("tickets", { token }, { method: "POST", body: { session_id: id } });
  const source = new EventSource(`sessions/${id}/runs/${run.id}/events?ticket=${ticket}`);
  const got = [];
  source.onmessage = ({ data }) => got.push(JSON.parse(data).type);
  await new Promise((resolve) => (source.onerror = () => source.readyState === EventSource.CLOSED && resolve()));
  return got;
}"""

REFUSED = """async (url) => new Promise((resolve) => {
  const socket = new WebSocket(url, ["runcast.v1", "bearer.wrong"]);
  socket.onclose = ({ code, reason }) => resolve([socket.protocol, code, reason]);
})"""


@pytest.mark.parametrize("by", ["token", "ticket"])
@pytest.mark.parametrize("transport", ["websocket", "sse"])
def test_the_client_is_let_in(guarded, open_tab, by, transport):
    tab = open_tab(f"{guarded.url}/client.js")
    options = {"token": ADA.key, "by": by, "transport": transport}
    assert tab.page.evaluate(FOLLOW, ["", options]) == ["stream_start", "stream_end", transport]


def test_an_event_source_is_let_in_by_a_ticket(guarded, open_tab):
    tab = open_tab(f"{guarded.url}/client.js")
    got = tab.page.evaluate(EVENT_SOURCE, [ADA.key, "/quiet /length 5 /rate 0"])
    assert "stream_start" in got[:2]  # before or after it has caught up
    assert got.count("stream_end") == 1


def test_a_page_sees_why_its_socket_was_closed(guarded, open_tab):
    tab = open_tab(f"{guarded.url}/client.js")
    url = f"{guarded.ws_url}/ws/sessions/ses_of_nobody"
    assert tab.page.evaluate(REFUSED, url) == ["runcast.v1", 4401, "the token is no key of this server"]


def test_the_playground_asks_for_a_token_and_keeps_it_for_the_tab(guarded, open_tab):
    tab = open_tab(f"{guarded.url}/")
    expect(tab.page.locator("#notice")).to_contain_text("this needs a token")
    for token, said in (("wrong", "no key of this server"), (ADA.key, "")):
        tab.page.fill("#token", token)
        tab.page.click("#access button")
        expect(tab.page.locator("#notice")).to_contain_text(said)
    expect(tab.page.locator("#access")).to_be_hidden()
    tab.send("/quiet /length 5 /rate 0")
    tab.has_checked(1)
    tab.page.reload()
    tab.has_checked(1)
    expect(tab.page.locator("#counters")).to_contain_text("0 lost, 0 twice")
    assert ADA.key not in tab.page.content()


def test_the_playground_shows_no_session_of_somebody_else(guarded, open_tab):
    tab = open_tab(f"{guarded.url}/")
    tab.page.fill("#token", ADA.key)
    tab.page.click("#access button")
    tab.send("/quiet /length 5 /rate 0")
    tab.has_checked(1)
    other = open_tab(tab.page.url, script=f"sessionStorage.setItem('token /', '{BOB.key}')")
    expect(other.page.locator("#notice")).to_contain_text("there is no such session")
    assert other.messages() == []


@pytest.mark.slow
def test_an_event_source_whose_ticket_has_expired_goes_on_with_another(launch, browser, merge):
    gateway = keyed(launch, command=("-m", "short_tickets"))
    with (
        httpx.Client(base_url=gateway.url, headers=shows(ADA.key)) as ada,
        plugged(gateway.url) as (cable, do),
        browser.new_context() as context,
    ):
        session = ada.post("/sessions").json()["id"]
        path = f"/sessions/{session}/runs"
        path += "/" + ada.post(path, json={"content": "/length 500 /rate 80"}).json()["id"]
        asked = []
        context.on("request", lambda request: asked.append(request.url))
        tab = Bare.opened(context, cable.url).follow(session, token=ADA.key, transport="eventsource")
        for drop in range(1, 3):
            tab.until("passed", 120 * drop)  # a second and a half, or more
            do(cable.cut)
        tab.until("ended")
        log = ada.get(f"{path}/log", params={"after": "0", "limit": 1000}).json()["events"]
        got = tab.got
    assert merge(got) == merge(log)
    assert len([url for url in asked if url.endswith("/tickets")]) in (2, 3)  # a drop may come before a ticket's end
    assert not [url for url in asked if ADA.key in url]
