/**
 * The proof that nothing was lost and nothing came twice: ids rise strictly, and each run that ended is what its log says,
 * once neighbouring deltas are joined on both sides (P3.5).
 */

import { isTerminal } from "../client.js";
import { rises } from "./position.js";

const SHOWN = 20; // differences

/** Messages as they are once all compaction is done: neighbouring deltas of one kind and agent are one. */
export function compacted(messages) {
  const out = [];
  for (const message of messages) {
    const last = out.at(-1);
    if ("delta" in message && last?.type === message.type && last.agent === message.agent) {
      last.id = message.id;
      last.pieces.push(message.delta);
    } else out.push("delta" in message ? { ...message, pieces: [message.delta] } : message);
  }
  return out.map(({ pieces, ...message }) => (pieces ? { ...message, delta: pieces.join("") } : message));
}

/**
 * What of a log was not received, and what was received that the log has not.
 * @returns {{lost: object[], strange: object[]}}
 */
export function compared(log, received) {
  const texts = (messages) => new Map(compacted(messages).map((message) => [JSON.stringify(message), message]));
  const [there, had] = [texts(log), texts(received)];
  const only = (one, other) => [...one].filter(([text]) => !other.has(text)).map(([, message]) => message);
  return { lost: only(there, had), strange: only(had, there) };
}

/** Counts, and compares each run with its log as soon as it has ended. */
export class Proof {
  received = 0;
  lost = 0;
  twice = 0;
  strange = 0;
  checked = 0;
  unchecked = 0;
  /** @type {{id: string, type: string, what: string}[]} */ differences = [];
  #run = /** @type {object[]} */ ([]);
  #last = "0-0";

  /**
   * @param {(path: string) => Promise<object[]>} readLog of the run at a path
   * @param {() => void} changed
   */
  constructor(readLog, changed) {
    this.readLog = readLog;
    this.changed = changed;
  }

  /** @param {import("../client.js").Message} message */
  show(message) {
    this.received++;
    if (message.type === "gap") this.#last = "0-0";
    if (message.id) this.#follow(message);
  }

  #follow(message) {
    if (!rises(message.id, this.#last)) {
      this.twice++;
      this.#differ([message], "came again");
    }
    this.#last = message.id;
    if (message.type === "stream_start") this.#run = [];
    this.#run.push(message);
    if (isTerminal(message)) {
      this.#check(this.#run);
      this.#run = [];
    }
  }

  async #check(run) {
    const [{ type, session_id, run_id }] = run;
    if (type !== "stream_start") return this.unchecked++; // its beginning is no longer kept
    try {
      const log = await this.readLog(`sessions/${session_id}/runs/${run_id}`);
      if (log.some(({ type }) => type === "gap")) throw new Error("trimmed meanwhile");
      const { lost, strange } = compared(log, run);
      this.lost += lost.length;
      this.strange += strange.length;
      this.checked++;
      this.#differ(lost, "is in the log, and was not received");
      this.#differ(strange, "was received, and is not in the log");
    } catch {
      this.unchecked++;
    }
    this.changed();
  }

  #differ(messages, what) {
    for (const { id, type } of messages) if (this.differences.length < SHOWN) this.differences.push({ id, type, what });
  }
}
