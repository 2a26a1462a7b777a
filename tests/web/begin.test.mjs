/** Where following begins when a run was started before it did, or while it was about to. */

import assert from "node:assert/strict";
import test from "node:test";

import { connect } from "../../app/web/client/src/client.js";
import { json, network, pass, settled } from "./fakes.mjs";

const base = "http://runcast.test";
const started = (number, status = "running") => json(202, { id: `r${number}`, number, status });
const last = () => network.sockets.at(-1);
const after = () => new URL(last().url).searchParams.get("after");

/** A session that is read in the background. */
async function read(session, got = []) {
  (async () => {
    for await (const message of session.messages) got.push(message.id ?? message.type);
  })();
  await settled();
  return got;
}

async function sent(session, answer, options) {
  network.answers.push(answer);
  await session.send("Hello", options);
  await settled();
}

for (const [what, answer, options, begins] of [
  ["a run that may be over by then is followed from its beginning", started(3), {}, "3-0"],
  ["a run that waits is reached from the run in progress", started(3, "queued"), { onConflict: "queue" }, null],
  ["a run that did not have to wait may be over", started(3), { onConflict: "queue" }, "3-0"],
  ["what interrupts is reached from what it interrupts", started(3, "queued"), { onConflict: "interrupt" }, "2-0"],
])
  test(`sent before anything is followed, ${what}`, async () => {
    const session = connect("s", { base });
    await sent(session, answer, options);
    await read(session);
    assert.equal(after(), begins);
    session.close();
  });

test("of several runs that were sent before anything was followed, the first is where it begins", async () => {
  const session = connect("s", { base });
  await sent(session, started(3));
  await sent(session, started(4));
  await read(session);
  assert.equal(after(), "3-0");
  session.close();
});

test("a position that was asked for is not given up for a run", async () => {
  const session = connect("s", { base, after: "1-4" });
  await sent(session, started(3));
  await read(session);
  assert.equal(after(), "1-4");
  session.close();
});

test("who follows one run does not begin with another", async () => {
  const session = connect("s", { base, run: "r2", transport: "websocket" });
  await sent(session, started(3));
  assert.equal(session.after, undefined);
});

test("a connection that is under way when a run starts is made anew, from its beginning", async () => {
  const session = connect("s", { base });
  const got = await read(session);
  last().open();
  await settled();
  await sent(session, started(3));
  last().deliver({ type: "caught_up", position: "3-9" });
  await pass(250);
  assert.deepEqual([network.sockets.length, after(), got], [2, "3-0", []]);
  session.close();
});

test("a connection that was let in once the run was over, and said so before the run was answered, is made anew", async () => {
  const session = connect("s", { base });
  const got = await read(session);
  last().open();
  await settled();
  last().deliver({ type: "caught_up", position: "3-9" });
  await settled();
  await sent(session, started(3));
  await pass(250);
  assert.deepEqual([network.sockets.length, after(), got], [2, "3-0", ["caught_up"]]);
  session.close();
});

for (const [what, ...messages] of [
  ["has caught up before the run", { type: "caught_up", position: "2-7" }],
  ["is in the midst of the run", { type: "stream_start", id: "3-1", run_id: "r3" }, { type: "stream_delta", id: "3-2", delta: "" }],
  ["began with the run before", { type: "stream_start", id: "2-1", run_id: "r2" }, { type: "caught_up", position: "2-1" }],
])
  test(`a connection that ${what} stays`, async () => {
    const session = connect("s", { base });
    await read(session);
    last().open();
    await settled();
    last().deliver(...messages);
    await settled();
    await sent(session, started(3));
    await pass(250);
    assert.equal(network.sockets.length, 1);
    session.close();
  });
