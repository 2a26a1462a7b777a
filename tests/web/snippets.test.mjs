import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import test from "node:test";

import { snippets } from "../../app/web/playground/snippets.js";

const place = { base: "http://runcast.test/", session: "s", after: "1-2", content: "Hello", files: ["file_1"], guarded: false };
const all = (given) => Object.values(snippets).flatMap((language) => Object.values(language).map((write) => write(given)));

test("every snippet names the session, and where a token is to come from if one is needed", () => {
  for (const text of all(place)) assert.ok(text.includes("http://runcast.test/") && !/token/i.test(text), text);
  for (const text of all({ ...place, guarded: true })) assert.match(text, /RUNCAST_TOKEN|YOUR TOKEN/);
});

test("a session's id in an address that somebody made up stays an argument of the command", () => {
  const hostile = "x'; echo hacked; '";
  for (const write of Object.values(snippets.curl)) {
    const text = write({ ...place, session: hostile, content: hostile }).replace(/^curl/, "printf '%s\\n'");
    const { stdout, status } = spawnSync("sh", ["-c", text], { encoding: "utf8" });
    assert.equal(status, 0);
    assert.ok(!stdout.split("\n").includes("hacked"), stdout);
  }
});

test("what would steer a terminal that it is pasted into is escaped", () => {
  const steers = "it's\x7f; echo hacked; \x9b2J";
  for (const text of all({ ...place, content: steers })) assert.doesNotMatch(text, /[\x7f-\x9f]/);
});
