/** The conversation: each run's message and what came of it, and what waits for its turn. */

import { useEffect, useLayoutEffect, useReducer, useRef } from "preact/hooks";
import { stick } from "./element.js";
import { html } from "../html.js";
import { painter } from "./painter.js";
import { Parts } from "./parts.js";
import { access, connection, conversation, draft, drawn, readWaiting, sent, sessionId } from "./state.js";

const OWN = 500; // milliseconds within which a message of this page is answered, and so known
const EXAMPLES = [
  "What can you do?",
  "/length 300 /rate 40 Tell me a long story",
  "/fail Look something up",
  "/approve Clean up my notes",
];

/** @param {{focus: () => void, hidden: boolean}} props `focus` puts the cursor into the message */
export function Chat({ focus, hidden }) {
  const box = useRef(null);
  const content = useRef(null);
  useLayoutEffect(() => stick(box.current, content.current), []);
  drawn.conversation.value; // read, so that this is drawn anew
  const running = Boolean(conversation.active);
  const { turns, waiting, whole } = conversation;
  const away = !connection.following.value;
  const empty = !sessionId.value || (whole && !turns.length && !waiting.size);
  return html`<div
    id="chat"
    hidden=${hidden}
    role="log"
    tabindex="0"
    aria-label="Messages"
    aria-live="polite"
    aria-busy=${String(running)}
    ref=${box}
  >
    <div class="turns" ref=${content}>
      ${empty && html`<${Welcome} focus=${focus} />`}
      ${turns.map((turn) =>
        turn.kind === "gap"
          ? html`<${Gap} key=${turn.key} gap=${turn} />`
          : html`<${Turn} key=${turn.run} turn=${turn} />`,
      )}
      ${[...waiting.values()].map((run) => html`<${Waiting} key=${run.run} run=${run} away=${away} />`)}
    </div>
  </div>`;
}

function Welcome({ focus }) {
  const take = ({ target }) => {
    draft.value = target.textContent;
    focus();
  };
  return html`<div id="welcome">
    <h2>Talk to an agent, lose nothing</h2>
    <p>
      Send a message, then close this tab, press Cut or Stay away in the inspector, or open the same address elsewhere:
      everything is still there.
    </p>
    <p class="row" id="examples">
      ${EXAMPLES.map((text) => html`<button key=${text} type="button" onClick=${take}>${text}</button>`)}
    </p>
  </div>`;
}

function Turn({ turn }) {
  const [, redraw] = useReducer((count) => count + 1, 0);
  useLayoutEffect(() => {
    turn.draw = () => painter.ask(redraw);
    redraw(); // what came between the drawing and now
    return () => (turn.draw = () => {});
  }, [turn]);
  const { input, status, end, parts } = turn;
  const code = end?.code && ` (${[end.code, end.incident && `incident ${end.incident}`].filter(Boolean).join(", ")})`;
  return html`<article data-run=${turn.run} data-status=${status === "running" ? undefined : status}>
    <div class="user">
      ${input.content}
      <${Attached} input=${input} images=${sent.get(turn.run)?.images ?? []} />
    </div>
    <div class="answer" aria-busy=${String(status === "running")}><${Parts} parts=${parts} /></div>
    ${end?.text && html`<p class="end">${end.text}${code}</p>`}
  </article>`;
}

function Attached({ input, images }) {
  const names = input.files.map(({ name }) => name);
  if (input.images && !images.length) names.push(input.images === 1 ? "1 image" : `${input.images} images`);
  return html`${images.map((url) => html`<img key=${url} src=${url} alt="" />`)}
    ${names.length > 0 && html`<small>${names.join(", ")}</small>`}`;
}

function Gap({ gap: { requested, earliest } }) {
  return html`<p class="note gap">
    What came before ${earliest} is no longer kept (asked for: after ${requested}). What follows is everything that is.
  </p>`;
}

function Waiting({ run: { run, number, ahead }, away }) {
  useEffect(() => {
    const timer = setTimeout(() => sent.has(run) || readWaiting().catch(() => {}), OWN);
    return () => clearTimeout(timer);
  }, [run]);
  const drop = async () => {
    await connection.session.cancel(run);
    conversation.forget(run);
  };
  const { input, images = [] } = sent.get(run) ?? {};
  const behind = ahead === 1 ? "the run before it" : `${ahead} runs`;
  return html`<article class="waiting" data-run=${run}>
    <div class="user">
      ${input?.content ?? `Run ${number}`}
      ${input && html`<${Attached} input=${input} images=${images} />`}
    </div>
    ${
      away
        ? html`<p class="note">Sent; shown when you resume.</p>`
        : ahead > 0 &&
          html`<p class="note row">
            Waits for ${behind} to end.
            <button type="button" onClick=${() => access.attempt(drop)}>Don’t run it</button>
          </p>`
    }
  </article>`;
}
