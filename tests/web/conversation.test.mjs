import assert from "node:assert/strict";
import test from "node:test";

import { Conversation } from "../../app/web/playground/conversation.js";
import { Frames } from "../../app/web/playground/frames.js";

const input = { content: "Hello", images: 0, files: [] };
const begin = (run, id = "1-1") => ({ type: "stream_start", id, run_id: run, session_id: "s", input });

function told(...messages) {
  const conversation = new Conversation(() => {});
  for (const message of messages) conversation.show(message);
  return conversation;
}

const shape = (parts) => parts.map(({ kind, text, tool, status, agent, parts: inner }) =>
  inner ? { [agent]: shape(inner) } : tool ? `${kind} ${tool} ${status ?? ""}`.trim() : `${kind} ${text ?? ""}`.trim());

test("deltas of one kind and agent are one part until something else comes between", () => {
  const { turns } = told(
    begin("r"),
    { type: "thinking_delta", id: "1-2", delta: "hm" },
    { type: "thinking_delta", id: "1-3", delta: "m" },
    { type: "thinking_end", id: "1-4" },
    { type: "turn_thinking", id: "1-5", thinking: "hmm", is_subagent: false },
    { type: "stream_delta", id: "1-6", delta: "a" },
    { type: "tool_started", id: "1-7", call_id: "c", tool: "look", args: {}, is_subagent: false },
    { type: "stream_delta", id: "1-8", delta: "b" },
    { type: "stream_delta", id: "1-9", delta: "c" },
    { type: "tool_call", id: "1-10", call_id: "c", tool: "look", args: {}, result: "no", success: false, is_subagent: false },
  );
  assert.deepEqual(shape(turns[0].parts), ["thinking hmm", "text a", "tool look failed", "text bc"]);
});

test("what subagents do side by side stays with each, until the main agent goes on", () => {
  const { turns } = told(
    begin("r"),
    { type: "stream_delta", id: "1-2", delta: "x", agent: "one" },
    { type: "stream_delta", id: "1-3", delta: "y", agent: "two" },
    { type: "stream_delta", id: "1-4", delta: "z", agent: "one" },
    { type: "stream_delta", id: "1-5", delta: "main" },
    { type: "stream_delta", id: "1-6", delta: "again", agent: "one" },
  );
  assert.deepEqual(shape(turns[0].parts), [
    { one: ["text x", "text z"] },
    { two: ["text y"] },
    "text main",
    { one: ["text again"] },
  ]);
});

test("a terminal ends the turn; messages of types to come are passed over", () => {
  const conversation = told(
    begin("r"),
    { type: "draw", id: "1-2" },
    { type: "constructor", id: "1-3" },
    { type: "of_a_later_version", id: "1-4" },
    { type: "error", code: "too_fast", message: "of a command" },
    { type: "error", id: "1-5", code: "internal_error", message: "it failed", incident: "abc" },
  );
  assert.equal(conversation.active, null);
  assert.equal(conversation.turns[0].status, "failed");
  assert.deepEqual(conversation.turns[0].end, { text: "it failed", code: "internal_error", incident: "abc" });
});

test("runs wait until they start, and move up", () => {
  const conversation = told(
    begin("r"),
    { type: "run_queued", run_id: "a", number: 2, ahead: 1 },
    { type: "run_queued", run_id: "b", number: 3, ahead: 2 },
    { type: "stream_end", id: "1-2", content: "" },
    begin("a", "2-1"),
  );
  assert.deepEqual([...conversation.waiting.values()], [{ run: "b", number: 3, ahead: 1 }]);
});

test("the last frames are kept, and counted are all", () => {
  const frames = new Frames();
  for (let number = 1; number <= 20_000; number++)
    frames.add({ direction: "in", via: "sse", text: `{"type":"stream_delta","id":"1-${number}","delta":"é"}` });
  assert.equal(frames.count, 20_000);
  assert.ok(frames.kept.length >= 5_000 && frames.kept.length <= 5_500);
  assert.equal(frames.kept.at(-1).id, "1-20000");
  assert.equal(frames.kept[0].number, 20_001 - frames.kept.length);
  assert.equal(frames.kept.at(-1).size, frames.kept.at(-1).text.length + 1);
  for (let number = 0; number < 100; number++) frames.add({ direction: "in", via: "sse", text: "x".repeat(500_000) });
  assert.ok(frames.kept.reduce((sum, { text }) => sum + text.length, 0) <= 16 * 1024 * 1024);
});

test("a run that this page has started waits from its answer to its beginning, whichever comes first", () => {
  const conversation = told(begin("a"));
  conversation.expect("a");
  assert.equal(conversation.waiting.size, 0);
  conversation.expect("b");
  assert.deepEqual(conversation.waiting.get("b"), { run: "b", ahead: 0 });
  conversation.show({ type: "run_queued", run_id: "b", number: 2, ahead: 1 });
  conversation.expect("b");
  assert.equal(conversation.waiting.get("b").ahead, 1);
  conversation.show(begin("b", "2-1"));
  assert.equal(conversation.waiting.size, 0);
});

test("a call stands still from the question about it to the answer", () => {
  const call = { call_id: "c", tool: "look", args: {} };
  const conversation = told(
    begin("r"),
    { type: "tool_started", id: "1-2", ...call, is_subagent: false },
    { type: "approval_requested", id: "1-3", ...call },
  );
  const [tool] = conversation.turns[0].parts;
  assert.equal(tool.status, "waiting");
  conversation.show({ type: "approval_resolved", id: "1-4", call_id: "c", approved: true });
  assert.equal(tool.status, "running");
});

test("what an answer over HTTP is called is no position", () => {
  const frames = new Frames();
  frames.add({ direction: "in", via: "http", type: "POST runs: 202", text: '{"id": "run_1"}' });
  frames.add({ direction: "in", via: "websocket", text: '{"type": "pong", "id": "1-2"}' });
  assert.deepEqual(frames.kept.map(({ id }) => id), [undefined, "1-2"]);
});
