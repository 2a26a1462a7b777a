"""The network that the playground spoils, its proof, and what can be copied to go on elsewhere."""

import os
import re
import subprocess
import sys

import pytest
from anyio.from_thread import start_blocking_portal
from playwright.sync_api import expect

from tests.browser.conftest import Api
from tests.browser.test_composer import PNG
from tests.cable import Cable
from tests.callers import ADA, guarded
from tests.gateway import Gateway

__all__ = ["guarded"]

# A network that loses one message and says another one twice. The inspector's ear is left alone.
LOSSY = """
let count = 0;
const spoiled = (listener) => function (event) {
  const said = JSON.parse(event.data).type === "stream_delta";
  count += said;
  if (!said || count !== 3) listener.call(this, event);
  if (said && count === 5) listener.call(this, event);
};
const listen = WebSocket.prototype.addEventListener;
WebSocket.prototype.addEventListener = function (type, listener, ...more) {
  const heard = type === "message" && !String(listener).includes("record(");
  listen.call(this, type, heard ? spoiled(listener) : listener, ...more);
};
const { set } = Object.getOwnPropertyDescriptor(WebSocket.prototype, "onmessage");
Object.defineProperty(WebSocket.prototype, "onmessage", {
  set(listener) { set.call(this, listener && spoiled(listener)); },
});
"""
QUICK = "/quiet /length 40 /rate 200"


def test_a_loss_and_a_repetition_are_counted_and_named(open_tab):
    tab = open_tab(script=LOSSY)
    tab.send(QUICK)
    tab.has_checked(1)
    counters = tab.page.locator("#counters")
    expect(counters).to_have_attribute("data-twice", "1")
    expect(counters).not_to_have_attribute("data-lost", "0")
    expect(counters).to_have_attribute("data-state", "bad")
    said = tab.page.locator("#differences li").all_inner_texts()
    assert any(re.fullmatch(r"1-\d+ stream_delta came again", text) for text in said), said
    assert any(re.fullmatch(r"1-\d+ stream_delta is in the log, and was not received", text) for text in said), said


def test_a_delayed_network_changes_nothing_but_the_time_even_when_it_is_left_and_switched(api, open_tab):
    tab = open_tab()
    tab.page.select_option("#latency", "500")
    tab.send("/length 200 /rate 100 Hello")
    for received, act in (
        (10, lambda: (tab.page.click("#glitch"), tab.state_is("waiting"))),
        (40, lambda: tab.page.select_option("#transport", "sse")),
        (80, lambda: (tab.page.click("#drop"), tab.page.click("#resume"))),
        (120, lambda: tab.page.select_option("#latency", "0")),
    ):
        tab.has_received(received)
        act()
    tab.has_checked(1)
    tab.is_exact(api)


def test_a_server_that_is_killed_costs_the_page_nothing(open_tab, tmp_path):
    gateway = Gateway(tmp_path)
    there = Cable.plugged(lambda: gateway.url)
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(there) as cable:
        try:
            gateway.start()
            tab = open_tab(f"{cable.url}/")
            tab.send("/length 3000 /rate 100 Hello")
            tab.has_received(30)
            gateway.kill()
            tab.state_is("waiting")
            gateway.start()
            tab.has_checked(1)
            tab.is_exact(Api(gateway.url))
            expect(tab.page.locator("article .end")).to_contain_text("(run_interrupted)")
            tab.send("/quiet /length 5 /rate 500 Again")
            tab.has_checked(2)
        finally:
            gateway.close()


def test_a_position_that_is_no_longer_kept_is_told_and_everything_that_is_comes_again(api, open_tab):
    tab = open_tab()
    tab.send(QUICK)
    tab.has_checked(1)
    tab.page.click("#drop")
    tab.page.evaluate("import('./playground/state.js').then(({ connection }) => { connection.after = '9-9'; })")
    tab.page.click("#resume")
    expect(tab.page.locator(".gap")).to_contain_text("is no longer kept")
    expect(tab.page.locator("article[data-status=completed]")).to_have_count(1)
    tab.has_checked(2)
    expect(tab.page.locator("#counters")).to_contain_text("0 lost, 0 twice")


