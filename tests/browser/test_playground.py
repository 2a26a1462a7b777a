"""The page at /, as its user meets it. Exactness is judged against the server's own log."""

import json
import re

import httpx
import pytest
from playwright.sync_api import expect

# A handshake that something on the way refuses, as many corporate proxies do.
BLOCKED_WEBSOCKET = """
window.WebSocket = class extends WebSocket {
  constructor(url, protocols) { super(String(url).replace("/ws/", "/blocked/"), protocols); }
};
"""

GROWING = [
    "# One\n\n- a\n- **b**\n\n3. d\n4. e\n\n> f\n> g\n\n```py\n<i>h</i>\n\n# no head\n```\n\n`i` [j](https://example.org/)",
    "a\nb\n- c\n-\n--\n---\n\n| k | l |\n|---|---|\n| m | n |\nafter\n\n~~~\nunclosed\n\n# still\n",
    "  \n\n> > > q\n>\n> r\n\n1) s\n1) t\nu\n***\nv **w\nx** y\n\n| only a row |\n\n| z |\n|--\n",
]


def test_a_run_streams_into_the_page(api, open_tab):
    tab = open_tab()
    tab.send("/length 60 /rate 200 Hello there")
    tab.has_checked(1)
    tab.is_exact(api)
    expect(tab.page.locator("article .user")).to_have_text("/length 60 /rate 200 Hello there")
    expect(tab.page.locator("article .answer")).to_contain_text("Hello there")
    expect(tab.page.locator("details.thinking").first).to_be_visible()
    expect(tab.page.locator("details.tool[data-status=done]").first).to_be_visible()
    expect(tab.page.locator(".subagent").first).to_be_visible()
    assert tab.complaints == []


def test_a_failed_run_says_why(open_tab):
    tab = open_tab()
    tab.send("/length 20 /rate 500 /error")
    tab.has_checked(1)
    expect(tab.page.locator("article[data-status=failed] .end")).to_contain_text("agent_error")


@pytest.mark.parametrize(("button", "said"), [("Allow", "Allowed"), ("Refuse", "Refused")])
def test_a_question_of_the_agent_is_answered_by_a_button_also_after_a_reload(api, open_tab, button, said):
    tab = open_tab()
    tab.send("/approve /quiet /length 20 /rate 200")
    expect(tab.page.locator(".approval")).to_contain_text("May I call delete_notes?")
    other = open_tab(tab.page.url)
    tab.page.reload()
    tab.page.get_by_role("button", name=button).click()
    for each in (tab, other):
        each.has_checked(1)
        expect(each.page.locator(".approval .note")).to_have_text(said)
        each.is_exact(api)
    assert tab.complaints == []


@pytest.mark.parametrize("transport", ["websocket", "sse"])
def test_a_tab_closed_in_the_middle_loses_nothing_to_the_next_one(api, open_tab, transport):
    first = open_tab()
    first.send("/quiet /length 10 /rate 500 An earlier run")
    first.has_checked(1)
    first.page.select_option("#transport", transport)
    first.send("/length 5000 /rate 100 A longer one")
    first.has_received(80)
    address = first.page.url
    first.page.close()
    second = open_tab(address)
    second.page.select_option("#transport", transport)
    second.has_received(100)
    second.page.click("#stop")
    second.has_checked(2)
    second.is_exact(api)
    expect(second.page.locator("article .user")).to_have_text(
        ["/quiet /length 10 /rate 500 An earlier run", "/length 5000 /rate 100 A longer one"]
    )


@pytest.mark.parametrize("transport", ["websocket", "sse"])
def test_dropping_and_resuming_at_several_points_is_exact(api, open_tab, transport):
    tab = open_tab()
    tab.page.select_option("#transport", transport)
    tab.send("/length 5000 /rate 100 Hello")  # goes on for as long as this takes
    for received in (1, 30, 90, 150):
        tab.has_received(received)
        tab.page.click("#drop")
        tab.state_is("closed")
        after = tab.position
        expect(tab.page.locator("#resume")).to_have_text(f"Resume after {after}")
        run = api.get(f"/sessions/{tab.session}/runs")["items"][0]["id"]
        assert api.get(f"/sessions/{tab.session}/runs/{run}/log", after=after, wait=10)["events"]
        assert tab.position == after
        tab.page.click("#resume")
    tab.page.click("#stop")
    tab.has_checked(1)
    tab.is_exact(api)


