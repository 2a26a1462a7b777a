import assert from "node:assert/strict";
import test from "node:test";

import { sseParser } from "../../app/web/client/src/sse.js";

const STREAM =
  ': connected\nretry: 700\n\nid: 1-1\ndata: {"delta":"é 🦊 \u2028retry: 9\u2029data: x\\n"}\n\n: ping\n\nid: 1-2\ndata: {}\n\nid: 1-3\n\n';
const FIELDS = [
  ["retry", "700"],
  ["data", '{"delta":"é 🦊 \u2028retry: 9\u2029data: x\\n"}'],
  ["data", "{}"],
];

const parse = (...pieces) => {
  const parser = sseParser();
  const fields = pieces.flatMap((piece) => parser(piece));
  return fields.filter(([name]) => name === "data" || name === "retry").map(([name, value]) => [name, value]);
};

test("a stream is the same fields wherever it is cut in two", () => {
  for (let cut = 0; cut <= STREAM.length; cut++)
    assert.deepEqual(parse(STREAM.slice(0, cut), STREAM.slice(cut)), FIELDS, `cut at ${cut}`);
});

test("a stream is the same fields in pieces of any size", () => {
  for (let size = 1; size < 9; size++) {
    const pieces = Array.from({ length: Math.ceil(STREAM.length / size) }, (_, i) =>
      STREAM.slice(i * size, (i + 1) * size),
    );
    assert.deepEqual(parse(...pieces), FIELDS, `pieces of ${size}`);
  }
});

test("what ends lines elsewhere stands in data", () => {
  const data = '{"delta":"\u2028retry: 9\u2029\rretry: 9"}';
  assert.deepEqual(parse(`id: 1\ndata: ${data}\n\n`), [["data", data]]);
});

test("an unterminated line at the end is not one", () => {
  assert.deepEqual(parse("data: whole\n\ndata: cut"), [["data", "whole"]]);
});

test("comments and blank lines are not fields that anybody reads", () => {
  assert.deepEqual(parse(": ping\n\n\n\n: data\n\n"), []);
});
