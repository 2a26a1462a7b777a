/**
 * One connection for all tabs of an origin that follow the same with the same credentials.
 *
 * The tab that holds a Web Lock leads: it has the connection, and tells everything over a BroadcastChannel. The browser
 * passes the lock on when that tab closes or crashes; one that does not answer loses it. Each note says between which
 * positions it stands, so every tab knows by itself whether it goes on where that tab is. If it does not, the tab
 * catches up over a connection of its own first. Positions are compared for equality only.
 */

import { Chain } from "./chain.js";
import { credentials, locate } from "./http.js";
import { seekLeadership, turn } from "./leadership.js";
import { positionAfter } from "./messages.js";

/**
 * @import {ConnectOptions, State} from "../client.js"
 * @import {Note} from "./chain.js"
 * @import {Line} from "./line.js"
 * @import {Loose} from "./messages.js"
 * @typedef {Line & {messages: AsyncGenerator<Loose, void>}} Session
 * @typedef {(id: string, options: ConnectOptions) => Session} Connect
 */

/** Milliseconds that a tab lets others catch up first: each of them takes one of the origin's connections. */
const PATIENCE = 3_000;

/** @param {Line} line @param {AbortSignal} cut @param {Connect} connect @returns {AsyncGenerator<Loose, void>} */
export async function* overShared(line, cut, connect) {
  const name = await nameOf(line);
  if (!cut.aborted) yield* new Tab(line, cut, connect, name).messages();
}

/** @param {Line} line @returns {Promise<string>} the same for tabs that see the same */
async function nameOf({ events, options }) {
  let who = options.share;
  if (who === true) {
    const shown = (await credentials(options)).join(" ");
    const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(shown));
    who = String(new Uint8Array(digest));
  }
  return `runcast:${locate(events, options)}:${who}`;
}

class Tab {
  #line;
  #cut;
  #connect;
  #channel;
  #turn;
  #heard;
  /** Whether it can't share, and has a connection of its own. */
  #alone = false;
  #chain = new Chain();
  /** The leader's, as far as this tab knows. */
  #term = 0;
  /** This tab's place in the chain, and the position there. */
  #place = -1;
  #at;
  #caughtUp = false;
  /** The connection, if this tab leads. @type {Session | null} */
  #leading = null;
  #over = false;
  #failure = /** @type {unknown} */ (null);
  /** @type {Partial<State>} */
  #state = { state: "connecting" };
  #wake = () => {};

