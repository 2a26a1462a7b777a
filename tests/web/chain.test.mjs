import assert from "node:assert/strict";
import test from "node:test";

import { Chain } from "../../app/web/client/src/chain.js";

const said = (from, to) => ({ term: 1, from, to, message: { type: "stream_delta", id: to } });
const told = (at, type) => ({ term: 1, from: at, to: at, message: { type } });

/** What somebody at this position reads, or null if it can't go on there. */
function read(chain, position) {
  const place = chain.place(position);
  if (!chain.has(place)) return null;
  return Array.from({ length: chain.end - place }, (_, i) => chain.at(place + i).message.id ?? "-");
}

test("whoever is at a position that the leader passed, or has come to, goes on there", () => {
  const chain = new Chain();
  assert.equal(read(chain, undefined), null);
  for (const note of [{ term: 1, to: "1-1" }, said("1-1", "1-2"), said("1-2", "1-7"), said("1-7", "2-1")]) chain.take(note);
  assert.deepEqual(read(chain, "1-1"), ["1-2", "1-7", "2-1"]);
  assert.deepEqual(read(chain, "1-7"), ["2-1"]);
  assert.deepEqual(read(chain, "2-1"), []);
  for (const strange of ["1-0", "1-5", undefined]) assert.equal(read(chain, strange), null);
});

test("somebody without a position goes on with a leader that has none yet", () => {
  const chain = new Chain();
  chain.take({ term: 1, to: undefined });
  assert.deepEqual(read(chain, undefined), []);
  chain.take(said(undefined, "1-1"));
  assert.deepEqual(read(chain, undefined), ["1-1"]);
});

test("a message that does not go on where the last one ended makes all places void", () => {
  const chain = new Chain();
  chain.take({ term: 1, to: "1-1" });
  chain.take(said("1-1", "1-2"));
  const [passed, here] = [chain.place("1-1"), chain.place("1-2")];
  chain.take(said("1-5", "1-6"));
  assert.deepEqual([chain.has(passed), chain.has(here), read(chain, "1-2")], [false, false, null]);
  assert.deepEqual(read(chain, "1-5"), ["1-6"]);
});

test("another leader that goes on at the same position makes no difference", () => {
  const chain = new Chain();
  chain.take({ term: 1, to: "1-1" });
  const place = chain.place("1-1");
  chain.take({ term: 2, to: "1-1" });
  chain.take({ ...said("1-1", "1-2"), term: 2 });
  assert.ok(chain.has(place));
  assert.equal(chain.at(place).message.id, "1-2");
});

test("who joins is not told what the connection said before", () => {
  const chain = new Chain();
  for (const note of [{ term: 1, to: "1-1" }, told("1-1", "caught_up"), said("1-1", "1-2"), told("1-2", "run_queued")])
    chain.take(note);
  assert.deepEqual(read(chain, "1-1"), ["1-2", "-"]);
  assert.deepEqual(read(chain, "1-2"), []);
});

test("it keeps no more than so many, and who has fallen behind has no place any more", () => {
  const chain = new Chain();
  chain.take({ term: 1, to: "1-0" });
  const start = chain.place("1-0");
  for (let seq = 0; seq < 5_001; seq++) chain.take(said(`1-${seq}`, `1-${seq + 1}`));
  assert.ok(!chain.has(start));
  assert.equal(read(chain, "1-0"), null);
  assert.equal(read(chain, "1-1").length, 5_000);
});

test("it keeps no more than four million characters, but always the last message", () => {
  const chain = new Chain();
  chain.take({ term: 1, to: "1-0" });
  const long = (seq, length) => {
    const note = said(`1-${seq}`, `1-${seq + 1}`);
    return { ...note, message: { ...note.message, delta: "x".repeat(length) } };
  };
  for (let seq = 0; seq < 10; seq++) chain.take(long(seq, 900_000));
  assert.deepEqual(read(chain, "1-6"), ["1-7", "1-8", "1-9", "1-10"]);
  assert.equal(read(chain, "1-5"), null);
  chain.take(long(10, 5_000_000));
  assert.deepEqual(read(chain, "1-10"), ["1-11"]);
  chain.take(said("1-11", "1-12"));
  assert.deepEqual(read(chain, "1-11"), ["1-12"]);
});

test("a connection that has caught up is known to have, until there is another", () => {
  const chain = new Chain();
  chain.take({ term: 1, to: "1-1", caughtUp: false });
  assert.equal(chain.caughtUp, false);
  chain.take(told("1-1", "caught_up"));
  chain.take(said("1-1", "1-2"));
  assert.equal(chain.caughtUp, true);
  chain.take({ term: 2, to: "1-2", caughtUp: false });
  assert.equal(chain.caughtUp, false);
});
