/** What the keyboard does, and the dialog that says so. */

import { useEffect, useRef } from "preact/hooks";
import { html } from "../html.js";

const KEYS = [
  ["Enter", "send; while a run is in progress, queue"],
  ["Shift Enter", "a new line"],
  ["Ctrl Enter", "interrupt the run, and go first"],
  ["Escape", "stop the run"],
  ["/", "to the message"],
  ["n", "a new session"],
  ["s", "the sessions"],
  ["i", "the inspector"],
  ["↑ ↓", "from frame to frame, in the inspector"],
  ["?", "this list"],
];

const TYPED = "input, textarea, select";

/**
 * Listens for keys that are not typed into something.
 * @param {Record<string, () => unknown>} keys by `KeyboardEvent.key`
 */
export function useKeys(keys) {
  const latest = useRef(keys);
  latest.current = keys;
  useEffect(() => {
    const pressed = (event) => {
      if (
        event.ctrlKey ||
        event.metaKey ||
        event.altKey ||
        event.defaultPrevented ||
        document.querySelector("dialog[open]")
      )
        return;
      if (event.key !== "Escape" && event.target.closest?.(TYPED)) return;
      const act = Object.hasOwn(latest.current, event.key) && latest.current[event.key];
      if (!act) return;
      event.preventDefault();
      act();
    };
    document.addEventListener("keydown", pressed);
    return () => document.removeEventListener("keydown", pressed);
  }, []);
}

/** @param {{dialog: import("preact").RefObject<HTMLDialogElement>}} props */
export function Shortcuts({ dialog }) {
  return html`<dialog id="shortcuts" aria-labelledby="shortcuts-title" ref=${dialog}>
    <form method="dialog">
      <h2 id="shortcuts-title">Keyboard</h2>
      <dl>
        ${KEYS.map(([key, what]) => html`<div key=${key}><dt><kbd>${key}</kbd></dt><dd>${what}</dd></div>`)}
      </dl>
      <button autofocus>Close</button>
    </form>
  </dialog>`;
}
