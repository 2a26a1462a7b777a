import assert from "node:assert/strict";
import test, { mock } from "node:test";

import { connect, follow } from "../../app/web/client/src/client.js";
import { json, network, pass, settled, stream } from "./fakes.mjs";

const base = "http://runcast.test/base";
const delta = (id) => ({ type: "stream_delta", id, delta: id });
const END = { type: "stream_end", id: "1-9", content: "" };

/** Reads a session in the background into `got`, and says how it ended. */
async function reading(options = {}, id = "s") {
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
  await settled();
  return reader;
}

const last = (list) => list[list.length - 1];

test("a session is followed over a WebSocket at its base, from the position asked for", async () => {
  const reader = await reading({ after: "2-7" }, "a/b");
  assert.equal(last(network.sockets).url, "ws://runcast.test/base/ws/sessions/a%2Fb?after=2-7");
  last(network.sockets).open();
  await settled();
  const news = { type: "something_new", id: "3-2" };
  last(network.sockets).deliver(delta("3-1"), news, { type: "caught_up", position: "3-2" });
  await settled();
  assert.deepEqual(reader.got, ["3-1", "3-2", "caught_up"]);
});

test("a broken WebSocket is resumed after the last id, with growing pauses", async () => {
  const reader = await reading();
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
  await reading({ transport: "websocket" });
  await pass(60_000);
  const pauses = network.sockets.slice(1).map(({ at }, index) => at - network.sockets[index].at);
  assert.ok(Math.max(...pauses) <= 10_250, `${pauses}`);
  assert.ok(last(pauses) >= 5_000, `${pauses}`);
});

test("a message from the log makes pauses short again", async () => {
  network.refuses = true;
  await reading({ transport: "websocket" });
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
  await reading();
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
  const reader = await reading({ after: "0" });
  await settled();
  assert.equal(last(network.requests).url, `${base}/sessions/s/events?after=0`);
  sse.deliver(delta("1-1"));
  await settled();
  assert.deepEqual(reader.got, ["1-1"]);
});

for (const opens of [false, true]) {
  test(`a WebSocket that ${opens ? "opens, then says" : "says"} nothing for 3.5 s gives way to SSE`, async () => {
    network.answers.push(stream());
    await reading();
    if (opens) last(network.sockets).open();
    await pass(3_499);
    assert.equal(network.requests.length, 0);
    await pass(1);
    assert.equal(network.requests.length, 1);
    assert.ok(network.sockets[0].closed);
  });
}

test("a page without WebSockets uses SSE", async () => {
  globalThis.WebSocket = undefined;
  network.answers.push(stream());
  await reading();
  await settled();
  assert.equal(network.requests.length, 1);
});

test("what worked is tried alone at first, and everything again when it fails", async () => {
  network.refuses = true;
  const [first, second, third] = [stream(), stream(), stream()];
  network.answers.push(first, second, new TypeError("Failed to fetch"), third);
  await reading();
  first.deliver(delta("1-1"));
  await settled();
  first.end();
  await pass(250);
  assert.deepEqual([network.sockets.length, network.requests.length], [1, 2]);
  second.deliver(delta("1-2"));
  await settled();
  second.end();
  await pass(250);
  assert.deepEqual([network.sockets.length, network.requests.length], [1, 3]);
  await pass(500);
  assert.deepEqual([network.sockets.length, network.requests.length], [2, 4]);
});

test("while neither worked, both are tried each time", async () => {
  network.refuses = true;
  await reading();
  await pass(250);
  assert.equal(network.sockets.length, 2);
  assert.equal(network.requests.length, 2);
});

test("a WebSocket that worked is tried alone at first, and left for SSE where it works no more", async () => {
  const reader = await reading();
  last(network.sockets).open().deliver(delta("1-1"));
  await settled();
  last(network.sockets).shut(1006);
  network.refuses = true;
  const sse = stream();
  network.answers.push(sse);
  await pass(250);
  assert.deepEqual([network.sockets.length, network.requests.length], [2, 0]);
  await pass(500);
  assert.match(last(network.requests).url, /after=1-1$/);
  sse.deliver(delta("1-2"));
  await settled();
  assert.deepEqual(reader.got, ["1-1", "1-2"]);
});

