/** A session as its messages tell it: turns, and what waits for its turn. Knows nothing of how it is drawn. */

import { Turn } from "./turn.js";

export class Conversation {
  /** @type {(Turn | {kind: "gap", key: string, requested: string, earliest: string})[]} */ turns = [];
  /** @type {Map<string, {run: string, number?: number, ahead: number}>} */ waiting = new Map();
  /** @type {Turn | null} */ active = null;
  /** Whether everything was shown that there was when it was attached to. */ whole = false;

  /** @param {() => void} changed the list of turns, what waits, or what is active */
  constructor(changed) {
    this.changed = changed;
  }

  /** @param {import("../client.js").Message} message */
  show(message) {
    if (message.type === "gap") this.#restart(message);
    else if (message.type === "caught_up") this.#complete();
    else if (message.type === "run_queued") this.#wait(message);
    else if (!message.id) return;
    else if (message.type === "stream_start") this.#begin(message);
    else this.#go(message);
  }

  /** @returns {Turn | undefined} the newest */
  get last() {
    return this.turns.findLast((turn) => turn instanceof Turn);
  }

  /** A run that this page has started, and has not been told of by a message yet: it is `ahead` of none that is known. */
  expect(run) {
    if (this.waiting.has(run) || this.turns.some((turn) => turn.run === run)) return;
    this.waiting.set(run, { run, ahead: 0 });
    this.changed();
  }

  /** A run that waited will not run. */
  forget(run) {
    if (this.waiting.delete(run)) this.changed();
  }

  #complete() {
    this.whole = true;
    if (!this.turns.length) this.changed();
  }

  #begin(message) {
    this.active = new Turn(message);
    this.turns.push(this.active);
    this.waiting.delete(message.run_id);
    for (const each of this.waiting.values()) each.ahead &&= Math.max(1, each.ahead - 1);
    this.changed();
  }

  #go(message) {
    const asked = this.active?.question;
    this.active?.show(message);
    const over = this.active && this.active.status !== "running";
    if (over) this.active = null;
    if (over || asked !== this.active?.question) this.changed();
  }

  #wait({ run_id, number, ahead }) {
    this.waiting.set(run_id, { run: run_id, number, ahead });
    this.changed();
  }

  /** What follows a gap begins at the earliest that is left, so what was shown comes again (P3.6). */
  #restart({ requested, earliest }) {
    this.active = null;
    this.turns = [{ kind: "gap", key: `gap ${requested}`, requested, earliest }];
    this.changed();
  }
}
