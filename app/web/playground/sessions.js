/** The caller's sessions, newest first: to go to, to begin, to delete. */

import { signal } from "@preact/signals";
import { request } from "../client.js";
import { html } from "../html.js";
import { access, go, sessionId } from "./state.js";

const PAGE = 30;
const list = signal(
  /** @type {{id: string, title: string | null, profile: string, active_run: string | null}[]} */ ([]),
);
const next = signal(/** @type {string | null} */ (null));
const doomed = signal("");
const known = signal(false);

/** Reads as much of the list again as is shown. */
export async function loadSessions() {
  const limit = Math.min(100, Math.max(PAGE, list.value.length));
  const page = await request(`sessions?limit=${limit}`, access);
  known.value = true;
  list.value = page.items;
  next.value = page.next;
}

async function loadMore() {
  const page = await request(`sessions?limit=${PAGE}&cursor=${encodeURIComponent(next.value ?? "")}`, access);
  const there = new Set(list.value.map(({ id }) => id));
  list.value = [...list.value, ...page.items.filter(({ id }) => !there.has(id))];
  next.value = page.next;
}

async function remove(id) {
  doomed.value = "";
  await request(`sessions/${encodeURIComponent(id)}`, access, { method: "DELETE" });
  list.value = list.value.filter((session) => session.id !== id);
  if (id === sessionId.value) go(null);
}

/** The session that is shown, as the list knows it. */
export const current = () => list.value.find(({ id }) => id === sessionId.value);

/** @param {{chosen: () => void}} props told when the reader has gone to a session */
export function Sessions({ chosen }) {
  const leave = (event, id) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    go(id);
    chosen();
  };
  return html`<nav id="sessions" aria-label="Sessions">
    <h2>Sessions</h2>
    <ul>
      ${list.value.map((session) => html`<${Entry} key=${session.id} session=${session} leave=${leave} />`)}
    </ul>
    ${known.value && list.value.length === 0 && html`<p class="quiet">None yet.</p>`}
    ${next.value && html`<button type="button" onClick=${() => access.attempt(loadMore)}>Earlier ones</button>`}
  </nav>`;
}

function Entry({ session, leave }) {
  const { id, title, active_run } = session;
  const name = title || "New session";
  const mine = id === sessionId.value;
  const asked = doomed.value === id;
  return html`<li>
    <a
      href="?session=${encodeURIComponent(id)}"
      title=${name}
      aria-current=${mine ? "page" : undefined}
      onClick=${(event) => leave(event, id)}
    >
      ${active_run && html`<span class="live" role="img" aria-label="running"></span>`}${name}
    </a>
    ${
      asked
        ? html`<button
          type="button"
          class="danger"
          ref=${(button) => document.activeElement === document.body && button?.focus() /* what was pressed is gone */}
          onClick=${() => access.attempt(() => remove(id))} onBlur=${() => (doomed.value = "")}
        >
          Really?
        </button>`
        : html`<button
          type="button"
          class="plain"
          aria-label=${`Delete ${name}`}
          title="Delete"
          onClick=${() => (doomed.value = id)}
        >
          ×
        </button>`
    }
  </li>`;
}
