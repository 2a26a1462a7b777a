/** What a session's connections, one after the other, have in common. */

import { locate, part } from "./http.js";

/** @import {ConnectOptions, State, Transport} from "../client.js" */

/**
 * @typedef {object} Line
 * @property {string} id  of the session
 * @property {ConnectOptions} options
 * @property {string} path  of the session
 * @property {string} events  the path of its SSE stream, or of the run's
 * @property {string | undefined} after  where the messages given so far end
 * @property {string} [began]  where following began, if that was after everything there was
 * @property {string} [run]  the run in progress, as far as messages have told
 * @property {Transport} transport  that is in use, or tried
 * @property {string[]} [working]  the transport that is tried first, since it worked
 * @property {string} [made]  the ticket that the token made
 * @property {number} [until]  when that is no good any more
 * @property {number} [delay]  milliseconds of the first pause, if the server has a wish
 * @property {AbortController} stop  for good
 * @property {AbortController} [cut]  this connection
 * @property {(path: string) => string} query  a path with where to begin
 * @property {() => void} keep  remember, if it is asked for, where the page has come to
 * @property {(state: State["state"], more?: Partial<State>) => void} tell
 * @property {() => void} drop
 * @property {() => void} close
 */

/** @param {string} id @param {ConnectOptions} options */
export function newLine(id, options) {
  const { run, remember, after } = options;
  const path = `sessions/${part(id)}`;
  const events = `${path}/${run ? `runs/${part(run)}/` : ""}events`;
  const key = remember && `runcast:${remember === true ? locate(events, options) : remember}`;
  const line = /** @type {Line} */ ({
    id,
    options,
    path,
    events,
    after: kept(key) || after,
    stop: new AbortController(),
    query: (path) => (line.after ? `${path}?after=${part(line.after)}` : path),
    keep: () => kept(key, line.after),
    tell: (state, more) => options.onState?.({ state, transport: line.transport, after: line.after, ...more }),
    drop: () => line.cut?.abort(),
    close() {
      line.stop.abort();
      line.drop();
    },
  });
  return line;
}

/** Storage may be full, or forbidden. @param {string | false} [key] @param {string} [position] @returns {string | undefined} */
function kept(key, position) {
  try {
    if (key && position) sessionStorage[key] = position;
    return key && sessionStorage[key];
  } catch {}
}
