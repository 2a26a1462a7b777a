/** Following by the browser's own EventSource, which reconnects by itself and is seen in its developer tools. */

import { credentials, locate, request } from "./http.js";
import { inbox } from "./inbox.js";
import { eventStream } from "./streamed.js";
import { FRESH } from "./patience.js";

/** @import {Line} from "./line.js" */
/** @import {Loose} from "./messages.js" */

/** @param {Line} line @param {AbortSignal} cut @returns {AsyncGenerator<Loose, void>} messages until it gives up */
export async function* overEventSource(line, cut) {
  const ticket = await (line.options.token ? minted(line) : (await credentials(line.options))[1]);
  if (cut.aborted) return;
  const source = new EventSource(locate(line.query(line.events), line.options, ticket));
  const { push, end, messages } = inbox(cut, () => source.close());
  source.onopen = () => line.tell("open");
  source.onmessage = push;
  source.onerror = () => (source.readyState === 2 ? end() : line.tell("waiting"));
  yield* messages;
  if (cut.aborted) return;
  // Refused, it knows no reason: an end, a ticket that has expired, or whatever a request of our own is told.
  line.until = 0;
  (await eventStream(line, cut))?.cancel();
}

/** @param {Line} line @returns {Promise<string | undefined>} a ticket that the token makes, or has made */
async function minted(line) {
  if (!(Date.now() < /** @type {number} */ (line.until))) {
    const made = await request("tickets", line.options, { method: "POST", body: { session_id: line.id } });
    line.ticket = made.ticket;
    line.until = Date.now() + made.expires_in * FRESH;
  }
  return line.ticket;
}
