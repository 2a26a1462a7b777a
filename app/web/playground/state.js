/** What the playground is about right now: the session of the address, its conversation, its frames, its proof. */

import { batch, signal } from "@preact/signals";
import { Access } from "../access.js";
import { createSession, request } from "../client.js";
import { Connection } from "./connection.js";
import { Conversation } from "./conversation.js";
import { Frames } from "./frames.js";
import { painter } from "./painter.js";
import { Proof } from "./proof.js";
import { tap } from "./tap.js";

export const access = new Access("token");
export const sessionId = signal(addressed());
export const profiles = signal(/** @type {{name: string, description: string}[]} */ ([]));
export const profile = signal("");
export const draft = signal("");

/** Changes whenever the list of turns, the proof or the frames are to be drawn anew. */
export const drawn = { conversation: signal(0), proof: signal(0), frames: signal(0) };
const redraw = Object.fromEntries(Object.entries(drawn).map(([name, count]) => [name, () => count.value++]));
const ask = (name) => () => painter.ask(redraw[name]);

export const frames = new Frames();
/** What is said in runs that have not begun, and the images that this page has sent: messages come with their count only. */
export const sent = /** @type {Map<string, {input: import("./turn.js").Input, images: string[]}>} */ (new Map());
export let conversation = new Conversation(ask("conversation"));
export let proof = new Proof(readLog, ask("proof"));

export const connection = new Connection(access, (message) => {
  conversation.show(message);
  proof.show(message);
  ask("proof")();
  dispatchEvent(new CustomEvent("runcast:message", { detail: message }));
});

tap((seen) => {
  frames.add(seen);
  ask("frames")();
});

/** The whole log of a run, at its path. */
async function readLog(path) {
  const events = [];
  for (let after = "0", done = false; !done;) {
    const page = await request(`${path}/log?after=${after}`, access);
    events.push(...page.events);
    done = page.done || page.next === null;
    after = page.next;
  }
  return events;
}

/** Looks up what the runs say that wait, and were sent by others: only the transcript has it. */
export async function readWaiting() {
  const [mine, id] = [conversation, sessionId.value];
  for (let cursor = ""; cursor !== null;) {
    const page = await request(`sessions/${encodeURIComponent(id)}/messages?limit=200${cursor}`, access);
    if (mine !== conversation) return;
    for (const { role, run_id, ...input } of page.items)
      if (role === "user" && mine.waiting.has(run_id) && !sent.has(run_id)) sent.set(run_id, { input, images: [] });
    cursor = page.next && `&cursor=${encodeURIComponent(page.next)}`;
  }
  ask("conversation")();
}

/** The session that the address names: as `?session=`, which one behind a `#` becomes. */
export function addressed() {
  const { searchParams, hash } = new URL(location.href);
  const behind = new URLSearchParams(hash.slice(1).replace(/^(session=)?/, "session=")).get("session");
  if (behind) history.replaceState(null, "", addressOf(behind));
  return behind || searchParams.get("session");
}

function addressOf(id) {
  return id ? `?session=${encodeURIComponent(id)}` : location.pathname;
}

/** Shows a session from its beginning, or none. */
export function show(id) {
  connection.leave();
  conversation = new Conversation(ask("conversation"));
  proof = new Proof(readLog, ask("proof"));
  frames.clear();
  sent.clear();
  batch(() => {
    sessionId.value = id;
    for (const count of Object.values(drawn)) count.value++;
  });
  if (id) connection.open(id);
}

/** Shows a session, and puts it into the address. */
export function go(id) {
  history.pushState(null, "", addressOf(id));
  show(id);
}

/** Makes a session and goes there. */
export async function begin() {
  const { id } = await createSession({ token: access.token, profile: profile.value || undefined });
  go(id);
}

export async function loadProfiles() {
  const { items } = await request("profiles", access);
  profiles.value = items;
  profile.value ||= items.find((item) => item.default)?.name ?? items[0]?.name ?? "";
}
