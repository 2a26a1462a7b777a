/** Following over SSE, read with fetch: it can set headers, and see why it is refused. */

import { unreachable } from "./error.js";
import { call } from "./http.js";
import { sseParser } from "./sse.js";
import { within } from "./patience.js";

/** @import {Line} from "./line.js" */
/** @import {Loose} from "./messages.js" */

/** @param {Line} line @param {AbortSignal} cut @returns {AsyncGenerator<Loose, void>} the messages of one connection */
export async function* overFetch(line, cut) {
  const body = await within(line, eventStream(line, cut));
  if (!body) return;
  line.tell("open");
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  const parse = sseParser();
  for (;;) {
    const { done, value } = await within(line, reader.read());
    if (done) return;
    for (const [name, text] of parse(value)) {
      if (name === "retry") line.delay = +text;
      if (name === "data") yield JSON.parse(text);
    }
  }
}

/** @param {Line} line @param {AbortSignal} signal @returns {Promise<ReadableStream<Uint8Array<ArrayBuffer>> | null | void>} nothing if it has ended: 204 */
export async function eventStream(line, signal) {
  const response = await call(line.query(line.events), line.options, { signal, cache: "no-store" });
  if (response.status === 204) return line.close(); // a browser may give it an empty body
  if (!/event-stream/.test(/** @type {string} */ (response.headers.get("content-type")))) throw unreachable("No event stream");
  return response.body;
}
