import assert from "node:assert/strict";
import test from "node:test";

import { connect } from "../../app/web/client/src/client.js";
import { hanging, json, network, pass, settled, stream } from "./fakes.mjs";

const base = "http://runcast.test";
const delta = (id) => ({ type: "stream_delta", id, delta: id });
const last = (list) => list[list.length - 1];

/** Reads a session by EventSource in the background. */
async function reading(options = {}) {
  const reader = { got: [], states: [], error: null, ended: false };
  const onState = ({ state }) => reader.states.push(state);
  reader.session = connect("s", { base, transport: "eventsource", onState, ...options });
  (async () => {
    try {
      for await (const message of reader.session.messages) reader.got.push(message.id ?? message.type);
    } catch (error) {
      reader.error = error;
    }
    reader.ended = true;
  })();
  await settled();
  return reader;
}

test("a session is followed by the browser's EventSource, which mends a broken connection by itself", async () => {
  const reader = await reading({ after: "1-1", ticket: "t" });
  const [source] = network.sources;
  assert.equal(source.url, `${base}/sessions/s/events?after=1-1&ticket=t`);
  source.open().deliver(delta("1-2"));
  source.fail();
  source.open().deliver(delta("1-3"));
  await settled();
  assert.deepEqual(reader.got, ["1-2", "1-3"]);
  assert.deepEqual(reader.states, ["connecting", "open", "waiting", "open"]);
  assert.deepEqual([network.sources.length, network.requests.length], [1, 0]);
});

test("a run is followed up to its end", async () => {
  const reader = await reading({ run: "r" });
  assert.equal(last(network.sources).url, `${base}/sessions/s/runs/r/events`);
  last(network.sources).open().deliver(delta("1-1"), { type: "stream_end", id: "1-2" });
  await settled();
  assert.deepEqual([reader.got, reader.ended, last(network.sources).closed], [["1-1", "1-2"], true, true]);
});

test("one that is closed by a 204 has come to the end", async () => {
  const reader = await reading({ run: "r", after: "1-2" });
  network.answers.push(new Response(null, { status: 204 }));
  last(network.sources).fail(true);
  await settled();
  assert.deepEqual([reader.ended, reader.error, network.sources.length], [true, null, 1]);
});

test("one that is refused says why", async () => {
  const reader = await reading({ ticket: "old" });
  network.answers.push(json(401, { code: "unauthenticated", detail: "the ticket has expired" }));
  last(network.sources).fail(true);
  await settled();
  assert.equal(last(network.requests).url, `${base}/sessions/s/events?ticket=old`);
  assert.deepEqual([reader.error.code, reader.error.message], ["unauthenticated", "the ticket has expired"]);
});

test("one that a server too busy closed waits as long as it is asked to", async () => {
  const reader = await reading();
  network.answers.push(json(503, { code: "rate_limited" }, { "retry-after": "3" }));
  last(network.sources).fail(true);
  await pass(2_999);
  assert.equal(network.sources.length, 1);
  await pass(1);
  assert.equal(network.sources.length, 2);
  assert.equal(reader.ended, false);
});

test("a token makes a ticket, which is used until it is nearly over, and made anew when it is refused", async () => {
  let made = 0;
  const ticket = () => json(201, { ticket: `t${++made}`, expires_in: 300 });
  network.answers.push(ticket());
  const reader = await reading({ token: "secret" });
  const [{ url, method, body, headers }] = network.requests;
  assert.deepEqual([url, method, JSON.parse(body)], [`${base}/tickets`, "POST", { session_id: "s" }]);
  assert.equal(headers.authorization, "Bearer secret");
  assert.equal(last(network.sources).url, `${base}/sessions/s/events?ticket=t1`);

  last(network.sources).open().deliver(delta("1-1"));
  await settled();
  reader.session.drop();
  await pass(250);
  assert.equal(last(network.sources).url, `${base}/sessions/s/events?after=1-1&ticket=t1`);

  network.answers.push(stream(), ticket()); // what closed it, asked with the token: nothing; so it was the ticket
  last(network.sources).fail(true);
  await pass(500);
  assert.equal(last(network.sources).url, `${base}/sessions/s/events?after=1-1&ticket=t2`);
  assert.ok(!network.requests.some(({ url }) => url.includes("secret")));

  last(network.sources).open();
  await pass(270_000);
  network.answers.push(ticket());
  reader.session.drop();
  await pass(1_000);
  assert.match(last(network.sources).url, /ticket=t3$/);
  assert.deepEqual(reader.got, ["1-1"]);
});

test("a session that is closed while its ticket is made ends at once", async () => {
  network.answers.push(hanging());
  const reader = await reading({ token: "secret" });
  reader.session.close();
  await settled();
  assert.deepEqual([reader.ended, reader.error, network.sources.length], [true, null, 0]);
  assert.ok(network.requests[0].signal.aborted);
});
