/** What a page shows the server where it asks who calls, and what it says to the reader when something went wrong. */

import { signal } from "@preact/signals";
import { html } from "./html.js";
import { incidentOf, noteIncidents } from "./incidents.js";

noteIncidents();

/** Asks something of the tab's storage, which a browser may withhold. */
function storage(ask) {
  try {
    return ask(sessionStorage);
  } catch {
    return null;
  }
}

/** What goes with every request: kept for this tab. */
export class Access {
  notice = signal("");
  asking = signal(false);

  /** @param {string} kept the name under which the token is kept */
  constructor(kept) {
    this.kept = `${kept} ${new URL(".", location.href).pathname}`; // another gateway of this origin has its own
    this.token = storage((kept) => kept.getItem(this.kept)) || undefined;
  }

  /** Runs what somebody asked for, and says why it failed. @param {() => unknown} action @returns {Promise<boolean>} */
  async attempt(action) {
    this.notice.value = "";
    try {
      await action();
      return true;
    } catch (error) {
      this.complain(error);
      return false;
    }
  }

  /** Says what went wrong, and asks for a token where one is missing. */
  complain(error) {
    this.notice.value = told(error);
    if (error.code === "unauthenticated") this.asking.value = true;
  }

  /** @param {string} token @param {() => unknown} check fails if it does not open anything */
  enter(token, check) {
    this.token = token.trim() || undefined;
    return this.attempt(async () => {
      await check();
      storage((kept) => kept.setItem(this.kept, this.token ?? ""));
      this.asking.value = false;
    });
  }
}

const PLAIN = {
  unreachable: "The server can’t be reached",
  draining: "The server is shutting down; what you asked for was not done",
  rate_limited: "That was too much at once; try again in a moment",
  run_active: "A run is in progress",
  queue_full: "As many messages wait already as may",
  session_not_found: "This session is not there, or not yours",
  too_large: "That is too large",
};

/** What went wrong, for people; the code and the incident are for whoever helps them. */
export function told(error) {
  const { code, message } = error;
  if (!code) return message || String(error);
  const plain = Object.hasOwn(PLAIN, code) ? `${PLAIN[code]}: ` : "";
  const incident = incidentOf(error);
  return `${plain}${message || code} (${incident ? `${code}, incident ${incident}` : code})`;
}

/** A form for the token, shown when one is asked for. */
export function TokenForm({ access, check, hint }) {
  const enter = (event) => {
    event.preventDefault();
    const field = event.target.querySelector("input");
    access.enter(field.value, check).then((opened) => opened && (field.value = ""));
  };
  return html`<form id="access" class="row" hidden=${!access.asking.value} onSubmit=${enter}>
    <label for="token">Token</label>
    <input
      id="token"
      type="password"
      autocomplete="off"
      spellcheck=${false}
      placeholder=${hint}
      ref=${(field) => field && access.asking.value && field.focus()}
    />
    <button>Use it</button>
  </form>`;
}

/** What went wrong last. */
export function Notice({ access }) {
  return html`<p id="notice" role="alert" hidden=${!access.notice.value}>${access.notice}</p>`;
}