def test_the_inspector_can_be_paused(open_tab):
    tab = open_tab()
    tab.send(QUICK)
    tab.has_checked(1)
    tab.page.get_by_role("button", name="Pause").click()
    tab.page.fill("#inspector input", "stream_start")
    tab.send(QUICK)
    tab.has_checked(2)
    expect(tab.page.locator(".frame")).to_have_count(1)
    tab.page.get_by_role("button", name="Go on").click()
    expect(tab.page.locator(".frame")).to_have_count(2)


def copied(tab, what: str, language: str, but: str = "") -> str:
    tab.page.get_by_label("What to copy").select_option(label=what)
    tab.page.get_by_role("button", name=language, exact=True).click()
    expect(tab.page.locator("#snippet")).to_contain_text("é" if what == "Start a run" else "after")
    expect(tab.page.locator("#copying [role=status]")).to_have_text(f"Copied as {language}{but}:")
    return str(tab.page.locator("#snippet").text_content())


def started(tab, text: str, language: str) -> None:
    """Run a copied text to its end."""
    if language == "JavaScript":
        tab.page.evaluate(f"(async () => {{ {text} }})()")
        return
    command = ["sh", "-c", text] if language == "curl" else [sys.executable, "-c", text]
    env = {**os.environ, "RUNCAST_TOKEN": ADA.key}
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True, env=env)
    assert "run_" in done.stdout


@pytest.mark.parametrize("language", ["curl", "Python", "JavaScript"])
def test_a_copied_start_starts_the_same_run_and_a_copied_follower_goes_on_from_here(api, open_tab, language):
    tab = open_tab(permissions=["clipboard-read", "clipboard-write"])
    said = '/quiet /length 5 /rate 500 it\'s "quoted" \\ $HOME é'
    for name, media_type, content in (("note.txt", "text/plain", b"a note"), ("dot.png", "image/png", PNG)):
        tab.page.set_input_files("#picker", {"name": name, "mimeType": media_type, "buffer": content})
    expect(tab.page.locator("#attached li[aria-busy=false]")).to_have_count(2)
    tab.send(said)
    tab.has_checked(1)
    follow = copied(tab, "Follow from here", language)
    start = copied(tab, "Start a run", language, ", without its image")
    assert tab.page.evaluate("navigator.clipboard.readText()") == start

    if language == "JavaScript":
        tab.page.evaluate("window.lines = []; console.log = (...said) => lines.push(said.join(' '))")
        tab.page.evaluate(f"void (async () => {{ {follow} }})()")
        started(tab, start, language)
        tab.has_checked(2)
        lines = tab.page.evaluate("lines").copy()
    else:
        command = ["sh", "-c", f"exec {follow}"] if language == "curl" else [sys.executable, "-c", follow]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"}
        ) as process:
            assert process.stdout is not None
            started(tab, start, language)
            lines = []
            for line in process.stdout:
                lines.append(line)
                if "stream_end" in line:
                    break
            process.kill()
    again = api.get(f"/sessions/{tab.session}/messages")["items"][2]
    assert (again["content"], [file["name"] for file in again["files"]]) == (said, ["note.txt"])
    assert any("stream_start" in line for line in lines)
    assert not any(re.search(r"\b1-\d", line) for line in lines if "stream" in line)


def test_a_copied_program_says_why_its_start_was_refused(open_tab):
    tab = open_tab(permissions=["clipboard-read", "clipboard-write"])
    tab.send("/quiet /length 5000 /rate 50")
    tab.has_received(5)
    tab.page.fill("#content", "é")
    command = [sys.executable, "-c", copied(tab, "Start a run", "Python")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    tab.page.click("#stop")
    assert re.fullmatch(r"run \w+ is in progress \(run_active\)\n", done.stderr), done.stderr
    assert done.returncode == 1


def test_what_is_copied_says_where_a_token_goes_and_holds_none(guarded, open_tab):
    tab = open_tab(f"{guarded.url}/", script=f"sessionStorage.setItem('token /', '{ADA.key}')")
    tab.send("/quiet /length 5 /rate 500 é")
    tab.has_checked(1)
    for number, language in enumerate(("curl", "Python", "JavaScript"), 2):
        text = copied(tab, "Start a run", language)
        assert ADA.key not in text
        started(tab, text.replace("YOUR TOKEN", ADA.key), language)
        tab.has_checked(number)
