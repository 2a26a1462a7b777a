/** Pauses between attempts: they grow, are never the same for two clients, and end early when there is news. */

import { FIRST_DELAY, LAST_DELAY, LONGEST_WAIT } from "./patience.js";

/** @param {any} error what went wrong: the server may have asked for a wait @param {number} failures so far @param {number} [first] */
export const pauseAfter = (error, failures, first = FIRST_DELAY) =>
  Math.max(Math.min(LONGEST_WAIT, error?.wait || 0), Math.min(LAST_DELAY, first * 2 ** failures) * (0.5 + Math.random() / 2));

/** Ends early when aborted, or when the browser is back online. @param {number} delay @param {AbortSignal} signal */
export const sleep = (delay, signal) =>
  signal.aborted ||
  new Promise((resolve) => {
    const woken = new AbortController();
    const wake = () => {
      clearTimeout(timer);
      woken.abort();
      resolve(0);
    };
    const timer = setTimeout(wake, delay);
    signal.addEventListener("abort", wake, woken);
    globalThis.addEventListener?.("online", wake, woken);
  });
