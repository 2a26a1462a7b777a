/** A session: one line to the server that is mended whenever it breaks. */

import { commands } from "./commands.js";
import { locate } from "./http.js";
import { inbox } from "./inbox.js";
import { newLine } from "./line.js";
import { isTerminal } from "./messages.js";
import { pauseAfter, sleep } from "./pauses.js";
import { eventStream, overFetch } from "./streamed.js";
import { ticketOf } from "./tickets.js";
import { overWebSocket } from "./websocket.js";

/** @import {ConnectOptions, Transport} from "../client.js" */
/** @import {Line} from "./line.js" */
/** @import {Loose} from "./messages.js" */

/** @type {Record<string, (line: Line, cut: AbortSignal) => AsyncGenerator<Loose, void>>} */
const CARRIERS = {
  websocket: overWebSocket,
  sse: overFetch,
  async *eventsource(line, cut) {
    yield* (await import("./event_source.js")).overEventSource(line, cut, locate, inbox, eventStream, ticketOf);
  },
};

/** @param {string} id @param {ConnectOptions} [options] */
export function connect(id, options = {}) {
  const line = newLine(id, options);
  const { signal } = options;
  signal?.addEventListener("abort", line.close, line.stop);
  if (signal?.aborted) line.close();
  return Object.assign(line, commands(line), { messages: messagesOf(line) });
}

/** @param {Line} line @returns {AsyncGenerator<Loose, void>} */
async function* messagesOf(line) {
  const stop = line.stop.signal;
  let failures = 0;
  try {
    while (!stop.aborted) {
      const cut = (line.cut = new AbortController()).signal;
      let error;
      try {
        for await (const message of connection(line, cut)) {
          if (cut.aborted) break;
          const ends = isTerminal(message);
          if (message.id) line.run = ends ? undefined : (message.run_id ?? line.run);
          if (!line.after) line.began = message.position;
          line.after = message.id ?? message.position ?? line.after; // `caught_up` says it, too
          failures = 0;
          yield message;
          line.keep();
          if (line.options.run && ends) return;
        }
      } catch (reason) {
        error = /** @type {any} */ (reason);
      }
      line.drop();
      if (error?.final) throw error;
      if (stop.aborted) return;
      const delay = pauseAfter(error, failures++, line.delay);
      line.tell("waiting", { delay, error });
      await sleep(delay, stop);
    }
  } finally {
    line.close();
    line.tell("closed");
  }
}

/** @param {Line} line @param {AbortSignal} cut @returns {AsyncGenerator<Loose, void>} the messages of one connection */
async function* connection(line, cut) {
  const { transport = "auto", run, share } = line.options;
  if (share && navigator.locks) return yield* (await import("./shared.js")).overShared(line, cut, connect);
  const any = transport === "auto" ? ["websocket", "sse"] : [transport];
  const asked = run && transport !== "eventsource" ? ["sse"] : any; // WebSockets follow sessions
  let error;
  for (const name of line.working ?? asked) {
    line.transport = /** @type {Transport} */ (name);
    line.working = undefined;
    line.tell("connecting");
    try {
      for await (const message of CARRIERS[name](line, cut)) {
        line.working = [name];
        yield message;
      }
      return;
    } catch (reason) {
      error = /** @type {any} */ (reason);
      if (line.working || error.final || cut.aborted) break;
    }
  }
  throw error;
}
