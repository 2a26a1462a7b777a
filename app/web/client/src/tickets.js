/** What an address shows, where a token can't be sent. */

import { credentials, request } from "./http.js";
import { FRESH, within } from "./patience.js";

/** @import {Line} from "./line.js" */

/** @param {Line} line @param {AbortSignal} signal @returns {Promise<string | undefined>} the ticket that was given, or that the token makes, or has made */
export async function ticketOf(line, signal) {
  if (!line.options.token) return (await credentials(line.options))[1];
  if (!(Date.now() < /** @type {number} */ (line.until))) {
    const init = { method: "POST", body: { session_id: line.id }, signal };
    const made = await within(line, request("tickets", line.options, init));
    line.made = made.ticket;
    line.until = Date.now() + made.expires_in * FRESH;
  }
  return line.made;
}
