"""A browser's own EventSource, and the client module used on its own, over a run's stream."""

# Collects a native EventSource's messages in window.seen, and its source in window.source.
LISTEN = """url => {
  window.seen = [];
  window.opened = 0;
  window.source = new EventSource(url);
  source.onopen = () => opened++;
  source.onmessage = ({ data, lastEventId }) => {
    const message = JSON.parse(data);
    if (message.id) seen.push(message);
    if (message.id && message.id !== lastEventId) throw new Error(`${message.id} came as ${lastEventId}`);
  };
}"""

# Settles once the source is closed, or has opened and received so often. (The page's own policy forbids the eval that
# `wait_for_function` needs.)
UNTIL = """([opens, messages]) => new Promise(resolve => {
  const look = () => {
    const there = opens ? opened === opens && seen.length >= messages : source.readyState === EventSource.CLOSED;
    there ? resolve() : setTimeout(look, 10);
  };
  look();
})"""
CLOSED = [0, 0]

FOLLOW = """async ([session, run]) => {
  const { follow } = await import("./client.js");
  const got = [];
  for await (const message of follow(session, { run })) got.push(message);
  return got;
}"""


def test_event_source_gets_a_run_once_and_stops_by_itself(api, open_tab, merge):
    tab = open_tab()
    run = api.start("/length 100 /rate 200 Hello")
    tab.page.evaluate(LISTEN, f"{api.base}{run}/events")
    tab.page.evaluate(UNTIL, CLOSED)
    assert merge(tab.page.evaluate("seen")) == merge(api.log(run))
    assert tab.page.evaluate("opened") == 1


def test_event_source_resumes_by_itself_where_the_network_cut_it(api, open_tab, cable, merge):
    tab = open_tab(f"{cable.base}/")
    run = api.start("/length 5000 /rate 50 Hello")
    tab.page.evaluate(LISTEN, f"{cable.base}{run}/events")
    for opens_and_messages in ([1, 10], [2, 60]):
        tab.page.evaluate(UNTIL, opens_and_messages)
        cable.cut()
    tab.page.evaluate(UNTIL, [3, 80])
    api.cancel(run)
    tab.page.evaluate(UNTIL, CLOSED)
    assert merge(tab.page.evaluate("seen")) == merge(api.log(run))
    assert tab.page.evaluate("opened") == 3


def test_following_one_run_ends_with_it(api, open_tab, merge):
    tab = open_tab()
    run = api.start("/length 60 /rate 200 Hello")
    _, _, session, _, run_id = run.split("/")
    assert merge(tab.page.evaluate(FOLLOW, [session, run_id])) == merge(api.log(run))


def test_following_a_run_that_ended_gives_all_of_it(api, open_tab, merge):
    tab = open_tab()
    run = api.start("/length 60 /rate 1000 Hello")
    log = api.log(run)
    _, _, session, _, run_id = run.split("/")
    assert merge(tab.page.evaluate(FOLLOW, [session, run_id])) == merge(log)