@pytest.mark.parametrize("transport", ["websocket", "sse"])
def test_a_cut_network_is_mended_by_itself(api, open_tab, cable, transport):
    tab = open_tab(f"{cable.base}/")
    tab.page.select_option("#transport", transport)
    tab.send("/length 5000 /rate 100 Hello")
    for received in (5, 60, 120):
        tab.has_received(received)
        cable.cut()
        tab.state_is("waiting")
        tab.state_is("open")
    tab.page.click("#stop")
    tab.has_checked(1)
    tab.is_exact(api)


def test_switching_the_transport_in_the_middle_is_exact(api, open_tab):
    tab = open_tab()
    tab.send("/length 5000 /rate 100 Hello")
    for received, transport in ((20, "sse"), (60, "websocket"), (100, "eventsource")):
        tab.has_received(received)
        tab.page.select_option("#transport", transport)
    tab.has_received(120)
    tab.page.click("#stop")
    tab.has_checked(1)
    expect(tab.page.locator("#state")).to_have_attribute("data-transport", "eventsource")
    tab.is_exact(api)
    came = [frame for frame in tab.frames() if frame["direction"] == "in"]
    assert {frame["via"] for frame in came if frame.get("id", "").startswith("1-")} == {"websocket", "sse"}
    assert any(frame["type"] == "stream_cancelled" and frame["via"] == "sse" for frame in came)


def test_without_websockets_the_page_falls_back_to_sse(api, open_tab):
    tab = open_tab(script=BLOCKED_WEBSOCKET)
    tab.send("/length 100 /rate 100 Hello")
    tab.has_received(20)
    expect(tab.page.locator("#state")).to_have_text("open · SSE")
    tab.has_checked(1)
    tab.is_exact(api)


def test_stop_cancels_the_run(api, open_tab):
    tab = open_tab()
    tab.send("/length 5000 /rate 100 Hello")
    tab.has_received(10)
    tab.page.click("#stop")
    tab.has_checked(1)
    assert api.get(f"/sessions/{tab.session}/runs")["items"][0]["status"] == "cancelled"
    expect(tab.page.locator("article[data-status=cancelled] .end")).to_contain_text("Stopped")
    expect(tab.page.locator("#send")).to_be_visible()


def test_escape_cancels_the_run_from_the_keyboard(api, open_tab):
    tab = open_tab()
    tab.send("/length 5000 /rate 100 Hello")
    tab.has_received(10)
    tab.page.keyboard.press("Escape")
    tab.has_checked(1)
    assert api.get(f"/sessions/{tab.session}/runs")["items"][0]["status"] == "cancelled"


def test_markup_in_messages_stays_text(open_tab):
    tab = open_tab()
    hostile = '<img src=x onerror="window.hacked=1"> [go](javascript:window.hacked=1) <b>x</b>'
    tab.send(f"/length 200 /rate 1000 {hostile}")
    tab.has_checked(1)
    expect(tab.page.locator(".answer .prose", has_text='<img src=x onerror="window.hacked=1">').first).to_be_visible()
    assert tab.page.locator("#chat :is(img, script, a[href^='javascript'])").count() == 0
    assert tab.page.evaluate("window.hacked") is None


