/** The playground: sessions on one side, the conversation in the middle, the wire on the other side. */

import { effect, signal } from "@preact/signals";
import { render } from "preact";
import { useRef } from "preact/hooks";
import { Notice, TokenForm } from "../access.js";
import { Chat } from "./chat.js";
import { Composer, dropping, stop } from "./composer.js";
import { Copying } from "./copying.js";
import { html } from "../html.js";
import { Inspector } from "./inspector.js";
import { Help, Pages } from "./help.js";
import { useKeys } from "./keyboard.js";
import { Network, State } from "./network.js";
import { current, loadSessions, Sessions } from "./sessions.js";
import { access, addressed, begin, conversation, drawn, loadProfiles, sessionId, show } from "./state.js";
import { profile, profiles } from "./state.js";

const narrow = matchMedia("(max-width: 1000px)");
const sessionsOpen = signal(!narrow.matches);
const wireOpen = signal(!narrow.matches);

async function load() {
  await loadProfiles();
  await loadSessions();
}

/** After a token was entered: everything that was asked for without it. */
async function enter() {
  await load();
  if (sessionId.value) show(sessionId.value);
  document.getElementById("content")?.focus();
}

function App() {
  const locked = access.asking.value && !profiles.value.length; // nothing can be done without a token
  const field = useRef(null);
  const dialog = useRef(null);
  const focus = () => field.current?.focus();
  const help = () => dialog.current.showModal();
  const make = () => access.attempt(begin).then(focus);
  useKeys({
    "/": focus,
    n: make,
    s: () => (sessionsOpen.value = !sessionsOpen.value),
    i: () => (wireOpen.value = !wireOpen.value),
    "?": help,
    Escape: stop,
  });
  const create = (event) => {
    event.preventDefault();
    make();
  };
  const chosen = () => {
    if (narrow.matches) sessionsOpen.value = false;
    focus();
  };
  return html`<header>
      <button
        id="sessions-fold"
        type="button"
        class="plain"
        hidden=${locked}
        aria-label="Sessions"
        aria-expanded=${String(sessionsOpen.value)}
        aria-controls="sessions-side"
        onClick=${() => (sessionsOpen.value = !sessionsOpen.value)}
      >
        ☰
      </button>
      <h1><img src="icon.svg" alt="" width="24" height="24" /><span>Runcast</span></h1>
      ${!locked && html`<${State} />`}
      <form id="new" class="row" hidden=${locked} onSubmit=${create}>
        <label class="quiet" for="profile">Agent</label>
        <select id="profile" value=${profile} onChange=${({ target }) => (profile.value = target.value)}>
          ${profiles.value.map(
            ({ name, description }) => html`<option key=${name} value=${name} title=${description}>${name}</option>`,
          )}
        </select>
        <button>New session</button>
      </form>
      <button
        id="fold"
        type="button"
        hidden=${locked}
        aria-expanded=${String(wireOpen.value)}
        aria-controls="wire"
        onClick=${() => (wireOpen.value = !wireOpen.value)}
      >
        Inspector
      </button>
      <button
        id="help"
        type="button"
        class="plain"
        aria-label="Help"
        title="Help"
        onClick=${help}
      >
        ?
      </button>
    </header>
    <main ...${dropping}>
      <div id="sessions-side" hidden=${locked || !sessionsOpen.value}>
        <${Sessions} chosen=${chosen} />
        <${Pages} />
      </div>
      <section id="talk" aria-label="Conversation" data-locked=${String(locked)}>
        <${Chat} focus=${focus} hidden=${locked} />
        ${locked && html`<h2 id="locked">This server asks who calls</h2>`}
        <${Notice} access=${access} />
        <${TokenForm} access=${access} check=${enter} hint="API key or JWT" />
        <${Composer} field=${field} hidden=${locked} />
      </section>
      <div id="wire" hidden=${locked || !wireOpen.value}><${Network} /><${Inspector} /><${Copying} /></div>
    </main>
    <${Help} dialog=${dialog} />`;
}

// The list follows what happens here: a session begins, is named by its first message, its run ends.
let known = "";
effect(() => {
  drawn.conversation.value; // read, so that this runs anew
  const now = `${sessionId.value} ${conversation.turns.length} ${Boolean(conversation.active)}`;
  if (now === known) return;
  known = now;
  loadSessions().catch(() => {}); // whoever asked for something is told why it failed
});
effect(() => {
  document.title = current()?.title ? `${current()?.title} · Runcast` : "Runcast";
});

// Others may have begun some meanwhile.
document.addEventListener("visibilitychange", () => document.hidden || loadSessions().catch(() => {}));
window.addEventListener("popstate", () => show(addressed()));
render(html`<${App} />`, document.body);
access.attempt(loadProfiles);
if (sessionId.value) show(sessionId.value);
