/** Following by the browser's own EventSource, which reconnects by itself and is seen in its developer tools. */

/**
 * @import {locate} from "./http.js"
 * @import {inbox} from "./inbox.js"
 * @import {eventStream} from "./streamed.js"
 * @import {ticketOf} from "./tickets.js"
 * @import {Line} from "./line.js"
 * @import {Loose} from "./messages.js"
 */

/**
 * A module of its own, loaded by those who ask for it, which is given what the client has anyway.
 *
 * @param {Line} line
 * @param {AbortSignal} cut
 * @param {typeof locate} locate
 * @param {typeof inbox} inbox
 * @param {typeof eventStream} eventStream
 * @param {typeof ticketOf} ticketOf
 * @returns {AsyncGenerator<Loose, void>} messages until it gives up
 */
export async function* overEventSource(line, cut, locate, inbox, eventStream, ticketOf) {
  const ticket = await ticketOf(line, cut);
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
