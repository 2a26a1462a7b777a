/** What came of a run, part by part. Texts that grow are written by hand; preact draws the rest. */

import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { html } from "../html.js";
import { Growing } from "./markdown.js";
import { painter } from "./painter.js";
import { access, connection } from "./state.js";

const pretty = (value) => (typeof value === "string" ? value : JSON.stringify(value, null, 2));

/** Keeps an element's text up to a part's: `begin` gets the element, and answers who adds to it. */
function useGrowing(part, begin) {
  const box = useRef(null);
  useLayoutEffect(() => {
    const add = begin(box.current);
    let end = 0;
    const draw = () => {
      if (end === part.text.length) return;
      const more = part.text.slice(end);
      end = part.text.length;
      add(more);
    };
    draw();
    part.draw = () => painter.ask(draw);
    return () => (part.draw = undefined);
  }, [part]);
  return box;
}

function Text({ part }) {
  const box = useGrowing(part, (element) => {
    const growing = new Growing(element);
    return (more) => growing.add(more);
  });
  return html`<div class="prose" ref=${box}></div>`;
}

function Thinking({ part }) {
  const box = useGrowing(part, (element) => {
    const node = element.appendChild(document.createTextNode(""));
    return (more) => node.appendData(more);
  });
  return html`<details class="thinking">
    <summary>Thinking</summary>
    <div class="prose" ref=${box}></div>
  </details>`;
}

function Tool({ part: { tool, args, status, result } }) {
  return html`<details class="tool" data-status=${status}>
    <summary>${tool}</summary>
    <pre>${pretty(args)}</pre>
    ${result !== null && html`<pre>${result}</pre>`}
  </details>`;
}

function Approval({ part: { call, tool, args, reason, answer } }) {
  const comment = useRef(null);
  const [busy, setBusy] = useState(false);
  const decide = async (approved) => {
    setBusy(true);
    const said = comment.current?.value.trim() || undefined;
    const done = await access.attempt(() => connection.session.approve(call, approved, said));
    setBusy(false);
    if (done) document.getElementById("content")?.focus(); // the buttons are about to go
  };
  const told = answer && `${answer.approved ? "Allowed" : "Refused"}${answer.comment ? `: ${answer.comment}` : ""}`;
  return html`<div class="approval" role="group" aria-label="The agent asks">
    <p>May I call ${tool}?${reason ? ` (${reason})` : ""}</p>
    <pre>${pretty(args)}</pre>
    ${
      told
        ? html`<p class="note">${told}</p>`
        : html`<div class="choice row">
          <input ref=${comment} maxlength="2048" placeholder="Comment, if you like" aria-label="Comment" />
          <button type="button" class="primary" disabled=${busy} onClick=${() => decide(true)}>Allow</button>
          <button type="button" disabled=${busy} onClick=${() => decide(false)}>Refuse</button>
        </div>`
    }
  </div>`;
}

const Custom = ({ part: { name, data } }) =>
  html`<details class="custom"><summary>${name}</summary><pre>${pretty(data)}</pre></details>`;

const Note = ({ part: { text } }) => html`<p class="note">${text}</p>`;

const Group = ({ part: { agent, parts } }) =>
  html`<div class="subagent" role="group" aria-label=${`Subagent ${agent}`}>
    <span class="agent">${agent}</span>
    <${Parts} parts=${parts} />
  </div>`;

const BY_KIND = {
  text: Text,
  thinking: Thinking,
  tool: Tool,
  approval: Approval,
  custom: Custom,
  note: Note,
  group: Group,
};

/** @param {{parts: import("./turn.js").Part[]}} props */
export const Parts = ({ parts }) =>
  // The answer is given beside its part, which stays the same: by its change a component is known to be out of date.
  parts.map((part) => html`<${BY_KIND[part.kind]} key=${part.key} part=${part} answer=${part.answer} />`);