for (const [code, name] of Object.entries({
  4004: "session_not_found",
  4400: "bad_position",
  4401: "unauthenticated",
  4403: "forbidden_origin",
})) {
  test(`close code ${code} is final`, async () => {
    const reader = await reading();
    last(network.sockets).open();
    await settled();
    last(network.sockets).deliver(delta("1-1"));
    last(network.sockets).shut(Number(code), "no");
    await settled();
    assert.deepEqual(reader.got, ["1-1"]);
    assert.deepEqual([reader.error.code, reader.error.message, reader.error.final], [name, "no", true]);
  });
}

test("an error that comes before a final close is given", async () => {
  const reader = await reading({ after: "x" });
  last(network.sockets).open().deliver({ type: "error", code: "bad_position", message: "not a position" });
  last(network.sockets).shut(4400, "not a position");
  await settled();
  assert.deepEqual([reader.error.code, reader.error.message, reader.error.status], ["bad_position", "not a position", 4400]);
  assert.deepEqual(reader.got, ["error"]);
});

test("an HTTP refusal is final", async () => {
  network.answers.push(json(404, { code: "session_not_found", detail: "No such session" }));
  const reader = await reading({ transport: "sse" });
  await settled();
  assert.deepEqual([reader.error.code, reader.error.status], ["session_not_found", 404]);
});

for (const status of [408, 429, 500, 503]) {
  test(`HTTP ${status} is tried again, no sooner than asked`, async () => {
    network.answers.push(json(status, {}, { "retry-after": "3" }), stream());
    const reader = await reading({ transport: "sse" });
    await pass(2_999);
    assert.equal(network.requests.length, 1);
    await pass(1);
    assert.equal(network.requests.length, 2);
    assert.equal(reader.ended, false);
  });
}

test("an answer that is no event stream is tried again", async () => {
  network.answers.push(new Response("<p>Log in to the Wi-Fi</p>", { headers: { "content-type": "text/html" } }));
  const reader = await reading({ transport: "sse" });
  await pass(250);
  assert.equal(network.requests.length, 2);
  assert.deepEqual(reader.got, []);
});

test("an answer of another type is no event stream, however long it goes on", async () => {
  const page = stream();
  page.response.headers.set("content-type", "text/html");
  network.answers.push(page, stream());
  await reading({ transport: "sse" });
  await pass(250);
  assert.equal(network.requests.length, 2);
  assert.ok(network.requests[0].signal.aborted);
});

test("an event that does not end is given up after four million characters", async () => {
  const sse = stream();
  network.answers.push(sse, stream());
  await reading({ transport: "sse" });
  for (let written = 0; written <= 4_000_000; written += 500_000) sse.write("x".repeat(500_000));
  await pass(500);
  assert.equal(network.requests.length, 2);
  assert.ok(network.requests[0].signal.aborted);
});

for (const [asked, seconds] of Object.entries({ 2147484: 86_400, "Thu, 01 Jan 1970 02:00:00 GMT": 7_200, soon: 0.25 })) {
  test(`a server that asks to wait for ${asked} is left alone for ${seconds} s`, async () => {
    mock.timers.reset();
    mock.timers.enable({ apis: ["setTimeout", "setInterval", "Date"], now: 0 });
    network.answers.push(json(503, {}, { "retry-after": asked }), stream());
    const delays = [];
    await reading({ transport: "sse", onState: ({ delay }) => delay && delays.push(delay) });
    await settled();
    assert.equal(delays.length, 1);
    assert.ok(delays[0] <= seconds * 1_000 && delays[0] >= seconds * 500, `${delays}`);
    mock.timers.tick(delays[0] - 1);
    await settled();
    assert.equal(network.requests.length, 1);
    mock.timers.tick(1);
    await settled();
    assert.equal(network.requests.length, 2);
  });
}

test("a session that is closed when it is told to wait does not wait", async () => {
  network.answers.push(json(503, {}, { "retry-after": "3600" }));
  const stop = new AbortController();
  const onState = ({ state }) => state === "waiting" && stop.abort();
  const reader = await reading({ transport: "sse", signal: stop.signal, onState });
  await settled();
  assert.deepEqual([reader.ended, reader.error], [true, null]);
});

test("a token that can't be the name of a subprotocol makes a ticket for the WebSocket", async () => {
  network.answers.push(json(201, { ticket: "t1", expires_in: 300 }));
  const token = "a/b+c==";
  await reading({ transport: "websocket", token });
  const [{ url, headers }] = network.requests;
  assert.deepEqual([url, headers.authorization], [`${base}/tickets`, `Bearer ${token}`]);
  assert.equal(last(network.sockets).url, "ws://runcast.test/base/ws/sessions/s?ticket=t1");
  assert.deepEqual(last(network.sockets).protocols, []);
});

