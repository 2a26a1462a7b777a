import assert from "node:assert/strict";
import test from "node:test";

import { connect, follow } from "../../app/web/client/src/client.js";
import { json, network, pass, settled, stream } from "./fakes.mjs";

const base = "http://runcast.test/base";
const delta = (id) => ({ type: "stream_delta", id, delta: id });
const END = { type: "stream_end", id: "1-9", content: "" };

/** Reads a session in the background into `got`, and says how it ended. */
function reading(options = {}, id = "s") {
  const session = connect(id, { base, ...options });
  const reader = { session, got: [], ended: false, error: null };
  (async () => {
    try {
      for await (const message of session.messages) reader.got.push(message.id ?? message.type);
    } catch (error) {
      reader.error = error;
    }
    reader.ended = true;
  })();
  return reader;
}

const last = (list) => list[list.length - 1];

test("a session is followed over a WebSocket at its base, from the position asked for", async () => {
  const reader = reading({ after: "2-7" }, "a/b");
  assert.equal(last(network.sockets).url, "ws://runcast.test/base/ws/sessions/a%2Fb?after=2-7");
  last(network.sockets).open();
  await settled();
  const news = { type: "something_new", id: "3-2" };
  last(network.sockets).deliver(delta("3-1"), news, { type: "caught_up", position: "3-2" });
  await settled();
  assert.deepEqual(reader.got, ["3-1", "3-2", "caught_up"]);
});

test("a broken WebSocket is resumed after the last id, with growing pauses", async () => {
  const reader = reading();
  last(network.sockets).open();
  await settled();
  last(network.sockets).deliver(delta("1-1"), delta("1-2"));
  last(network.sockets).shut(1006);
  await pass(250);
  assert.equal(network.sockets.length, 2);
  assert.match(last(network.sockets).url, /\?after=1-2$/);
  last(network.sockets).shut(1006);
  await pass(249);
  assert.equal(network.sockets.length, 2);
  await pass(251);
  assert.equal(network.sockets.length, 3);
  assert.deepEqual(reader.got, ["1-1", "1-2"]);
});

test("pauses stop growing at ten seconds", async () => {
  network.refuses = true;
  reading({ transport: "websocket" });
  await pass(60_000);
  const pauses = network.sockets.slice(1).map(({ at }, index) => at - network.sockets[index].at);
  assert.ok(Math.max(...pauses) <= 10_250, `${pauses}`);
  assert.ok(last(pauses) >= 5_000, `${pauses}`);
});

test("a message from the log makes pauses short again", async () => {
  network.refuses = true;
  reading({ transport: "websocket" });
  await pass(10_000);
  network.refuses = false;
  const refused = network.sockets.length;
  while (network.sockets.length === refused) await pass(250);
  last(network.sockets).open();
  await settled();
  last(network.sockets).deliver(delta("1-1"));
  last(network.sockets).shut(1006);
  await pass(250);
  assert.equal(network.sockets.length, refused + 2);
});

test("a session that said nothing yet is resumed where it was caught up", async () => {
  reading();
  last(network.sockets).open();
  await settled();
  last(network.sockets).deliver({ type: "caught_up", position: "4-2" });
  last(network.sockets).shut(1012);
  await pass(250);
  assert.match(last(network.sockets).url, /\?after=4-2$/);
});

test("a WebSocket that fails before it opens gives way to SSE at once", async () => {
  network.refuses = true;
  const sse = stream();
  network.answers.push(sse);
  const reader = reading({ after: "0" });
  await settled();
  assert.equal(last(network.requests).url, `${base}/sessions/s/events?after=0`);
  sse.deliver(delta("1-1"));
  await settled();
  assert.deepEqual(reader.got, ["1-1"]);
});

test("a WebSocket that does not open within four seconds gives way to SSE", async () => {
  network.answers.push(stream());
  reading();
  await pass(3_999);
  assert.equal(network.requests.length, 0);
  await pass(1);
  assert.equal(network.requests.length, 1);
  assert.ok(network.sockets[0].closed);
});

test("a page without WebSockets uses SSE", async () => {
  globalThis.WebSocket = undefined;
  network.answers.push(stream());
  reading();
  await settled();
  assert.equal(network.requests.length, 1);
});

