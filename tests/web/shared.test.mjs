import assert from "node:assert/strict";
import test from "node:test";

import { connect } from "../../app/web/client/src/client.js";
import { network, pass, settled } from "./fakes.mjs";

const refused = { request: () => Promise.reject(new DOMException("Locks are not for this page", "SecurityError")) };

test("a tab that is refused Web Locks has a connection of its own", async () => {
  Object.defineProperty(globalThis, "navigator", { value: { locks: refused }, configurable: true });
  const session = connect("s", { base: "http://runcast.test", share: "ada" });
  const got = [];
  const reading = (async () => {
    for await (const message of session.messages) got.push(message.id);
  })();
  while (!network.sockets.length) await settled();
  network.sockets[0].open().deliver({ type: "stream_delta", id: "1-1" });
  await pass(30_000);
  assert.deepEqual(got, ["1-1"]);
  session.close();
  await reading;
});
