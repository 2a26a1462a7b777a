/** The page's one connection: follows the session in the address, as fast or as slow as the reader wants. */

import { signal } from "@preact/signals";
import { connect } from "../client.js";

const TURN = 12; // milliseconds of work after which the display has its turn

export class Connection {
  /** @type {import("@preact/signals").Signal<{state: string, transport?: string, after?: string, delay?: number, error?: any}>} */
  state = signal({ state: "idle" });
  transport = signal("auto");
  latency = signal(0); // milliseconds by which messages are held back
  following = signal(false);
  /** Where the messages end that were shown. @type {string | undefined} */ after;
  #session = null;
  #current = 0;

  /**
   * @param {import("./access.js").Access} access
   * @param {(message: import("../client.js").Message) => void} show
   */
  constructor(access, show) {
    this.access = access;
    this.show = show;
  }

  /** What commands are given to. */
  get session() {
    return this.#session;
  }

  /** Follows a session from its beginning. */
  open(sessionId) {
    this.sessionId = sessionId;
    this.after = "0";
    return this.resume();
  }

  /** Follows it from where it was left. */
  async resume() {
    this.leave();
    const mine = ++this.#current;
    const { token } = this.access;
    const onState = (state) => mine === this.#current && this.#tell(state);
    const session = connect(this.sessionId, { token, after: this.after, transport: this.transport.value, onState });
    this.#session = session;
    this.following.value = true;
    try {
      let since = performance.now();
      for await (const message of held(session.messages, () => this.latency.value)) {
        if (mine !== this.#current) return;
        this.after = message.id ?? (message.type === "caught_up" ? message.position : this.after);
        this.show(message);
        if (performance.now() - since > TURN) {
          await new Promise((resolve) => setTimeout(resolve));
          since = performance.now();
        }
        if (mine !== this.#current) return;
      }
    } catch (error) {
      if (mine === this.#current) this.access.complain(error);
    }
  }

  /** Closes the connection and stays away; what was held back comes again after `resume`. */
  leave() {
    this.#current++;
    this.#session?.close();
    if (this.following.value) this.#tell({ ...this.state.value, state: "closed", after: this.after });
  }

  /** Cuts it as a failing network would. */
  cut() {
    this.#session?.drop();
  }

  /** @param {string} transport */
  switch(transport) {
    this.transport.value = transport;
    if (this.sessionId && this.following.value) this.resume();
  }

  #tell(state) {
    this.state.value = state;
    if (state.state === "closed") this.following.value = false;
  }
}

/** The same messages, each so many milliseconds later, in their order. */
async function* held(messages, latency) {
  const waiting = [];
  let wake = () => {};
  let over = false;
  let failure = null;
  const take = async () => {
    try {
      for await (const message of messages) {
        waiting.push({ due: performance.now() + latency(), message });
        wake();
      }
    } catch (error) {
      failure = error;
    }
    over = true;
    wake();
  };
  take();
  while (!over || waiting.length) {
    const [first] = waiting;
    if (!first) await new Promise((resolve) => (wake = () => resolve(null)));
    else {
      const early = first.due - performance.now();
      if (early > 0) await new Promise((resolve) => setTimeout(resolve, early));
      yield waiting.shift().message;
    }
  }
  if (failure) throw failure;
}
