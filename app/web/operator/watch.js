/** Asks for everybody's runs again and again, while somebody looks. */

import { signal } from "@preact/signals";
import { Access } from "../access.js";
import { request } from "../client.js";

const EVERY = 2_000; // milliseconds
const PAGE = 100;
const MOST_ACTIVE = 1_000;
const ACTIVE = ["running", "queued"];
export const STATUSES = [...ACTIVE, "completed", "failed", "cancelled", "interrupted"];

export const access = new Access("operator-token");
/** @type {import("@preact/signals").Signal<Record<string, any>[]>} */
export const runs = signal([]);
export const statuses = signal(new Set(STATUSES));
export const more = signal(false);
export const seen = signal(/** @type {null | Date} */ (null));
const wanted = signal(PAGE);
let asking = false;

const page = (chosen, limit, cursor) => {
  const query = new URLSearchParams([...chosen.map((status) => ["status", status]), ["limit", String(limit)]]);
  if (cursor) query.set("cursor", cursor);
  return request(`operator/runs?${query}`, access);
};

/** What is in progress, however old, and the newest of what has ended. */
export async function look() {
  const chosen = STATUSES.filter((status) => statuses.value.has(status));
  const [active, ended] = [ACTIVE, STATUSES.slice(2)].map((some) => chosen.filter((status) => some.includes(status)));
  const [now, before] = await Promise.all([pages(active, MOST_ACTIVE), pages(ended, wanted.value)]);
  runs.value = [...now.items, ...before.items];
  more.value = Boolean(before.next);
  seen.value = new Date();
}

async function pages(chosen, limit) {
  const items = [];
  let next = null;
  if (!chosen.length) return { items, next };
  do {
    const found = await page(chosen, Math.min(200, limit - items.length), next);
    items.push(...found.items);
    next = found.next;
  } while (next && items.length < limit);
  return { items, next };
}

/** Shows only runs in these states. */
export function choose(status, on) {
  const chosen = new Set(statuses.value);
  if (on) chosen.add(status);
  else chosen.delete(status);
  statuses.value = chosen;
  ask();
}

export function showMore() {
  wanted.value += PAGE;
  ask();
}

/** Asks now; says why if there is no answer. */
export async function ask() {
  if (asking || document.hidden) return;
  asking = true;
  try {
    await look();
    access.notice.value = "";
  } catch (error) {
    access.complain(error);
  } finally {
    asking = false;
  }
}

export function begin() {
  ask();
  setInterval(() => access.asking.value || ask(), EVERY);
  document.addEventListener("visibilitychange", ask);
}