test("once SSE worked, no WebSocket is tried again", async () => {
  network.refuses = true;
  const [first, second] = [stream(), stream()];
  network.answers.push(first, second);
  reading();
  await settled();
  first.end();
  await pass(250);
  assert.equal(network.sockets.length, 1);
  assert.equal(network.requests.length, 2);
});

test("while neither worked, both are tried each time", async () => {
  network.refuses = true;
  reading();
  await pass(250);
  assert.equal(network.sockets.length, 2);
  assert.equal(network.requests.length, 2);
});

test("once a WebSocket opened, SSE is never tried", async () => {
  reading();
  last(network.sockets).open();
  await settled();
  last(network.sockets).shut(1006);
  network.refuses = true;
  await pass(5_000);
  assert.ok(network.sockets.length > 3);
  assert.equal(network.requests.length, 0);
});

for (const [code, name] of Object.entries({
  4004: "session_not_found",
  4400: "bad_request",
  4401: "unauthenticated",
  4403: "forbidden_origin",
})) {
  test(`close code ${code} is final`, async () => {
    const reader = reading();
    last(network.sockets).open();
    await settled();
    last(network.sockets).deliver(delta("1-1"));
    last(network.sockets).shut(Number(code), "no");
    await settled();
    assert.deepEqual(reader.got, ["1-1"]);
    assert.deepEqual([reader.error.code, reader.error.message, reader.error.final], [name, "no", true]);
  });
}

test("a final close says what the error before it said", async () => {
  const reader = reading({ after: "x" });
  last(network.sockets).open();
  await settled();
  last(network.sockets).deliver({ type: "error", code: "bad_position", message: "not a position" });
  last(network.sockets).shut(4400);
  await settled();
  assert.equal(reader.error.code, "bad_position");
  assert.deepEqual(reader.got, ["error"]);
});

test("an HTTP refusal is final", async () => {
  network.answers.push(json(404, { code: "session_not_found", detail: "No such session" }));
  const reader = reading({ transport: "sse" });
  await settled();
  assert.deepEqual([reader.error.code, reader.error.status], ["session_not_found", 404]);
});

for (const status of [408, 429, 500, 503]) {
  test(`HTTP ${status} is tried again, no sooner than asked`, async () => {
    network.answers.push(json(status, {}, { "retry-after": "3" }), stream());
    const reader = reading({ transport: "sse" });
    await pass(2_999);
    assert.equal(network.requests.length, 1);
    await pass(1);
    assert.equal(network.requests.length, 2);
    assert.equal(reader.ended, false);
  });
}

test("an answer that is no event stream is tried again", async () => {
  network.answers.push(new Response("<p>Log in to the Wi-Fi</p>", { headers: { "content-type": "text/html" } }));
  const reader = reading({ transport: "sse" });
  await pass(250);
  assert.equal(network.requests.length, 2);
  assert.deepEqual(reader.got, []);
});

test("204 ends it", async () => {
  network.answers.push(new Response(null, { status: 204 }));
  const reader = reading({ run: "r", after: "1-9" });
  await settled();
  assert.equal(reader.ended, true);
  assert.equal(reader.error, null);
});

test("one run is followed over SSE, up to its end", async () => {
  const sse = stream();
  network.answers.push(sse);
  const reader = reading({ run: "r" });
  await settled();
  assert.equal(last(network.requests).url, `${base}/sessions/s/runs/r/events`);
  sse.deliver(delta("1-1"), { type: "error", code: "rate_limited", message: "not the end" }, END, delta("1-10"));
  await settled();
  assert.deepEqual(reader.got, ["1-1", "error", "1-9"]);
  assert.equal(reader.ended, true);
  assert.ok(last(network.requests).signal.aborted);
});

test("a run stream that ends before its terminal is taken up again", async () => {
  const [first, second] = [stream(), stream()];
  network.answers.push(first, second);
  const reader = reading({ run: "r" });
  await settled();
  first.deliver(delta("1-1"));
  first.write('data: {"type":"stream_delta","id":"1-2"');
  first.end();
  await pass(250);
  assert.match(last(network.requests).url, /\?after=1-1$/);
  second.deliver(delta("1-2"), END);
  await settled();
  assert.deepEqual(reader.got, ["1-1", "1-2", "1-9"]);
});

