/** What a page was sent and has not taken yet: it has a limit, and an end. */

import { ROOM } from "./patience.js";

/** @param {AbortSignal} cut ends it @param {() => void} close called, maybe more than once, when nothing more is wanted */
export function inbox(cut, close) {
  const waiting = /** @type {string[]} */ ([]);
  let room = ROOM;
  /** @type {((value?: unknown) => void) | undefined} */
  let wake;
  let ended = false;
  const end = () => {
    ended = true;
    close();
    wake?.();
  };
  cut.addEventListener("abort", end);
  const push = (/** @type {MessageEvent<string>} */ { data }) => {
    waiting.push(data);
    room -= data.length;
    if (room < 0) end();
    wake?.();
  };
  async function* messages() {
    for (;;) {
      for (const text of waiting.splice(0)) {
        room += text.length;
        yield JSON.parse(text);
      }
      if (waiting.length) continue;
      if (ended) return;
      await new Promise((resolve) => (wake = resolve));
    }
  }
  return { push, end, messages: messages() };
}
