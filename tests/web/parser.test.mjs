import assert from "node:assert/strict";
import test from "node:test";

import { sseParser } from "../../app/web/client/src/client.js";

const encode = (text) => new TextEncoder().encode(text);
const STREAM = encode(
  ': connected\nretry: 700\n\nid: 1-1\ndata: {"delta":"é 🦊 \u2028"}\n\n: ping\n\ndata:bare\r\n\r\nevent: x\ndata: a\ndata: b\n\ndata\n\n',
);
const EVENTS = [
  { retry: 700 },
  { data: '{"delta":"é 🦊 \u2028"}' },
  { data: "bare" },
  { data: "a\nb" },
  { data: "" },
];

const parse = (...pieces) => {
  const parser = sseParser();
  return pieces.flatMap((piece) => parser(piece));
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

test("an unterminated frame at the end is not an event", () => {
  assert.deepEqual(parse(encode("data: whole\n\ndata: cut\n")), [{ data: "whole" }]);
});

test("comments, blank lines and a retry that is no number are not events", () => {
  assert.deepEqual(parse(encode(": ping\n\n\n\nretry: soon\n\n")), []);
});
