/** The conversation: what the messages of a session look like. */

import { element, stick } from "./element.js";
import { markdown } from "./markdown.js";

const pretty = (value) => (typeof value === "string" ? value : JSON.stringify(value, null, 2));

/** Text that grows. It is drawn at most every 40 ms, and no more than an eighth of the time. */
class Prose {
  #text = "";
  #timer = 0;
  #pause = 40;

  constructor(draw) {
    this.node = element("div.prose");
    this.draw = draw;
  }

  add(delta) {
    this.#text += delta;
    this.#timer ||= setTimeout(() => this.flush(), this.#pause);
  }

  flush() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    const began = performance.now();
    this.node.replaceChildren(this.draw(this.#text));
    this.#pause = Math.max(40, 8 * (performance.now() - began));
  }
}

/** One run: the user's message and everything that came of it. */
class Turn {
  #groups = new Map(); // agent -> its part, until the main agent goes on
  #tools = new Map();
  #approvals = new Map();
  #proses = new Set();
  #open = null; // the prose that deltas go on with
  #thought = new Set();
  #said = false;

  constructor({ run_id, input }) {
    const files = input.files.map(({ name }) => name).concat(input.images ? [`${input.images} image(s)`] : []);
    this.body = element("div.answer", { ariaBusy: "true" });
    this.node = element("article", {}, element("p.user", {}, input.content), this.body);
    this.node.dataset.run = run_id;
    if (files.length) this.node.firstChild.append(element("small", {}, files.join(", ")));
  }

  stream_delta({ delta, agent = "" }) {
    this.#prose("text", agent).add(delta);
    this.#said ||= !agent;
  }

  thinking_delta({ delta, agent = "" }) {
    this.#thought.add(agent);
    this.#prose("thinking", agent).add(delta);
  }

  thinking_end() {
    this.#open = null;
  }

  /** The whole of a turn's thinking: shown if it was not streamed. */
  turn_thinking({ thinking, agent = "" }) {
    if (!this.#thought.delete(agent)) this.#prose("thinking", agent).add(thinking);
    this.#open = null;
  }

  tool_started({ call_id, tool, args, is_subagent, agent = is_subagent ? "subagent" : "" }) {
    const node = element("details.tool", {}, element("summary", {}, tool), element("pre", {}, pretty(args)));
    node.dataset.status = "running";
    this.#tools.set(call_id, node);
    this.#place(node, agent);
  }

  tool_call(message) {
    if (!this.#tools.has(message.call_id)) this.tool_started(message);
    const node = this.#tools.get(message.call_id);
    node.dataset.status = message.success ? "done" : "failed";
    node.append(element("pre", {}, message.result));
  }

  context_compressed({ messages_before, messages_after }) {
    this.#note(`Context compressed: ${messages_before} messages became ${messages_after}`);
  }

  approval_requested({ call_id, tool, args, reason }) {
    const button = (text, answer) => {
      const node = element("button", { type: "button" }, text);
      Object.assign(node.dataset, { call: call_id, answer });
      return node;
    };
    const buttons = element("span.choice", {}, button("Allow", "yes"), button("Refuse", "no"));
    const asked = `May I call ${tool}?${reason ? ` (${reason})` : ""}`;
    const node = element("div.approval", {}, element("p", {}, asked), element("pre", {}, pretty(args)), buttons);
    this.#approvals.set(call_id, node);
    this.#place(node, "");
  }

  approval_resolved({ call_id, approved, comment }) {
    const text = `${approved ? "Allowed" : "Refused"}${comment ? `: ${comment}` : ""}`;
    this.#approvals.get(call_id)?.querySelector(".choice").replaceWith(element("p.note", {}, text));
  }

  custom({ name, data }) {
    this.#place(element("details.custom", {}, element("summary", {}, name), element("pre", {}, pretty(data))), "");
  }

  stream_end({ content, context_tokens, max_context_tokens, usage }) {
    if (!this.#said && content) this.#prose("text", "").add(content);
    const spent = usage ? `${usage.input_tokens} tokens in, ${usage.output_tokens} out` : "";
    const context = max_context_tokens ? `context ${context_tokens} of ${max_context_tokens}` : "";
    this.#end("completed", [spent, context].filter(Boolean).join(" · "));
  }

  stream_cancelled({ reason }) {
    this.#end("cancelled", `Stopped: ${reason}`);
  }

  error({ code, message, incident }) {
    this.#end("failed", `${message} (${[code, incident].filter(Boolean).join(", ")})`);
  }

  #end(status, text) {
    for (const prose of this.#proses) prose.flush();
    this.body.ariaBusy = "false";
    this.node.dataset.status = status;
    if (text) this.node.append(element("p.end", {}, text));
  }

  #note(text) {
    this.#place(element("p.note", {}, text), "");
  }

  #prose(kind, agent) {
    if (this.#open?.kind === kind && this.#open.agent === agent) return this.#open.prose;
    const prose = new Prose(kind === "text" ? markdown : (text) => document.createTextNode(text));
    const folded = () => element("details.thinking", {}, element("summary", {}, "Thinking"), prose.node);
    this.#place(kind === "text" ? prose.node : folded(), agent);
    this.#proses.add(prose);
    this.#open = { kind, agent, prose };
    return prose;
  }

  #place(node, agent) {
    this.#open = null;
    if (!agent) {
      this.#groups.clear();
      this.body.append(node);
      return;
    }
    if (!this.#groups.has(agent)) {
      this.#groups.set(agent, element("div.subagent", {}, element("span.agent", {}, agent)));
      this.body.append(this.#groups.get(agent));
    }
    this.#groups.get(agent).append(node);
  }
}

/** Draws a session's messages into `root`. */
export class Chat {
  #turn = null;

  /** @param {HTMLElement} root */
  constructor(root) {
    this.list = element("div.turns");
    root.append(this.list);
    stick(root, this.list);
  }

  /** The run in progress, as far as this page has heard. */
  get activeRun() {
    return this.#turn?.node.dataset.run ?? null;
  }

  /** @param {import("./client.js").Message} message */
  show(message) {
    if (message.type === "gap") return this.#restart(message);
    if (message.type === "run_queued") return this.#say(`A run waits behind ${message.ahead}.`);
    if (!message.id) return;
    if (message.type === "stream_start") {
      this.#turn = new Turn(message);
      this.list.append(this.#turn.node);
    } else if (Object.hasOwn(Turn.prototype, message.type)) this.#turn?.[message.type](message);
    if (this.#turn?.node.dataset.status) this.#turn = null;
  }

  clear() {
    this.#turn = null;
    this.list.replaceChildren();
  }

  /** What follows a gap begins at the earliest that is left, so what was shown comes again (P3.6). */
  #restart({ requested, earliest }) {
    this.clear();
    this.#say(`Position ${requested} is not in the log; it begins at ${earliest}.`);
  }

  #say(text) {
    this.list.append(element("p.note", {}, text));
  }
}
