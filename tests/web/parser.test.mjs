import assert from "node:assert/strict";
import test from "node:test";

import { sseParser } from "../../app/web/client/src/sse.js";

const STREAM =
  ': connected\nretry: 700\n\nid: 1-1\ndata: {"delta":"é 🦊 \u2028retry: 9\u2029data: x\\n"}\n\n: ping\n\nid: 1-2\ndata: {}\n\nid: 1-3\n\n';
const EVENTS = [{ retry: 700 }, { data: '{"delta":"é 🦊 \u2028retry: 9\u2029data: x\\n"}' }, { data: "{}" }];

const parse = (...pieces) => {
  const parser = sseParser();
  const events = pieces.flatMap((piece) => parser(piece));
  return events.filter(({ data, retry }) => data || retry).map(({ data, retry }) => (data ? { data } : { retry }));
};

test("a stream is the same events wherever it is cut in two", () => {
  for (let cut = 0; cut <= STREAM.length; cut++)
    assert.deepEqual(parse(STREAM.slice(0, cut), STREAM.slice(cut)), EVENTS, `cut at ${cut}`);
});

test("a stream is the same events in pieces of any size", () => {
  for (let size = 1; size < 9; size++) {
    const pieces = Array.from({ length: Math.ceil(STREAM.length / size) }, (_, i) =>
      STREAM.slice(i * size, (i + 1) * size),
    );
    assert.deepEqual(parse(...pieces), EVENTS, `pieces of ${size}`);
  }
});

test("an event that has data has no retry, whatever stands in the data", () => {
  const [event] = sseParser()('id: 1\ndata: {"delta":"\u2028retry: 9\u2029\rretry: 9"}\n\n');
  assert.ok(!event.retry);
});

test("an unterminated event at the end is not one", () => {
  assert.deepEqual(parse("data: whole\n\ndata: cut\n"), [{ data: "whole" }]);
});

test("comments, blank lines and a retry that is no number are not events", () => {
  assert.deepEqual(parse(": ping\n\n\n\nretry: soon\n\n"), []);
});