test("the server's retry is the first pause", async () => {
  const sse = stream();
  network.answers.push(sse, stream());
  reading({ transport: "sse" });
  await settled();
  sse.write("retry: 4000\n\n");
  sse.end();
  await pass(1_999);
  assert.equal(network.requests.length, 1);
  await pass(2_001);
  assert.equal(network.requests.length, 2);
});

test("SSE that is silent for 45 s is dead; a comment is a sign of life", async () => {
  const sse = stream();
  network.answers.push(sse, stream());
  reading({ transport: "sse" });
  await pass(44_000);
  sse.write(": ping\n\n");
  await pass(44_000);
  assert.equal(network.requests.length, 1);
  await pass(1_500);
  assert.equal(network.requests.length, 2);
});

test("a slow reader does not make SSE look silent", async () => {
  const sse = stream();
  network.answers.push(sse, stream());
  const messages = follow("s", { base, transport: "sse" });
  const first = messages.next();
  await settled();
  sse.deliver(delta("1-1"), delta("1-2"));
  assert.equal((await first).value.id, "1-1");
  await pass(60_000);
  assert.equal((await messages.next()).value.id, "1-2");
  assert.equal(network.requests.length, 1);
});

test("a silent WebSocket is pinged, and given up without an answer", async () => {
  const reader = reading();
  last(network.sockets).open();
  await pass(25_000);
  assert.deepEqual(last(network.sockets).sent, [{ type: "ping" }]);
  last(network.sockets).deliver({ type: "pong" });
  await pass(44_000);
  assert.equal(network.sockets.length, 1);
  await pass(10_000);
  assert.equal(network.sockets.length, 2);
  assert.deepEqual(reader.got, []);
});

test("leaving the loop closes the WebSocket at once", async () => {
  const socket = new Promise((resolve) => {
    const poll = () => (network.sockets[0] ? resolve(network.sockets[0]) : setImmediate(poll));
    poll();
  });
  const done = (async () => {
    for await (const message of follow("s", { base })) if (message.id) break;
  })();
  (await socket).open();
  await settled();
  (await socket).deliver(delta("1-1"), delta("1-2"));
  await done;
  assert.ok((await socket).closed);
  await pass(20_000);
  assert.equal(network.sockets.length, 1);
});

test("aborting ends the loop and the connection, whatever they wait for", async () => {
  for (const transport of ["websocket", "sse"]) {
    for (const ready of [false, true]) {
      const stop = new AbortController();
      network.answers = [stream()];
      const reader = reading({ transport, signal: stop.signal });
      if (ready && transport === "websocket") last(network.sockets).open();
      await settled();
      stop.abort();
      await settled();
      assert.equal(reader.ended, true, `${transport} ${ready}`);
      assert.equal(reader.error, null);
      assert.ok(transport === "sse" ? last(network.requests).signal.aborted : last(network.sockets).closed);
    }
  }
});

test("a signal that was aborted before connects to nothing", async () => {
  const reader = reading({ signal: AbortSignal.abort() });
  await settled();
  assert.equal(reader.ended, true);
  assert.equal(network.sockets.length, 0);
});

test("a dropped connection is resumed after what was given, and what was not given comes again", async () => {
  const session = connect("s", { base });
  const first = session.messages.next();
  last(network.sockets).open();
  await settled();
  last(network.sockets).deliver(delta("1-1"), delta("1-2"));
  assert.equal((await first).value.id, "1-1");
  session.drop();
  const second = session.messages.next();
  await pass(250);
  assert.match(last(network.sockets).url, /\?after=1-1$/);
  last(network.sockets).open();
  await settled();
  last(network.sockets).deliver(delta("1-2"));
  assert.equal((await second).value.id, "1-2");
});

test("states tell what is going on", async () => {
  const states = [];
  const reader = reading({ onState: ({ state, transport, after }) => states.push([state, transport, after]) });
  last(network.sockets).open();
  await settled();
  last(network.sockets).deliver(delta("1-1"));
  last(network.sockets).shut(1012);
  await settled();
  reader.session.close();
  await settled();
  assert.deepEqual(states, [
    ["connecting", "websocket", undefined],
    ["open", "websocket", undefined],
    ["waiting", "websocket", "1-1"],
    ["closed", "websocket", "1-1"],
  ]);
});
