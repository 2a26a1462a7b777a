import assert from "node:assert/strict";
import test from "node:test";

import { connect, createSession } from "../../app/web/client/src/client.js";
import { json, network, pass, settled } from "./fakes.mjs";

const base = "http://runcast.test";

/** A session whose WebSocket is open, and read. */
async function opened() {
  const session = connect("s", { base });
  const got = [];
  (async () => {
    for await (const message of session.messages) got.push(message);
  })();
  const socket = network.sockets[0].open();
  await settled();
  return { session, socket, got };
}

test("a message goes over the open WebSocket and resolves with the run's id", async () => {
  const { session, socket, got } = await opened();
  const run = session.send("Hello", { onConflict: "queue" });
  const [{ request_id, idempotency_key, ...frame }] = socket.sent;
  assert.deepEqual(frame, { type: "message", content: "Hello", on_conflict: "queue" });
  assert.match(idempotency_key, /^[0-9a-f]{32}$/);
  socket.deliver({ type: "ack", request_id, run_id: "r1" });
  assert.equal(await run, "r1");
  await settled();
  assert.deepEqual(got.map(({ type }) => type), ["ack"]);
});

test("an approval is answered over the open WebSocket, and over HTTP without one", async () => {
  const { session, socket } = await opened();
  const answered = session.approve("c1", false, "not mine");
  const [{ request_id, ...frame }] = socket.sent;
  assert.deepEqual(frame, { type: "approve", call_id: "c1", approved: false, comment: "not mine" });
  socket.deliver({ type: "ack", request_id });
  await answered;
  socket.shut(1006);
  await settled();
  network.answers.push(json(200, { id: "s", active_run: "r1" }), json(202, {}));
  await session.approve("c/2", true);
  const [, { url, method, body }] = network.requests;
  assert.deepEqual([url, method], [`${base}/sessions/s/runs/r1/approvals/c%2F2`, "POST"]);
  assert.deepEqual(JSON.parse(body), { approved: true });
});

test("a refusal rejects with its code, and the session goes on", async () => {
  const { session, socket } = await opened();
  const run = session.send("Hello");
  socket.deliver({ type: "error", request_id: socket.sent[0].request_id, code: "run_active", message: "busy" });
  await assert.rejects(run, { name: "RuncastError", code: "run_active", message: "busy", final: true });
  assert.equal(socket.closed, false);
  assert.equal(network.requests.length, 0);
});

test("answers find their commands in any order", async () => {
  const { session, socket } = await opened();
  const runs = [session.send("one"), session.send("two")];
  const acks = socket.sent.map(({ request_id, content }) => ({ type: "ack", request_id, run_id: content }));
  socket.deliver(...acks.reverse());
  assert.deepEqual(await Promise.all(runs), ["one", "two"]);
});

test("a message whose answer was lost is sent again under the same key", async () => {
  const { session, socket } = await opened();
  const run = session.send("Hello", { images: ["data:image/png;base64,AA=="] });
  network.answers.push(json(200, { id: "r1" }));
  socket.shut(1006);
  await pass(250);
  assert.equal(await run, "r1");
  const [{ url, method, body, headers }] = network.requests;
  assert.deepEqual([url, method], [`${base}/sessions/s/runs`, "POST"]);
  assert.deepEqual(JSON.parse(body), { content: "Hello", images: ["data:image/png;base64,AA=="] });
  assert.equal(headers["idempotency-key"], socket.sent[0].idempotency_key);
});

test("a WebSocket that does not answer a command in ten seconds is given up", async () => {
  const { session, socket } = await opened();
  const run = session.send("Hello");
  network.answers.push(json(202, { id: "r1" }));
  await pass(10_250);
  assert.ok(socket.closed);
  assert.equal(await run, "r1");
});

test("without a connection a message goes over HTTP, and failing attempts share one key", async () => {
  network.answers.push(new TypeError("Failed to fetch"), json(503, { code: "draining" }), json(202, { id: "r1" }));
  const run = connect("s", { base, token: "secret" }).send("Hello");
  await pass(1_000);
  assert.equal(await run, "r1");
  assert.equal(network.requests.length, 3);
  assert.equal(new Set(network.requests.map(({ headers }) => headers["idempotency-key"])).size, 1);
  assert.equal(network.requests[0].headers.authorization, "Bearer secret");
});

test("an HTTP refusal rejects with the problem's code", async () => {
  network.answers.push(json(409, { code: "run_active", detail: "A run is in progress" }));
  const refused = { code: "run_active", message: "A run is in progress", status: 409 };
  await assert.rejects(connect("s", { base }).send("Hello"), refused);
});

test("a server that can't be reached is given up after six attempts", async () => {
  const run = connect("s", { base }).send("Hello");
  const rejected = assert.rejects(run, { code: "unreachable", message: "Failed to fetch", final: false });
  await pass(20_000);
  await rejected;
  assert.equal(network.requests.length, 6);
});

test("cancel goes over the open WebSocket", async () => {
  const { session, socket } = await opened();
  const done = session.cancel("r1");
  const [{ request_id, ...frame }] = socket.sent;
  assert.deepEqual(frame, { type: "cancel", run_id: "r1" });
  socket.deliver({ type: "ack", request_id });
  await done;
});

test("cancel without a run asks HTTP which one is in progress", async () => {
  network.answers.push(json(200, { active_run: "r7" }), json(202, {}));
  await connect("s", { base }).cancel();
  assert.deepEqual(network.requests.map(({ url }) => url), [`${base}/sessions/s`, `${base}/sessions/s/runs/r7/cancel`]);
});

test("cancel without a run in progress does nothing", async () => {
  network.answers.push(json(200, { active_run: null }));
  await connect("s", { base }).cancel();
  assert.equal(network.requests.length, 1);
});

test("commands of a closed session go over HTTP", async () => {
  const { session, socket } = await opened();
  session.close();
  network.answers.push(json(202, { id: "r1" }));
  assert.equal(await session.send("Hello"), "r1");
  assert.deepEqual(socket.sent, []);
});

test("a file is uploaded under its own name, and may then be named in a message", async () => {
  const { session } = await opened();
  const uploaded = { id: "file_1", name: "a.txt", path: "/data/a.txt", size: 5, media_type: "text/plain" };
  network.answers.push(json(201, uploaded), json(201, uploaded));
  assert.deepEqual(await session.upload(new File(["Hello"], "a.txt")), uploaded);
  await session.upload(new Blob(["Hello"]), "b.txt");
  const [{ url, method, body, headers }, other] = network.requests;
  assert.deepEqual([url, method, headers["content-type"]], [`${base}/sessions/s/files`, "POST", undefined]);
  assert.deepEqual([body.get("file").name, await body.get("file").text()], ["a.txt", "Hello"]);
  assert.equal(other.body.get("file").name, "b.txt");
});

test("a session is created with its profile", async () => {
  network.answers.push(json(201, { id: "s1" }));
  assert.equal((await createSession({ base, profile: "demo" })).id, "s1");
  assert.deepEqual(JSON.parse(network.requests[0].body), { profile: "demo" });
});
