/** The frames that went over the wire: the last ones, within bounds. */

const encoder = new TextEncoder();
const KEPT = 5_000;
const KEPT_CHARACTERS = 16 * 1024 * 1024;
const SPARE = 500; // dropped at once, so that dropping costs little
const LONGEST_SENT = 4_096; // characters of a command that are kept; images are long

/**
 * @typedef {object} Frame
 * @property {number} number  counted from 1
 * @property {"in" | "out"} direction
 * @property {"websocket" | "sse" | "http"} via
 * @property {string} text  as it was on the wire
 * @property {number} size  bytes of it
 * @property {number} at  milliseconds, of `performance.now()`
 * @property {number} delay  milliseconds since the frame before
 * @property {string} type
 * @property {string} [id]
 */

export class Frames {
  /** @type {Frame[]} */ kept = [];
  count = 0;
  bytes = 0;
  #characters = 0;
  #last = 0;

  /** @param {{direction: "in" | "out", via: "websocket" | "sse" | "http", text: string, type?: string}} seen */
  add({ direction, via, text, type }) {
    const at = performance.now();
    const size = encoder.encode(text).byteLength;
    const said = head(text);
    const kept = direction === "out" && text.length > LONGEST_SENT ? `${text.slice(0, LONGEST_SENT)}…` : text;
    const delay = this.count ? at - this.#last : 0;
    this.count++;
    this.bytes += size;
    this.#last = at;
    this.#characters += kept.length;
    this.kept.push({
      number: this.count,
      direction,
      via,
      text: kept,
      size,
      at,
      delay,
      type: type ?? said.type,
      id: via === "http" ? undefined : said.id, // an answer's is a run's or a file's: no position
    });
    if (this.kept.length > KEPT + SPARE) this.#drop(this.kept.length - KEPT);
    while (this.#characters > KEPT_CHARACTERS) this.#drop(Math.min(SPARE, this.kept.length - 1) || 1);
  }

  clear() {
    this.kept = [];
    this.count = this.bytes = this.#characters = 0;
  }

  #drop(count) {
    for (const { text } of this.kept.splice(0, count)) this.#characters -= text.length;
  }
}

/** @param {string} text @returns {{type: string, id?: string}} */
function head(text) {
  try {
    const { type = "", id } = JSON.parse(text);
    return { type: String(type), id };
  } catch {
    return { type: "" };
  }
}
