/** What the leader of shared tabs said, as far as this tab keeps it: messages in a row, each between two positions. */

import { ROOM } from "./patience.js";

/** @import {State} from "../client.js" */
/** @import {Loose} from "./messages.js" */

/**
 * From the leader: after position `from` comes this message, which leads to `to`. Without a message, it is at `to`.
 * @typedef {object} Note
 * @property {number} term  of the leader; of two, the later one leads
 * @property {string} [from]
 * @property {string} [to]
 * @property {Loose} [message]
 * @property {boolean} [caughtUp]  whether its connection has caught up
 * @property {Partial<State>} [state]  of its connection
 */

/** Notes that are kept, within `ROOM`, for a slow reader, and to meet one that catches up. */
const KEPT = 5_000;

export class Chain {
  /** Whether anything was heard yet. */
  known = false;
  caughtUp = false;
  /** Where the leader is. @type {string | undefined} */
  head;
  #notes = /** @type {Note[]} */ ([]);
  #sizes = /** @type {number[]} */ ([]);
  #size = 0;
  #first = 0;

  /** Adds a note. One that does not go on where the last one ended begins anew: places from before are gone. @param {Note} note */
  take(note) {
    if (!this.known || (note.message ? note.from : note.to) !== this.head) {
      this.#first = this.end + 1;
      this.#notes = [];
      this.#sizes = [];
      this.#size = 0;
    }
    this.known = true;
    this.head = note.to;
    this.caughtUp = note.caughtUp ?? (this.caughtUp || note.message?.type === "caught_up");
    if (!note.message) return;
    const size = JSON.stringify(note.message).length;
    this.#notes.push(note);
    this.#sizes.push(size);
    this.#size += size;
    while (this.#notes.length > KEPT || (this.#size > ROOM && this.#notes.length > 1)) {
      this.#notes.shift();
      this.#size -= /** @type {number} */ (this.#sizes.shift());
      this.#first++;
    }
  }

  /** The place after the last note. */
  get end() {
    return this.#first + this.#notes.length;
  }

  /** Where somebody who is at this position goes on: a place, -1 if there is none. @param {string | undefined} position */
  place(position) {
    if (!this.known) return -1;
    if (position === this.head) return this.end;
    const index = this.#notes.findLastIndex(({ from }) => from === position);
    return index < 0 ? -1 : this.#first + index;
  }

  /** Whether a place is still one. @param {number} place */
  has(place) {
    return place >= this.#first && place <= this.end;
  }

  /** @param {number} place one that it has @returns {Note | undefined} undefined at the end */
  at(place) {
    return this.#notes[place - this.#first];
  }
}
