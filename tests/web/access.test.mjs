import assert from "node:assert/strict";
import test from "node:test";

import { connect, createSession, request } from "../../app/web/client/src/client.js";
import { json, network, pass, settled, stream } from "./fakes.mjs";

const base = "http://runcast.test";

/** Reads a session in the background; says how it ended. */
async function reading(options) {
  const reader = { session: connect("s", { base, ...options }), error: null };
  (async () => {
    try {
      for await (const _ of reader.session.messages);
    } catch (error) {
      reader.error = error;
    }
  })();
  await settled();
  return reader;
}

const last = (list) => list[list.length - 1];

test("a token goes to a WebSocket as a subprotocol, beside ours, and never into the address", async () => {
  await reading({ token: "secret" });
  const socket = last(network.sockets);
  assert.deepEqual(socket.protocols, ["runcast.v1", "bearer.secret"]);
  assert.equal(socket.url, "ws://runcast.test/ws/sessions/s");
});

test("a token goes to HTTP as a header", async () => {
  network.answers.push(stream(), json(201, { id: "s" }));
  await reading({ token: "secret", transport: "sse" });
  await settled();
  await createSession({ base, token: "secret" });
  assert.deepEqual(network.requests.map(({ headers }) => headers.authorization), ["Bearer secret", "Bearer secret"]);
  assert.ok(network.requests.every(({ url }) => !url.includes("secret")));
});

test("a ticket goes into the address of streams and commands", async () => {
  network.answers.push(stream(), json(202, { id: "r1" }));
  await reading({ ticket: "t", after: "1-2" });
  assert.equal(last(network.sockets).url, "ws://runcast.test/ws/sessions/s?after=1-2&ticket=t");
  assert.deepEqual(last(network.sockets).protocols, []);
  const { session } = await reading({ ticket: "t", transport: "sse" });
  await session.send("Hello");
  session.close();
  assert.deepEqual(network.requests.map(({ url }) => url), [
    `${base}/sessions/s/events?ticket=t`,
    `${base}/sessions/s/runs?ticket=t`,
  ]);
  assert.ok(network.requests.every(({ headers }) => !("authorization" in headers)));
});

test("whoever has a token needs no ticket", async () => {
  await reading({ token: "secret", ticket: "t" });
  assert.equal(last(network.sockets).url, "ws://runcast.test/ws/sessions/s");
});

test("a function is asked anew for each attempt", async () => {
  let made = 0;
  await reading({ ticket: async () => `t${++made}` });
  await settled();
  assert.match(last(network.sockets).url, /ticket=t1$/);
  last(network.sockets).open().deliver({ type: "caught_up", position: "1-1" });
  await settled();
  last(network.sockets).shut(1006);
  await pass(250);
  assert.match(last(network.sockets).url, /ticket=t2$/);
});

test("a token that can't be had just now is asked for again", async () => {
  let asked = 0;
  const reader = await reading({ token: () => (++asked < 3 ? Promise.reject(new TypeError("offline")) : "secret") });
  await pass(1_000);
  assert.equal(asked, 3);
  assert.deepEqual(last(network.sockets).protocols, ["runcast.v1", "bearer.secret"]);
  assert.equal(reader.error, null);
});

test("a caller who is not known is told, and not tried again", async () => {
  const reader = await reading({ token: "wrong" });
  last(network.sockets).open();
  await settled();
  last(network.sockets).shut(4401, "the token is not valid");
  await pass(20_000);
  assert.deepEqual([reader.error.code, reader.error.message, reader.error.final], ["unauthenticated", "the token is not valid", true]);
  assert.equal(network.sockets.length, 1);
  network.answers.push(json(401, { code: "unauthenticated", detail: "the token has expired" }));
  await assert.rejects(request("sessions", { base, token: "old" }), { code: "unauthenticated", status: 401 });
});
