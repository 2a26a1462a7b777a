/** "Copy as": the page's session, to go on with elsewhere. */

import { signal } from "@preact/signals";
import { html } from "../html.js";
import { snippets } from "./snippets.js";
import { access, connection, conversation, draft, drawn, sessionId } from "./state.js";

const what = signal("follow");
const copied = signal(/** @type {null | {language: string, text: string, kept: boolean}} */ (null));

async function copy(language) {
  const place = {
    base: new URL(".", document.baseURI).href,
    session: sessionId.value ?? "",
    after: connection.after ?? "0",
    content: draft.value || (conversation.turns.at(-1)?.input?.content ?? "Hello"),
    guarded: Boolean(access.token),
  };
  const text = snippets[language][what.value](place);
  const kept = await Promise.resolve(navigator.clipboard?.writeText(text)).then(
    () => Boolean(navigator.clipboard),
    () => false,
  );
  copied.value = { language, text, kept };
}

export function Copying() {
  drawn.conversation.value; // read, so that this is drawn anew
  const none = !sessionId.value;
  return html`<section id="copying" aria-labelledby="copying-title">
    <h2 id="copying-title">Copy as</h2>
    <div class="row">
      <select aria-label="What to copy" value=${what} onChange=${({ target }) => (what.value = target.value)}>
        <option value="follow">Follow from here</option>
        <option value="start">Start a run</option>
      </select>
      ${Object.keys(snippets).map(
        (language) =>
          html`<button
            key=${language}
            type="button"
            disabled=${none}
            onClick=${() => copy(language)}
          >
            ${language}
          </button>`,
      )}
    </div>
    ${
      copied.value &&
      html`<p class="quiet" role="status">
        ${copied.value.kept ? `Copied as ${copied.value.language}:` : "To copy by hand:"}
      </p>
      <pre id="snippet" tabindex="0">${copied.value.text}</pre>`
    }
  </section>`;
}