test("204 ends it", async () => {
  network.answers.push(new Response(null, { status: 204 }));
  const reader = await reading({ run: "r", after: "1-9" });
  await settled();
  assert.equal(reader.ended, true);
  assert.equal(reader.error, null);
});

test("one run is followed over SSE, up to its end", async () => {
  const sse = stream();
  network.answers.push(sse);
  const reader = await reading({ run: "r" });
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
  const reader = await reading({ run: "r" });
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
  await reading({ transport: "sse" });
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
  await reading({ transport: "sse" });
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
  const reader = await reading();
  last(network.sockets).open().deliver(delta("1-1"));
  await pass(20_000);
  assert.deepEqual(last(network.sockets).sent, []);
  await pass(2_000);
  assert.deepEqual(last(network.sockets).sent, [{ type: "ping" }]);
  last(network.sockets).deliver({ type: "pong" });
  await pass(44_000);
  assert.equal(network.sockets.length, 1);
  await pass(3_000);
  assert.equal(network.sockets.length, 2);
  assert.deepEqual(reader.got, ["1-1"]);
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
      const reader = await reading({ transport, signal: stop.signal });
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
  const reader = await reading({ signal: AbortSignal.abort() });
  await settled();
  assert.equal(reader.ended, true);
  assert.equal(network.sockets.length, 0);
});

test("a dropped connection is resumed after what was given, and what was not given comes again", async () => {
  const session = connect("s", { base });
  const first = session.messages.next();
  await settled();
  last(network.sockets).open();
  await settled();
  last(network.sockets).deliver(delta("1-1"), delta("1-2"));
  assert.equal((await first).value.id, "1-1");
  session.drop();
  const second = session.messages.next();
  await pass(300);
  assert.match(last(network.sockets).url, /\?after=1-1$/);
  last(network.sockets).open();
  await settled();
  last(network.sockets).deliver(delta("1-2"));
  assert.equal((await second).value.id, "1-2");
});

test("states tell what is going on", async () => {
  const states = [];
  const reader = await reading({ onState: ({ state, transport, after }) => states.push([state, transport, after]) });
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

test("a page that is further behind than four million characters does without the WebSocket until it has read them", async () => {
  const session = connect("s", { base });
  const first = session.messages.next();
  await settled();
  const long = "x".repeat(1_000_000);
  for (let seq = 1; seq < 7; seq++) network.sockets[0].open().deliver({ type: "stream_delta", id: `1-${seq}`, delta: long });
  assert.ok(network.sockets[0].closed);
  assert.equal((await first).value.id, "1-1");
  const got = [];
  for (let seq = 2; seq < 7; seq++) got.push((await session.messages.next()).value.id);
  assert.deepEqual(got, ["1-2", "1-3", "1-4", "1-5", "1-6"]);
  const next = session.messages.next();
  await pass(250);
  assert.match(last(network.sockets).url, /after=1-6$/);
  last(network.sockets).open().deliver(delta("1-7"));
  assert.equal((await next).value.id, "1-7");
});

test("a gap is given, and resumed from only when something came after it", async () => {
  const reader = await reading({ after: "1-1" });
  const gap = { type: "gap", requested: "1-1", earliest: "7-9", latest: "8-1" };
  last(network.sockets).open().deliver(gap);
  await settled();
  last(network.sockets).shut(1006);
  await pass(250);
  assert.match(last(network.sockets).url, /after=1-1$/);
  last(network.sockets).open().deliver(gap, delta("7-9"));
  await settled();
  last(network.sockets).shut(1006);
  await pass(250);
  assert.match(last(network.sockets).url, /after=7-9$/);
  assert.deepEqual(reader.got, ["gap", "gap", "7-9"]);
});

test("a session that is closed while its token is fetched opens nothing", async () => {
  for (const transport of ["websocket", "sse", "eventsource"]) {
    let give;
    const token = () => new Promise((resolve) => (give = resolve));
    const reader = await reading({ transport, token });
    reader.session.close();
    give("late");
    await settled();
    assert.deepEqual([reader.ended, reader.error, network.sockets.length, network.sources.length], [true, null, 0, 0]);
  }
});

test("a session that is dropped while it connects tries again", async () => {
  const reader = await reading({ transport: "websocket" });
  reader.session.drop();
  assert.ok(network.sockets[0].closed);
  await pass(250);
  assert.equal(network.sockets.length, 2);
  last(network.sockets).open().deliver(delta("1-1"));
  await settled();
  assert.deepEqual(reader.got, ["1-1"]);
});
