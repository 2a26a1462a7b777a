/** One run as its messages tell it: the user's message, and the parts that came of it; not how it is drawn. */

/** @typedef {{content: string, images: number, files: {id: string, name: string}[]}} Input */

/**
 * @typedef {object} Part
 * @property {"text" | "thinking" | "tool" | "approval" | "custom" | "note" | "group"} kind
 * @property {string} key
 * @property {string} [text]  grows
 * @property {() => void} [draw]  set by who shows it: called when it has grown
 * @property {Part[]} [parts]  of a group: what a subagent did
 */

export class Turn {
  /** @type {Part[]} */ parts = [];
  status = "running";
  /** @type {null | {text: string, code?: string, incident?: string}} */ end = null;
  /** @type {() => void} */ draw = () => {};
  #groups = new Map(); // agent -> its group, until the main agent goes on
  #calls = new Map();
  #approvals = new Map();
  #open = /** @type {Part | null} */ (null); // what deltas go on with
  #thought = new Set();
  #said = false;
  #made = 0;

  constructor({ run_id, input }) {
    this.run = run_id;
    this.input = /** @type {Input} */ (input);
  }

  /** What is new: of a text, that it has grown; of anything else, that it is to be drawn anew. */
  #changed(part) {
    if (part?.draw) part.draw();
    else this.draw();
  }

  stream_delta({ delta, agent = "" }) {
    this.#said ||= !agent;
    this.#grow("text", agent, delta);
  }

  thinking_delta({ delta, agent = "" }) {
    this.#thought.add(agent);
    this.#grow("thinking", agent, delta);
  }

  thinking_end() {
    this.#close();
  }

  /** The whole of a turn's thinking: shown if it was not streamed. */
  turn_thinking({ thinking, agent = "" }) {
    if (!this.#thought.delete(agent)) this.#grow("thinking", agent, thinking);
    this.#close();
  }

  tool_started({ call_id, tool, args, is_subagent, agent = is_subagent ? "subagent" : "" }) {
    this.#calls.set(call_id, this.#place({ kind: "tool", tool, args, status: "running", result: null }, agent));
  }

  tool_call(message) {
    if (!this.#calls.has(message.call_id)) this.tool_started(message);
    const { success, result } = message;
    Object.assign(this.#calls.get(message.call_id), { status: success ? "done" : "failed", result });
  }

  context_compressed({ messages_before, messages_after }) {
    this.#note(`Context compressed: ${messages_before} messages became ${messages_after}`);
  }

  approval_requested({ call_id, tool, args, reason }) {
    this.#mark(call_id, "waiting");
    this.#approvals.set(
      call_id,
      this.#place({ kind: "approval", call: call_id, tool, args, reason, answer: null }, ""),
    );
  }

  approval_resolved({ call_id, approved, comment }) {
    const asked = this.#approvals.get(call_id);
    if (asked) asked.answer = { approved, comment };
    this.#mark(call_id, "running");
  }

  custom({ name, data }) {
    this.#place({ kind: "custom", name, data }, "");
  }

  stream_end({ content, context_tokens, max_context_tokens, usage }) {
    if (!this.#said && content) this.#grow("text", "", content);
    const spent = usage ? `${usage.input_tokens} tokens in, ${usage.output_tokens} out` : "";
    const context = max_context_tokens ? `context ${context_tokens} of ${max_context_tokens}` : "";
    this.#end("completed", { text: [spent, context].filter(Boolean).join(" · ") });
  }

  stream_cancelled({ reason }) {
    this.#end("cancelled", { text: `Stopped: ${reason}` });
  }

  error({ code, message, incident }) {
    this.#end("failed", { text: message, code, incident });
  }

  /** @param {import("../client.js").Message} message */
  show(message) {
    if (!TOLD.has(message.type)) return;
    const grows = message.type.endsWith("_delta");
    this[message.type](message);
    if (!grows) this.draw();
  }

  /** The question that waits for an answer, if one does. */
  get question() {
    return [...this.#approvals.values()].find(({ answer }) => !answer && this.status === "running") ?? null;
  }

  /** A call stands still while somebody is asked about it. */
  #mark(call_id, status) {
    const call = this.#calls.get(call_id);
    if (call?.result === null) call.status = status;
  }

  #end(status, end) {
    this.#close();
    this.status = status;
    this.end = end;
  }

  #close() {
    const closed = this.#open;
    this.#open = null;
    if (closed) closed.closed = true;
  }

  #note(text) {
    this.#place({ kind: "note", text }, "");
  }

  #grow(kind, agent, delta) {
    if (this.#open?.kind !== kind || this.#open.agent !== agent) this.#open = this.#place({ kind, text: "" }, agent);
    this.#open.text += delta;
    this.#changed(this.#open);
  }

  #place(part, agent) {
    this.#close();
    Object.assign(part, { agent, key: String(this.#made++) });
    if (!agent) {
      this.#groups.clear();
      this.parts.push(part);
    } else {
      if (!this.#groups.has(agent)) {
        const group = { kind: "group", agent, parts: [], key: String(this.#made++) };
        this.#groups.set(agent, group);
        this.parts.push(group);
      }
      this.#groups.get(agent).parts.push(part);
    }
    return part;
  }
}

/** The types of messages that a turn shows; others are for versions to come, and passed over (P2.3). */
const TOLD = new Set(
  (
    "stream_delta thinking_delta thinking_end turn_thinking tool_started tool_call context_compressed approval_requested " +
    "approval_resolved custom stream_end stream_cancelled error"
  ).split(" "),
);