def test_markdown_becomes_elements(open_tab):
    tab = open_tab()
    text = (
        "# One\n\n- a\n- **b** and *c*\n\n3. d\n\n> e\n\n```py\n<i>f</i>\n```\n\n"
        "`g` [h](https://example.org/?a=1&b=2) 2 * 3 * 4 a_b_c"
    )
    html = tab.page.evaluate(
        """async text => {
            const { markdown } = await import("./playground/markdown.js");
            const box = document.createElement("div");
            box.append(markdown(text));
            return box.innerHTML;
        }""",
        text,
    )
    assert html == (
        "<h1>One</h1><ul><li>a</li><li><strong>b</strong> and <em>c</em></li></ul>"
        '<ol start="3"><li>d</li></ol><blockquote><p>e</p></blockquote>'
        '<pre><code title="py">&lt;i&gt;f&lt;/i&gt;</code></pre><p><code>g</code> '
        '<a href="https://example.org/?a=1&amp;b=2" rel="noopener noreferrer" target="_blank">h</a> 2 * 3 * 4 a_b_c</p>'
    )


def test_the_inspector_shows_each_frame_as_it_went_over_the_wire(api, open_tab):
    tab = open_tab()
    tab.send("/quiet /length 5 /rate 500 Hello")
    tab.has_checked(1)
    tab.send("/quiet /length 5 /rate 500 Again")
    tab.has_checked(2)
    frames = tab.frames()
    run = api.get(f"/sessions/{tab.session}/runs")["items"][1]["id"]
    log = httpx.get(f"{api.base}/sessions/{tab.session}/runs/{run}/log").text
    came = [frame["text"] for frame in frames if frame["direction"] == "in" and frame.get("id", "").startswith("2-")]
    assert len(came) > 3
    assert all(text in log for text in came)
    assert [frame["size"] for frame in frames] == [len(frame["text"].encode()) for frame in frames]
    assert [frame["number"] for frame in frames] == list(range(1, len(frames) + 1))

    rows = tab.page.locator(".frame")
    tab.page.fill("#inspector input", "out http again")
    expect(rows).to_have_count(1)
    rows.first.click()
    shown = json.loads(tab.page.locator("#frame pre").inner_text())
    assert shown["content"] == "/quiet /length 5 /rate 500 Again"
    tab.page.fill("#inspector input", f"in http {run}")
    expect(rows).to_have_text([re.compile(rf"\WPOST runs: 202{run[:20]}")])
    tab.page.fill("#inspector input", "2-1 stream_start")
    expect(rows).to_have_count(1)
    tab.page.locator("#frames").press("ArrowDown")
    assert json.loads(tab.page.locator("#frame pre").inner_text())["input"]["content"].endswith("Again")


@pytest.mark.parametrize("named", ["?session=nobody", "#nobody", "#session=nobody"])
def test_an_unknown_session_says_so_and_is_not_tried_again(api, open_tab, named):
    tab = open_tab(f"{api.base}/{named}")
    expect(tab.page.locator("#notice")).to_contain_text("there is no such session")
    tab.state_is("closed")
    assert tab.session == "nobody"


def test_a_new_session_has_an_address_of_its_own(open_tab):
    tab = open_tab()
    tab.send("/quiet /length 5 /rate 500 Hello")
    tab.has_checked(1)
    before = tab.session
    tab.page.click("#new button")
    expect(tab.page.locator("article")).to_have_count(0)
    assert tab.session
    assert tab.session != before


def test_text_that_grows_becomes_what_the_whole_text_is(open_tab):
    tab = open_tab()
    differ = tab.page.evaluate(
        """async texts => {
            const { Growing, markdown } = await import("./playground/markdown.js");
            const differ = [];
            for (const [seed, text] of texts.entries()) {
                const [box, whole] = [document.createElement("div"), document.createElement("div")];
                const growing = new Growing(box);
                let random = seed + 1;
                for (let at = 0; at < text.length; ) {
                    random = (random * 48271) % 2147483647;
                    const length = 1 + (random % (seed % 2 ? 3 : 40));
                    growing.add(text.slice(at, at + length));
                    at += length;
                }
                whole.append(markdown(text));
                if (box.innerHTML !== whole.innerHTML) differ.push([text, box.innerHTML, whole.innerHTML]);
            }
            return differ;
        }""",
        [text for text in GROWING for _ in range(6)],
    )
    assert differ == []
