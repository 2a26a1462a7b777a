"""Words that try to break out of an SSE stream, judged by a browser's own EventSource and JSON.

The protocol's P2.1 has to hold for whatever an agent, or a person, says: one message is one event, and nothing else is.
"""

import json
from collections.abc import Iterator
from itertools import groupby

import httpx
import pytest

from tests import hostile
from tests.browser.conftest import Api
from tests.gateway import Gateway

FIELD_LIMIT = 64 * 1024
"""Bytes of a result, arguments or custom data that are shown (P6.6)."""
DROPS = 3

# What the native EventSource makes of a stream: every event, and every id as the browser itself took it to be.
LISTEN = """url => {
  window.seen = [];
  window.opened = 0;
  window.source = new EventSource(url);
  source.onopen = () => opened++;
  source.onmessage = ({ data, lastEventId }) => seen.push({ data, lastEventId });
  for (const name of ["x", "ping", "message_", "open_"]) source.addEventListener(name, () => seen.push({ name }));
}"""
STREAMS = """([opens, messages]) => new Promise(resolve => {
  const look = () => (opened === opens && seen.length > messages ? resolve() : setTimeout(look, 10));
  look();
})"""
CLOSED = """() => new Promise(resolve => {
  const look = () => (source.readyState === EventSource.CLOSED ? resolve() : setTimeout(look, 10));
  look();
})"""
SEEN = "JSON.stringify(seen)"  # escapes what would be lost on the way out of the browser
TITLES = """async urls => JSON.stringify(
  await Promise.all(urls.map(async url => (await (await fetch(url)).json()).title)))"""


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    gateway = Gateway(tmp_path_factory.mktemp("hostile"), agent="hostile:agent", drain_timeout="0")
    try:
        yield Api(gateway.start().url)
    finally:
        gateway.close()


def clean(text: str) -> str:
    """As it is shown: surrogates joined, and replaced where they have no other half."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


PAYLOADS = list(map(clean, hostile.PAYLOADS))
NAMES = [clean(payload[: hostile.NAME]) for payload in hostile.PAYLOADS]
FAILURE = "\ndata: x\r\rid: 9-9\n\nevent: error\u2028"


def told(page, kind):
    """The messages of one type, and whether each came under its own id."""
    events = [json.loads(event["data"]) | {"as": event["lastEventId"]} for event in json.loads(page.evaluate(SEEN))]
    logged = [event for event in events if "id" in event]
    assert [event["id"] for event in logged] == [event["as"] for event in logged]
    return [event for event in logged if event["type"] == kind]


def texts(messages):
    """Deltas joined where a long one was split, by who spoke."""
    return [
        ("".join(message["delta"] for message in group), agent)
        for agent, group in groupby(messages, lambda message: message.get("agent"))
    ]


def cut(text: str) -> str:
    return text.encode()[:FIELD_LIMIT].decode(errors="ignore")


@pytest.mark.slow
def test_whatever_an_agent_says_reaches_event_source_exactly_and_under_its_own_id(api, open_tab, cable):
    tab = open_tab(f"{cable.base}/")
    run = api.start(FAILURE)
    tab.page.evaluate(LISTEN, f"{cable.base}{run}/events")
    for drop in range(DROPS):
        tab.page.evaluate(STREAMS, [drop + 1, tab.page.evaluate("seen.length")])
        cable.cut()
    tab.page.evaluate(CLOSED)

    page = tab.page
    log = api.log(run)
    assert page.evaluate("opened") == DROPS + 1
    assert [m["input"]["content"] for m in told(page, "stream_start")] == [FAILURE]
    assert "".join(m["delta"] for m in told(page, "thinking_delta")) == "".join(PAYLOADS)
    said = zip(PAYLOADS, NAMES, strict=True)
    assert texts(told(page, "stream_delta")) == [pair for text, name in said for pair in ((text, None), (text, name))]
    assert [m["tool"] for m in told(page, "tool_started")] == NAMES
    assert [m["call_id"] for m in told(page, "tool_call")] == [f"{hostile.CALLED}{n}" for n in range(len(PAYLOADS))]
    assert [m["result"] for m in told(page, "tool_call")] == list(map(cut, PAYLOADS))
    assert [m["args"] for m in told(page, "tool_call")] == [m["args"] for m in log if m["type"] == "tool_call"]
    short = [payload for payload in PAYLOADS if len(json.dumps([payload, payload])) < FIELD_LIMIT // 2]
    assert [m["data"] for m in told(page, "custom") if "truncated" not in m][: len(short)] == [
        [payload, {payload: None}] for payload in short
    ]
    (failed,) = told(page, "error")
    assert (failed["code"], failed["message"]) == ("agent_error", FAILURE)
    assert [said for said in tab.complaints if "ERR_INCOMPLETE_CHUNKED_ENCODING" not in said] == []  # the cuts


def test_titles_come_back_exactly(api, open_tab):
    tab = open_tab()
    titles = [payload[:200] for payload in PAYLOADS if payload.strip()]
    with httpx.Client(base_url=api.base, headers={"content-type": "application/json"}) as http:
        made = [http.post("/sessions", content=json.dumps({"title": title})) for title in titles]
    sessions = [answer.raise_for_status().json() for answer in made]

    assert [session["title"] for session in sessions] == titles
    addresses = [f"{api.base}/sessions/{session['id']}" for session in sessions]
    assert json.loads(tab.page.evaluate(TITLES, addresses)) == titles


@pytest.mark.slow
def test_the_playground_shows_whatever_an_agent_says_as_text(api, open_tab):
    run = api.start(FAILURE)
    api.log(run)
    tab = open_tab(f"{api.base}/?session={run.split('/')[2]}")
    tab.has_checked(1)
    tab.is_exact(api)
    tab.page.locator("#chat details").evaluate_all("all => all.forEach(details => (details.open = true))")
    assert tab.page.locator("#chat :is(img, script, iframe, object, svg, link, style)").count() == 0
    assert tab.page.locator("#chat [onerror], #chat [onload], #chat [onclick], #chat [style]").count() == 0
    hrefs = tab.page.locator("#chat a").evaluate_all("all => all.map(one => one.protocol)")
    assert set(hrefs) <= {"http:", "https:"}
    assert tab.complaints == []
