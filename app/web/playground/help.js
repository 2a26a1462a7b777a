/** Where to read on: the other pages, and a dialog that says what the keyboard does. */

import { html } from "../html.js";
import { KEYS } from "./keyboard.js";

/** The other pages of this server. */
export const Pages = () =>
  html`<nav id="pages" class="row quiet" aria-label="Pages">
    <a href="runs">All runs</a>
    <a href="schema">Reference</a>
  </nav>`;

const Keys = ({ where, keys }) =>
  html`<h3>${where}</h3>
    <dl>
      ${keys.map(([key, what]) => html`<div key=${key}><dt><kbd>${key}</kbd></dt><dd>${what}</dd></div>`)}
    </dl>`;

/** @param {{dialog: import("preact").RefObject<HTMLDialogElement>}} props */
export function Help({ dialog }) {
  return html`<dialog id="help-dialog" aria-labelledby="help-title" ref=${dialog}>
    <form method="dialog">
      <div class="row">
        <h2 id="help-title">Help</h2>
        <button class="plain" aria-label="Close" autofocus>×</button>
      </div>
      <p>
        <a href="schema">The reference</a> has every operation and message of this server, and <a href="runs">all runs</a>
        ${" "}those of everybody. The guides are in the folder docs of Runcast’s source.
      </p>
      ${Object.entries(KEYS).map(([where, keys]) => html`<${Keys} key=${where} where=${where} keys=${keys} />`)}
    </form>
  </dialog>`;
}
