import { unreachable } from "./error.js";
import { ROOM } from "./patience.js";

/**
 * Cuts an SSE text, in pieces of any size, into its fields: `[name, value]`. It reads the form that the server writes: LF
 * line ends, one line of data an event (P2.1). Other characters that end lines elsewhere may stand in data.
 */
export function sseParser() {
  let rest = "";
  return (/** @type {string} */ text) => {
    const lines = (rest + text).split("\n");
    rest = /** @type {string} */ (lines.pop());
    if (rest.length > ROOM) throw unreachable("No event stream");
    return lines.map((line) => line.split(/: (.*)/s));
  };
}
