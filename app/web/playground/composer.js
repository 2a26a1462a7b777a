/** The message to send: what it says, what goes with it, and what becomes of the run in progress. */

import { signal } from "@preact/signals";
import { useLayoutEffect, useRef } from "preact/hooks";
import { attach, attached, Attachments, carried } from "./attachments.js";
import { html } from "../html.js";
import { access, begin, connection, conversation, draft, drawn, sent, sessionId } from "./state.js";

const busy = signal(false);

/** @param {"queue" | "interrupt"} onConflict what happens if a run is in progress */
async function send(onConflict) {
  const content = draft.value;
  if (!content.trim() || busy.value || attached.value.some((each) => each.busy)) return;
  busy.value = true;
  try {
    if (!sessionId.value) await begin();
    const { images, files } = carried();
    const input = { content, images: 0, files: attached.value.filter(({ id }) => id).map(({ id, name }) => ({ id, name })) };
    const there = conversation;
    const run = await connection.session.send(content, { images, files, onConflict });
    sent.set(run, { input, images: images ?? [] });
    there.expect(run);
    drawn.conversation.value++;
    draft.value = "";
    attached.value = [];
  } finally {
    busy.value = false;
  }
}

/** Cancels the run in progress, if there is one. */
export const stop = () =>
  conversation.active && access.attempt(() => connection.session.cancel(conversation.active?.run));

/** @param {{field: import("preact").RefObject<HTMLTextAreaElement>, hidden: boolean}} props `field` is the text area */
export function Composer({ field, hidden }) {
  const picker = useRef(null);
  drawn.conversation.value; // read, so that this is drawn anew
  const running = Boolean(conversation.active);
  const submit = (how) => access.attempt(() => send(how)).then(() => field.current?.focus());
  useLayoutEffect(() => {
    field.current.rows = Math.min(8, draft.value.split("\n").length);
  }, [draft.value]);
  const typed = (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    submit(running && (event.ctrlKey || event.metaKey) ? "interrupt" : "queue");
  };
  const pasted = (event) => {
    if (!event.clipboardData.files.length) return;
    event.preventDefault();
    attach([...event.clipboardData.files]);
  };
  const picked = ({ target }) => {
    attach([...target.files]);
    target.value = "";
  };
  return html`<form
    id="composer"
    hidden=${hidden}
    onSubmit=${(event) => {
      event.preventDefault();
      submit("queue");
    }}
  >
    <${Attachments} />
    <div class="bar">
      <button
        type="button"
        class="plain"
        aria-label="Add images or files"
        title="Images (4, up to 5 MiB each) or files (up to 20 MiB each)"
        onClick=${() => picker.current.click()}
      >
        +
      </button>
      <input id="picker" type="file" multiple hidden ref=${picker} onChange=${picked} />
      <label class="hidden" for="content">Message</label>
      <textarea
        id="content"
        rows="1"
        maxlength="100000"
        placeholder="Message the agent"
        autofocus
        ref=${field}
        value=${draft}
        onInput=${({ target }) => (draft.value = target.value)}
        onKeyDown=${typed}
        onPaste=${pasted}
      ></textarea>
      <button
        id="send"
        class="primary"
        disabled=${busy.value}
        title=${running ? "It waits until the run has ended (Enter)" : "Enter"}
      >
        ${running ? "Queue" : "Send"}
      </button>
      ${
        running &&
        html`<button
          id="interrupt"
          type="button"
          title="Stops the run, and goes first (Ctrl+Enter)"
          onClick=${() => submit("interrupt")}
        >
        Interrupt
      </button>`
      }
      <button
        id="stop"
        class="danger"
        type="button"
        title="Escape"
        hidden=${!running}
        onClick=${() => Promise.resolve(stop()).then(() => field.current?.focus())}
      >
        Stop
      </button>
    </div>
  </form>`;
}

/** Takes files that are dropped anywhere on the page. */
export const dropping = {
  onDragOver: (event) => event.preventDefault(),
  onDrop: (event) => {
    event.preventDefault();
    attach([...event.dataTransfer.files]);
  },
};
