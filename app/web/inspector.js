/** Every message as it came, and the proof that none was lost or came twice. */

import { isTerminal, request } from "./client.js";
import { element, stick } from "./element.js";

const pair = (id) => id.split("-").map(Number);

/** Whether position `one` stands after `other`. */
const rises = (one, other) => {
  const [run, seq] = pair(one);
  const [otherRun, otherSeq] = pair(other);
  return run > otherRun || (run === otherRun && seq > otherSeq);
};

/** Messages as they are once all compaction is done (P3.5): neighbouring deltas of one kind and agent are one. */
export function compacted(messages) {
  const out = [];
  for (const message of messages) {
    const last = out.at(-1);
    if ("delta" in message && last?.type === message.type && last.agent === message.agent)
      out[out.length - 1] = { ...message, delta: last.delta + message.delta };
    else out.push(message);
  }
  return out;
}

/** How many messages of `whole` are missing from `seen`, or differ. */
export function missing(whole, seen) {
  const had = new Set(compacted(seen).map((message) => JSON.stringify(message)));
  return compacted(whole).filter((message) => !had.has(JSON.stringify(message))).length;
}

/** @param {string} path of the run @param {import("./client.js").Access} access @returns {Promise<object[]>} its log */
async function log(path, access) {
  const events = [];
  for (let after = "0", done = false; !done; ) {
    const page = await request(`${path}/log?after=${after}`, access);
    events.push(...page.events);
    done = page.done || page.next === null;
    after = page.next;
  }
  return events;
}

/** A list of messages with counters. */
export class Inspector {
  #list;
  #counters;
  #access;
  #run = [];
  #last = "0-0";
  #count = { received: 0, lost: 0, twice: 0, checked: 0 };

  /** @param {HTMLElement} list @param {HTMLElement} counters @param {import("./client.js").Access} access */
  constructor(list, counters, access) {
    this.#access = access;
    this.#list = list;
    stick(list.parentElement, list);
    this.#counters = counters;
  }

  /** @param {import("./client.js").Message} message */
  show(message) {
    this.#list.append(row(message));
    this.#count.received++;
    if (message.type === "gap") this.#last = "0-0";
    if (message.id) this.#follow(message);
    this.#tell();
  }

  clear() {
    this.#list.replaceChildren();
    this.#last = "0-0";
    this.#run = [];
    this.#count = { received: 0, lost: 0, twice: 0, checked: 0 };
    this.#counters.textContent = "nothing received";
  }

  #follow(message) {
    if (!rises(message.id, this.#last)) this.#count.twice++;
    this.#last = message.id;
    if (message.type === "stream_start") this.#run = [];
    this.#run.push(message);
    if (isTerminal(message)) this.#check(this.#run);
  }

  /** Compares a run that ended with its log, as the server keeps it. */
  async #check(run) {
    const [{ type, session_id, run_id }] = run;
    const count = this.#count;
    if (type !== "stream_start") return;
    count.lost += missing(await log(`sessions/${session_id}/runs/${run_id}`, this.#access), run);
    count.checked++;
    if (count === this.#count) this.#tell();
  }

  #tell() {
    const { received, lost, twice, checked } = this.#count;
    this.#counters.textContent = `${received} received, ${lost} lost, ${twice} twice`;
    this.#counters.title = `${checked} ended runs compared with their logs`;
    Object.assign(this.#counters.dataset, { lost, twice, checked });
  }
}

function row(message) {
  const { id = "–", type, delta = "" } = message;
  const start = delta.slice(0, 60).replaceAll("\n", "⏎");
  const head = [element("code", {}, id), element("b", {}, type), element("span.quiet", {}, start)];
  const node = element("details", {}, element("summary", {}, ...head));
  const unfold = () => node.append(element("pre", {}, JSON.stringify(message, null, 2)));
  node.addEventListener("toggle", unfold, { once: true });
  const item = element("li", {}, node);
  item.dataset.json = JSON.stringify(message);
  return item;
}
