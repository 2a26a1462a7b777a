import assert from "node:assert/strict";
import test from "node:test";

import { connect } from "../../app/web/client/src/client.js";
import { network, settled } from "./fakes.mjs";

const base = "http://runcast.test";
const delta = (id) => ({ type: "stream_delta", id, delta: id });
const last = (list) => list[list.length - 1];

/** The address that the connection of a page, loaded (again), goes to. */
async function opened(options) {
  const session = connect("s", { base, ...options });
  const first = session.messages.next();
  await settled();
  return { session, first, socket: last(network.sockets).open(), url: last(network.sockets).url };
}

test("a page that is loaded again begins after the last message that it was through with", async () => {
  const { session, first, socket } = await opened({ remember: true, after: "0" });
  socket.deliver(delta("1-1"), delta("1-2"), delta("1-3"));
  assert.equal((await first).value.id, "1-1");
  assert.equal((await session.messages.next()).value.id, "1-2"); // 1-3 is here, and 1-2 in somebody's hands
  assert.match((await opened({ remember: true, after: "0" })).url, /after=1-1$/);
  assert.deepEqual(sessionStorage, { [`runcast:${base}/sessions/s/events`]: "1-1" });
});

test("a message at which the loop is left does not count", async () => {
  const session = connect("s", { base, remember: true });
  const reading = (async () => {
    for await (const message of session.messages) if (message.id === "1-2") break;
  })();
  await settled();
  last(network.sockets).open().deliver(delta("1-1"), delta("1-2"));
  await reading;
  assert.match((await opened({ remember: true })).url, /after=1-1$/);
});

test("runs, sessions and keys are remembered each on its own", async () => {
  const { session, first, socket } = await opened({ remember: "mine", after: "0" });
  socket.deliver(delta("1-1"), delta("1-2"));
  await first;
  await session.messages.next();
  assert.deepEqual(sessionStorage, { "runcast:mine": "1-1" });
  assert.match((await opened({ remember: "mine" })).url, /after=1-1$/);
  assert.match((await opened({ remember: true, after: "0" })).url, /after=0$/);
  assert.doesNotMatch((await opened()).url, /after/);
});

test("storage that is full or forbidden is done without", async () => {
  const refused = () => {
    throw new Error("QuotaExceededError");
  };
  globalThis.sessionStorage = new Proxy({}, { get: refused, set: refused });
  const { session, first, socket, url } = await opened({ remember: true, after: "2-1" });
  assert.match(url, /after=2-1$/);
  socket.deliver(delta("2-2"), delta("2-3"));
  await first;
  assert.equal((await session.messages.next()).value.id, "2-3");
});