  /** @param {Line} line @param {AbortSignal} cut @param {Connect} connect @param {string} name */
  constructor(line, cut, connect, name) {
    this.#line = line;
    this.#cut = cut;
    this.#connect = connect;
    this.#at = line.after;
    this.#turn = () => turn(`${name}:turn`, cut, PATIENCE);
    const channel = new BroadcastChannel(name);
    const ask = () => channel.postMessage({ ask: true });
    this.#channel = channel;
    channel.onmessage = ({ data }) => (data.ask ? this.#say({}) : this.#take(data));
    this.#heard = seekLeadership({
      name,
      cut,
      leads: () => this.#leading !== null,
      lead: () => this.#lead(),
      depose: () => this.#depose(),
      ask,
      refuse: () => {
        this.#alone = true;
        leave();
      },
    });
    ask();
    const leave = () => {
      this.#depose();
      channel.close();
      this.#chain = new Chain();
      this.#wake();
    };
    cut.addEventListener("abort", leave);
    // A page that the browser puts aside can't lead, and hears nothing: it comes back as after a broken connection.
    globalThis.document?.addEventListener("freeze", line.drop, { signal: cut });
    globalThis.addEventListener?.("pagehide", line.drop, { signal: cut });
  }

  /** @returns {AsyncGenerator<Loose, void>} */
  async *messages() {
    while (!this.#cut.aborted) {
      const news = new Promise((resolve) => (this.#wake = () => resolve(null)));
      if (this.#joined() || this.#join()) {
        const note = this.#chain.at(this.#place);
        if (note?.message) {
          this.#place++;
          yield this.#passed(note.message);
          continue;
        }
        if (this.#chain.caughtUp && !this.#caughtUp) {
          yield this.#passed({ type: "caught_up", position: this.#at });
          continue;
        }
      } else if ((this.#alone || this.#chain.known) && !this.#failure) {
        yield* this.#catchUp();
        continue;
      }
      if (this.#failure) throw this.#failure;
      if (this.#over) return this.#line.close();
      await news;
    }
  }

  #tell() {
    const { state = "connecting", transport, delay } = this.#state;
    this.#line.transport = transport ?? this.#line.transport;
    this.#line.tell(state, { delay });
  }

  #joined() {
    return this.#chain.has(this.#place);
  }

  /** Takes its place in what the leader says, if there is one. */
  #join() {
    this.#place = this.#chain.place(this.#at);
    if (this.#joined()) this.#tell();
    return this.#joined();
  }

  /** @param {Loose} message */
  #passed(message) {
    this.#at = positionAfter(message, this.#at);
    this.#caughtUp ||= message.type === "caught_up";
    return message;
  }

  /** Follows over a connection of its own until it is where the leader is. @returns {AsyncGenerator<Loose, void>} */
  async *#catchUp() {
    const giveBack = await this.#turn();
    const own = this.#open(this.#at, ({ state, transport, delay, error }) => {
      if (state !== "closed" && !this.#joined()) this.#line.tell(state, { transport, delay, error });
    });
    try {
      let next = own.messages.next();
      next.catch(() => {}); // whoever awaits it is told
      while (!this.#cut.aborted) {
        const news = new Promise((resolve) => (this.#wake = () => resolve(null)));
        if (this.#join()) return;
        const answer = await Promise.race([next, news]);
        if (!answer) continue;
        if (answer.done) return this.#line.close();
        next = own.messages.next();
        next.catch(() => {});
        yield this.#passed(answer.value);
      }
    } finally {
      own.close();
      giveBack();
    }
  }

  /** @param {string | undefined} after @param {(state: State) => void} onState @returns {Session} a connection without sharing */
  #open(after, onState) {
    const { share, remember, signal, ...options } = this.#line.options;
    const own = this.#connect(this.#line.id, { ...options, after, onState });
    this.#cut.addEventListener("abort", own.close);
    return own;
  }

  /** Leads until the end, a failure, or somebody else does. @returns {Promise<boolean>} whether to stand again */
  async #lead() {
    if (this.#cut.aborted || this.#leading) return false;
    this.#term = Math.max(Date.now(), this.#term + 1);
    const { known, head } = this.#chain;
    const own = this.#open(known ? head : this.#at, ({ state, transport, delay }) => {
      if (this.#leading === own && state !== "closed") this.#say({ state: { state, transport, delay } });
    });
    this.#leading = own;
    this.#chain.caughtUp = false;
    this.#say({ to: own.after });
    try {
      for await (const message of own.messages) {
        if (this.#leading !== own) return true;
        const from = this.#chain.head;
        this.#say({ from, to: positionAfter(message, from), message });
      }
      this.#over = this.#leading === own;
    } catch (reason) {
      if (this.#leading === own) this.#failure = reason;
    }
    if (this.#leading === own) this.#depose();
    this.#wake();
    return !this.#over && !this.#failure;
  }

  #depose() {
    const own = this.#leading;
    this.#leading = null;
    own?.close();
  }

  /** Tells every tab, this one too. @param {Partial<Note>} note */
  #say(note) {
    if (!this.#leading) return;
    const { head: to, caughtUp } = this.#chain;
    const about = note.message ? {} : { to, caughtUp, state: this.#state };
    const whole = { ...about, ...note, term: this.#term };
    this.#channel.postMessage(whole);
    this.#take(whole);
  }

  /** @param {Note} note */
  #take(note) {
    if (note.term < this.#term) return;
    if (note.term > this.#term) this.#depose();
    this.#term = note.term;
    this.#heard();
    this.#chain.take(note);
    const news = note.state && JSON.stringify(note.state) !== JSON.stringify(this.#state);
    this.#state = note.state ?? this.#state;
    if (news && this.#joined()) this.#tell();
    this.#wake();
  }
}
