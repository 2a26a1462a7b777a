import assert from "node:assert/strict";
import test, { mock } from "node:test";

import { connect, createSession } from "../../app/web/client/src/client.js";
import { hanging, json, network, pass, settled } from "./fakes.mjs";

const base = "http://runcast.test";

/** A session whose WebSocket is open, and read. */
async function opened() {
  const session = connect("s", { base });
  const got = [];
  (async () => {
    for await (const message of session.messages) got.push(message);
  })();
  await settled();
  const socket = network.sockets[0].open();
  await settled();
  return { session, socket, got };
}

test("a message starts a run, whatever the stream is doing", async () => {
  const { session, socket, got } = await opened();
  network.answers.push(json(202, { id: "r1" }));
  assert.equal(await session.send("Hello", { onConflict: "queue" }), "r1");
  const [{ url, method, body, headers }] = network.requests;
  assert.deepEqual([url, method, headers["content-type"]], [`${base}/sessions/s/runs`, "POST", "application/json"]);
  const { idempotency_key, ...rest } = JSON.parse(body);
  assert.deepEqual(rest, { content: "Hello", on_conflict: "queue" });
  assert.match(idempotency_key, /^\d+(,\d+){4}$/);
  assert.deepEqual([socket.sent, got], [[], []]);
});

test("an approval names the run that is in progress", async () => {
  const { session, socket } = await opened();
  socket.deliver({ type: "stream_start", id: "1-1", run_id: "r1" }, { type: "approval_requested", id: "1-2" });
  await settled();
  network.answers.push(json(202, {}), json(200, { active_run: "r2" }), json(202, {}));
  await session.approve("c/2", true, "go on");
  socket.deliver({ type: "stream_end", id: "1-3" });
  await settled();
  await session.approve("c3", false);
  assert.deepEqual(
    network.requests.map(({ url }) => url),
    [`${base}/sessions/s/runs/r1/approvals/c%2F2`, `${base}/sessions/s`, `${base}/sessions/s/runs/r2/approvals/c3`],
  );
  const bodies = network.requests.map(({ body }) => body && JSON.parse(body));
  assert.deepEqual(bodies, [{ approved: true, comment: "go on" }, undefined, { approved: false }]);
});

test("a refusal rejects with its code, and the session goes on", async () => {
  const { session, socket } = await opened();
  network.answers.push(json(409, { code: "run_active", detail: "busy" }));
  const refused = { name: "RuncastError", code: "run_active", message: "busy", status: 409, final: true };
  await assert.rejects(session.send("Hello"), refused);
  assert.equal(socket.closed, false);
  assert.equal(network.requests.length, 1);
});

test("a message whose answer was lost is sent again under the same key", async () => {
  network.answers.push(new TypeError("Failed to fetch"), json(503, { code: "draining" }), json(200, { id: "r1" }));
  const run = connect("s", { base, token: "secret" }).send("Hello", { images: ["data:image/png;base64,AA=="] });
  await pass(1_000);
  assert.equal(await run, "r1");
  const bodies = network.requests.map(({ body }) => JSON.parse(body));
  assert.equal(bodies.length, 3);
  assert.equal(new Set(bodies.map(({ idempotency_key }) => idempotency_key)).size, 1);
  assert.deepEqual(bodies[0].images, ["data:image/png;base64,AA=="]);
  assert.equal(network.requests[0].headers.authorization, "Bearer secret");
});

test("a command waits as long as the server asks it to", async () => {
  network.answers.push(json(503, { code: "draining" }, { "retry-after": "3" }), json(200, { id: "r1" }));
  const run = connect("s", { base }).send("Hello");
  await pass(2_999);
  assert.equal(network.requests.length, 1);
  await pass(1);
  assert.equal(await run, "r1");
});

test("a server that can't be reached is given up after six attempts", async () => {
  const run = connect("s", { base }).send("Hello");
  const rejected = assert.rejects(run, { code: "unreachable", message: "Failed to fetch", final: false });
  await pass(20_000);
  await rejected;
  assert.equal(network.requests.length, 6);
});

test("cancel means the run that the messages told of, also when it is tried again", async () => {
  const { session, socket } = await opened();
  const queued = { type: "run_queued", run_id: "r2", number: 2, ahead: 1 };
  socket.deliver({ type: "stream_start", id: "1-1", run_id: "r1" }, queued);
  await settled();
  network.answers.push(new TypeError("Failed to fetch"), json(202, {}));
  const done = session.cancel();
  await settled();
  socket.deliver({ type: "stream_end", id: "1-2" }, { type: "stream_start", id: "2-1", run_id: "r2" });
  await pass(250);
  await done;
  const path = `${base}/sessions/s/runs/r1/cancel`;
  assert.deepEqual(network.requests.map(({ url }) => url), [path, path]);
});

test("cancel asks which run is in progress where messages did not tell", async () => {
  network.answers.push(json(200, { active_run: "r7" }), json(202, {}));
  await connect("s", { base }).cancel();
  assert.deepEqual(network.requests.map(({ url }) => url), [`${base}/sessions/s`, `${base}/sessions/s/runs/r7/cancel`]);
});

test("cancel without a run in progress does nothing", async () => {
  network.answers.push(json(200, { active_run: null }));
  await connect("s", { base }).cancel();
  assert.equal(network.requests.length, 1);
});

test("commands of a closed session still work", async () => {
  const { session } = await opened();
  session.close();
  network.answers.push(json(202, { id: "r1" }));
  assert.equal(await session.send("Hello"), "r1");
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

test("a command that is not answered is given up after ten seconds, and sent again under the same key", async (t) => {
  const timeout = (delay) => {
    const late = new AbortController();
    setTimeout(() => late.abort(new DOMException("too late", "TimeoutError")), delay);
    return late.signal;
  };
  mock.method(AbortSignal, "timeout", timeout);
  t.after(() => mock.restoreAll());
  network.answers.push(hanging(), json(202, { id: "r1" }));
  const run = connect("s", { base }).send("Hello");
  await pass(9_999);
  assert.equal(network.requests.length, 1);
  await pass(500);
  assert.equal(await run, "r1");
  const [first, second] = network.requests.map(({ body }) => JSON.parse(body).idempotency_key);
  assert.equal(first, second);
});

test("what is not Runcast's answer starts no run", async () => {
  for (const answer of [() => json(200, { status: "ok" }), () => json(200, { id: 7 })]) {
    network.answers = [answer()];
    await assert.rejects(connect("s", { base }).send("Hello"), { name: "RuncastError", code: "unreachable" });
  }
  network.answers = [new Response("<p>Log in to the Wi-Fi</p>"), json(202, { id: "r1" })];
  const run = connect("s", { base }).send("Hello");
  await pass(250);
  assert.equal(await run, "r1");
  network.answers = [new Response("<p>Log in to the Wi-Fi</p>")];
  await assert.rejects(createSession({ base }), { name: "RuncastError", code: "unreachable" });
});

test("a command follows no redirect, which could make a question of it", async () => {
  network.answers.push(json(202, { id: "r1" }), json(200, { active_run: null }));
  const session = connect("s", { base });
  await session.send("Hello");
  await session.cancel();
  assert.deepEqual(network.requests.map(({ redirect }) => redirect), ["error", undefined]);
});
