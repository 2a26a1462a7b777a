"""Pages that have nothing but the client: each follows a session and keeps what it is given."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from anyio.from_thread import start_blocking_portal
from attrs import define
from playwright.sync_api import BrowserContext, Page

from tests.cable import Cable

FOLLOW = """async ([id, options]) => {
  const { connect, isTerminal } = await import(options.from ?? "./client.js");
  const began = performance.now();
  window.got = [];
  window.states = [];
  window.failure = null;
  window.ended = false;
  const at = () => performance.now() - began;
  const onState = ({ state, transport, after }) => states.push({ state, transport, after, at: at() });
  window.session = connect(id, { after: "0", ...options, onState });
  window.follow = (async () => {
    for await (const message of session.messages) {
      got.push(message);
      if (message.type === options.until) return session.drop();
      if (!options.on && isTerminal(message)) break;
    }
  })().catch((error) => (failure = String(error))).finally(() => (ended = true));
}"""

# Settles when something is so, which is looked for often; the page's own policy forbids `wait_for_function` its eval.
# How far a tab has come is told by positions: how many messages that makes depends on how many were merged (P3.5).
UNTIL = """([what, wanted]) => new Promise((resolve, reject) => {
  const count = (type) => window.got?.filter((message) => message.type === type).length;
  const there = {
    passed: () => window.got?.some(({ id }) => id && Number(id.split("-")[1]) >= wanted),
    starts: () => count("stream_start") >= wanted,
    cancels: () => count("stream_cancelled") >= wanted,
    caught_up: () => window.got?.some(({ type }) => type === "caught_up"),
    opens: () => window.states?.filter(({ state }) => state === "open").length >= wanted,
    ended: () => window.ended,
  }[what];
  const since = performance.now();
  const look = () => {
    if (there()) resolve();
    else if (performance.now() - since < 25_000) setTimeout(look, 10);
    else reject(new Error(`${what} ${wanted}: ${JSON.stringify([failure, states, got.length, got.at(-1)])}`));
  };
  look();
})"""


@define
class Bare:
    """A tab in which a session is followed."""

    page: Page
    session: str = ""

    @classmethod
    def opened(cls, context: BrowserContext, base: str) -> "Bare":
        page = context.new_page()
        page.goto(f"{base}/client.js")
        return cls(page)

    def follow(self, session: str, **options: Any) -> "Bare":
        self.session = session
        self.page.evaluate(FOLLOW, [session, options])
        return self

    def until(self, what: str, wanted: Any = None) -> None:
        self.page.evaluate(UNTIL, [what, wanted])

    def drop(self) -> None:
        self.page.evaluate("session.drop()")

    @property
    def got(self) -> list[dict[str, Any]]:
        """What it was given; read as JSON, since playwright's own way is slow for much of it."""
        return json.loads(self.page.evaluate("JSON.stringify(got)"))

    @property
    def states(self) -> list[dict[str, Any]]:
        return self.page.evaluate("states")

    @property
    def transports(self) -> list[str]:
        """Those over which it was open, one after the other."""
        return [state["transport"] for state in self.states if state["state"] == "open"]


@contextmanager
def plugged(base: str) -> Iterator[tuple[Cable, Any]]:
    """A cable to a server, and how to have it do things: `do(cable.cut)`."""
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(Cable.plugged(lambda: base)) as cable:
        yield cable, portal.call
