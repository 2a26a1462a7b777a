/** "Copy as": the page's session, to go on with elsewhere. */

import { signal } from "@preact/signals";
import { html } from "../html.js";
import { snippets } from "./snippets.js";
import { attached } from "./attachments.js";
import { access, connection, conversation, draft, drawn, sessionId } from "./state.js";

const what = signal("follow");
const copied = signal(/** @type {null | {language: string, text: string, kept: boolean, images: number}} */ (null));

/** The message that a copied start says: what is being written, or else what was said last. */
function meant() {
  if (draft.value.trim()) {
    const ids = attached.value.flatMap(({ id }) => id ?? []);
    return { content: draft.value, files: ids, images: attached.value.filter(({ url }) => url).length };
  }
  const { content, files, images } = conversation.last?.input ?? { content: "Hello", files: [], images: 0 };
  return { content, files: files.map(({ id }) => id), images };
}

async function copy(language) {
  const { images, ...message } = meant();
  const place = {
    base: new URL(".", document.baseURI).href,
    session: sessionId.value ?? "",
    after: connection.after ?? "0",
    ...message,
    guarded: Boolean(access.token),
  };
  const text = snippets[language][what.value](place);
  const kept = await Promise.resolve(navigator.clipboard?.writeText(text)).then(
    () => Boolean(navigator.clipboard),
    () => false,
  );
  copied.value = { language, text, kept, images: what.value === "start" ? images : 0 };
}

/** Images are too long for what people paste. */
const left = (images) => (images ? `, without ${images === 1 ? "its image" : `its ${images} images`}` : "");

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
        ${copied.value.kept ? `Copied as ${copied.value.language}` : "To copy by hand"}${left(copied.value.images)}:
      </p>
      <pre id="snippet" tabindex="0">${copied.value.text}</pre>`
    }
  </section>`;
}
