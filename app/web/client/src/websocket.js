/** Following over a WebSocket. */

import { RuncastError, unreachable } from "./error.js";
import { credentials, locate } from "./http.js";
import { inbox } from "./inbox.js";
import { ticketOf } from "./tickets.js";
import { GIVE_UP, LOOK, PING } from "./patience.js";

/** @import {Line} from "./line.js" */
/** @import {Loose} from "./messages.js" */

/** @type {Record<number, string>} */
const FINAL = { 4004: "session_not_found", 4400: "bad_position", 4401: "unauthenticated", 4403: "forbidden_origin" };

/** @param {Line} line @param {AbortSignal} cut @returns {AsyncGenerator<Loose, void>} the messages of one connection */
export async function* overWebSocket(line, cut) {
  let [token, ticket] = await credentials(line.options);
  if (/[^\w.-]/.test(/** @type {string} */ (token))) [token, ticket] = [, await ticketOf(line, cut)]; // no subprotocol's name may be like that
  if (cut.aborted) return;
  const url = locate(`ws/${line.query(line.path)}`, line.options, ticket);
  url.protocol = url.protocol.replace("http", "ws");
  const socket = new WebSocket(url, token ? ["runcast.v1", `bearer.${token}`] : []);
  let closed = /** @type {CloseEvent} */ ({});
  let patience = 0;
  let quiet = 0;
  const { push, end, messages } = inbox(cut, () => {
    clearInterval(watch);
    socket.close();
  });
  const watch = setInterval(() => {
    if (++quiet > patience) end();
    else if (quiet >= PING) socket.send('{"type":"ping"}');
  }, LOOK);
  socket.onopen = () => line.tell("open");
  socket.onmessage = (event) => {
    patience = GIVE_UP;
    quiet = 0;
    push(event);
  };
  socket.onclose = (event) => {
    closed = event;
    end();
  };

  for await (const message of messages) if (message.type !== "pong") yield message;
  const { code, reason } = closed;
  if (FINAL[code]) throw new RuncastError(FINAL[code], reason, { status: code });
  if (!patience) throw unreachable("No WebSocket");
}
