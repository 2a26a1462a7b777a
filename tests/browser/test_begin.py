"""A run that is over before anybody follows it, or while they begin to, is followed whole, whatever carries it."""

import json

import pytest

from tests.browser.bare import Bare

AT_ONCE = "/quiet /rate 0 /length 3 Hello"

# The documented program: send, then read. Here the run is over before, or starts while following does.
SEND_THEN_READ = """async ([content, together, options]) => {
  const { connect, createSession, isTerminal, request } = await import("./client.js");
  const { id } = await createSession();
  const session = connect(id, options);
  const got = [];
  const read = async () => {
    for await (const message of session.messages) {
      if (message.id) got.push(message);
      if (isTerminal(message)) return;
    }
  };
  let reading = together && read();
  const run = await session.send(content);
  if (!together) {
    while ((await request(`sessions/${id}/runs/${run}`)).status === "running");
    reading = read();
  }
  await reading;
  return { path: `/sessions/${id}/runs/${run}`, got: JSON.stringify(got) };
}"""


@pytest.fixture
def context(browser):
    context = browser.new_context()
    yield context
    context.close()


@pytest.mark.parametrize("together", [False, True], ids=["run first", "at the same time"])
@pytest.mark.parametrize("share", [False, True], ids=["alone", "shared"])
@pytest.mark.parametrize("transport", ["websocket", "sse", "eventsource"])
def test_what_a_page_sends_before_it_reads_is_given_whole(api, context, merge, transport, share, together):
    page = Bare.opened(context, api.base).page
    for _ in range(3 if together else 1):
        answer = page.evaluate(SEND_THEN_READ, [AT_ONCE, together, {"transport": transport, "share": share}])
        assert merge(json.loads(answer["got"])) == merge(api.log(answer["path"]))


def test_a_tab_that_joins_one_that_leads_is_given_what_it_sent_before(api, context, merge):
    first = api.start(AT_ONCE)
    session = first.split("/")[2]
    leader = Bare.opened(context, api.base).follow(session, share=True, on=True)
    leader.until("caught_up")
    tab = Bare.opened(context, api.base)
    tab.page.evaluate(
        """async ([id, content]) => {
          const { connect, isTerminal, request } = await import("./client.js");
          window.session = connect(id, { share: true });
          const run = await session.send(content);
          while ((await request(`sessions/${id}/runs/${run}`)).status === "running");
          window.got = [];
          window.path = `/sessions/${id}/runs/${run}`;
          for await (const message of session.messages) {
            got.push(message);
            if (isTerminal(message)) return;
          }
        }""",
        [session, AT_ONCE],
    )
    assert merge(tab.got) == merge(api.log(tab.page.evaluate("path")))
