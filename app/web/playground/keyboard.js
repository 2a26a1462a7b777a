/** What the keyboard does. */

import { useEffect, useRef } from "preact/hooks";

/** For people: keys and what they do, by where they do it. */
export const KEYS = {
  "In the message": [
    ["Enter", "send; while a run is in progress, queue"],
    ["Shift Enter", "a new line"],
    ["Ctrl Enter", "interrupt the run, and go first"],
    ["?", "this list, as long as nothing is written"],
  ],
  "Outside of it": [
    ["/", "to the message"],
    ["n", "a new session"],
    ["s", "the sessions"],
    ["i", "the inspector"],
    ["↑ ↓", "from frame to frame, in the inspector"],
    ["?", "this list"],
  ],
  Everywhere: [["Escape", "stop the run"]],
};

const TYPED = "input, textarea, select";

/** Whether a key goes into what somebody writes. */
function isTyped({ key, target }) {
  if (key === "Escape" || !target.closest?.(TYPED)) return false;
  return key !== "?" || target.id !== "content" || target.value !== "";
}

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
      if (isTyped(event)) return;
      const act = Object.hasOwn(latest.current, event.key) && latest.current[event.key];
      if (!act) return;
      event.preventDefault();
      act();
    };
    document.addEventListener("keydown", pressed);
    return () => document.removeEventListener("keydown", pressed);
  }, []);
}
