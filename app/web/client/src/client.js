/**
 * Runcast's browser client: follows a session and commands it. No dependencies; speaks protocol version 1, native.
 *
 *     import { connect, createSession } from "/client.js";
 *     const session = connect((await createSession()).id);
 *     session.send("Hello");
 *     for await (const message of session.messages) console.log(message.id, message.type);
 *
 * Every message arrives once and in order, however often the connection breaks (P3.5). Messages about the connection
 * (`caught_up`, `gap`, `ack`, …) are given too; only the answers to the client's own pings are not.
 *
 * @typedef {{type: string, id?: string, [field: string]: any}} Message  as in section 2 of the protocol
 * @typedef {"websocket" | "sse"} Transport
 * @typedef {object} State  what `onState` is told
 * @property {"connecting" | "open" | "waiting" | "closed"} state
 * @property {Transport} transport
 * @property {string} [after]  the position that the connection began at, or the next one will
 * @property {number} [delay]  milliseconds until the next attempt, when waiting
 * @property {unknown} [error]  why there is a wait
 * @typedef {string | (() => string | Promise<string>)} Shown  a function is asked anew for each attempt
 * @typedef {{token?: string, ticket?: string}} Given
 * @typedef {object} Access
 * @property {string | URL} [base]  where the server is mounted; by default where this module came from
 * @property {Shown} [token]  an API key or JWT, where the server asks for one
 * @property {Shown} [ticket]  instead of a token, for its session: what `POST tickets` answered somebody who has one
 * @typedef {object} FollowOptions
 * @property {string} [after]  begin strictly after this position; "0" replays the whole session
 * @property {string} [run]  follow this run alone, over SSE, up to its end
 * @property {Transport | "auto"} [transport]  auto: WebSocket, or SSE where no WebSocket ever opened
 * @property {AbortSignal} [signal]  ends the session and its connection
 * @property {(state: State) => void} [onState]
 * @typedef {object} SendOptions
 * @property {string[]} [images]
 * @property {(string | object)[]} [files]
 * @property {"reject" | "queue" | "interrupt"} [onConflict]
 * @property {"continue" | "cancel"} [onDisconnect]
 * @property {string} [idempotencyKey]  minted when absent
 */

const OPEN_WITHIN = 4_000;
const ACK_WITHIN = 10_000;
const SILENCE = 45_000; // three of the server's SSE pings
const PING_AFTER = 20_000;
const FIRST_DELAY = 250;
const LAST_DELAY = 10_000;
const STABLE = 5_000; // a connection that held this long was no failure
const ATTEMPTS = 6; // of a command
const HOME = new URL(".", import.meta.url);
/** @type {Record<number, string>} */
const FINAL = { 4004: "session_not_found", 4400: "bad_request", 4401: "unauthenticated", 4403: "forbidden_origin" };
const PASSING = ["rate_limited", "draining"];
const TERMINALS = ["stream_end", "stream_cancelled", "error"];

/** A refusal, or a connection that could not be had. `final`: trying the same again can't help. */
export class RuncastError extends Error {
  /** @param {string} code @param {string} message @param {{final?: boolean, status?: number, wait?: number}} [more] */
  constructor(code, message, { final = true, status, wait = 0 } = {}) {
    super(message);
    this.name = "RuncastError";
    this.code = code;
    this.final = final;
    /** The HTTP status or the WebSocket's close code. */
    this.status = status;
    /** Milliseconds that the server asked to wait. */
    this.wait = wait;
  }
}

/** @param {string} why */
const unreachable = (why) => new RuncastError("unreachable", why, { final: false });

/** @param {Message} message @returns {boolean} whether it ends its run */
export const isTerminal = (message) => Boolean(message.id) && TERMINALS.includes(message.type);

/**
 * A session to follow and to command.
 * @param {string} sessionId
 * @param {Access & FollowOptions} [options]
 */
export const connect = (sessionId, options) => new Session(sessionId, options);

/**
 * The messages of a session, or of one run: `for await`. Leaving the loop or aborting the signal closes the connection.
 * Throws a RuncastError when the server's refusal is final (P7.5).
 * @param {string} sessionId
 * @param {Access & FollowOptions} [options]
 */
export const follow = (sessionId, options) => connect(sessionId, options).messages;

/**
 * @param {Access & {profile?: string, title?: string}} [options]
 * @returns {Promise<{id: string, [field: string]: any}>} the new session
 */
export const createSession = ({ profile, title, ...access } = {}) =>
  request("sessions", access, { method: "POST", body: { profile, title } });

/**
 * One call of the HTTP API.
 * @param {string} path relative to the base
 * @param {Access} [access]
 * @param {{method?: string, body?: object, headers?: Record<string, string>}} [init]
 * @returns {Promise<any>} the answer's JSON, null if it has no body
 */
export async function request(path, access = {}, { method, body, headers } = {}) {
  const json = body && { "content-type": "application/json" };
  const response = await call(path, access, { method, body: JSON.stringify(body), headers: { ...json, ...headers } });
  return response.status === 204 ? null : response.json();
}

/** Cuts an SSE byte stream, in pieces of any size, into its events: `{data}` and `{retry}`. Lines end in LF or CRLF. */
export function sseParser() {
  const decoder = new TextDecoder();
  let rest = "";
  let data = /** @type {string[]} */ ([]);
  return (/** @type {Uint8Array} */ bytes) => {
    const events = /** @type {{data?: string, retry?: number}[]} */ ([]);
    const lines = decoder.decode(bytes, { stream: true }).split("\n");
    lines[0] = rest + lines[0];
    rest = lines.pop() ?? "";
    for (const raw of lines) {
      const line = raw.endsWith("\r") ? raw.slice(0, -1) : raw;
      const colon = line.indexOf(":");
      const name = colon < 0 ? line : line.slice(0, colon);
      const value = colon < 0 ? "" : line.slice(colon + (line[colon + 1] === " " ? 2 : 1));
      if (name === "data") data.push(value);
      else if (name === "retry" && /^\d+$/.test(value)) events.push({ retry: Number(value) });
      else if (!line && data.length) events.push({ data: data.splice(0).join("\n") });
    }
    return events;
  };
}

class Session {
  #path;
  #options;
  #after;
  /** @type {Transport} */ #transport;
  #settled; // whether the transport is asked for, or has worked
  #delay = FIRST_DELAY;
  #stop = new AbortController();
  #cut = new AbortController();
  /** @type {WebSocket | null} */ #socket = null;
  #asked = /** @type {Map<string, (answer?: Message) => void>} */ (new Map());

  /** @param {string} id @param {Access & FollowOptions} [options] */
  constructor(id, options = {}) {
    const { after, run, transport = "auto", signal } = options;
    this.#path = `sessions/${encodeURIComponent(id)}`;
    this.#options = options;
    this.#after = after;
    this.#settled = Boolean(run) || transport !== "auto";
    this.#transport = run || transport === "sse" ? "sse" : "websocket";
    signal?.addEventListener("abort", () => this.close(), { signal: this.#stop.signal });
    if (signal?.aborted) this.close();
    /** To be read once. Ends with `close()`, with the run if one is followed, or with a RuncastError. */
    this.messages = this.#follow();
  }

  /** Where the messages given so far end: another session that begins `after` this misses nothing. */
  get after() {
    return this.#after;
  }

  /**
   * Starts a run. Tried again until it is answered, under one idempotency key: never two runs.
   * @param {string} content
   * @param {SendOptions} [options]
   * @returns {Promise<string>} the run's id
   */
  async send(content, { images, files, onConflict, onDisconnect, idempotencyKey = mint() } = {}) {
    const body = { content, images, files, on_conflict: onConflict, on_disconnect: onDisconnect };
    const headers = { "idempotency-key": idempotencyKey };
    const answer = await this.#command({ type: "message", ...body, idempotency_key: idempotencyKey }, () =>
      request(`${this.#path}/runs`, this.#options, { method: "POST", body, headers }),
    );
    return answer.run_id ?? answer.id;
  }

  /**
   * Uploads a file, which messages may then name: `send("Look", { files: [uploaded.id] })`.
   * @param {Blob} file a `File` has its own name
   * @param {string} [name]
   * @returns {Promise<{id: string, name: string, path: string, size: number, media_type: string}>}
   */
  async upload(file, name = /** @type {any} */ (file).name ?? "file") {
    const body = new FormData();
    body.append("file", file, name);
    return (await call(`${this.#path}/files`, this.#options, { method: "POST", body })).json();
  }

  /** Cancels a run, by default the one in progress. @param {string} [runId] */
  async cancel(runId) {
    await this.#command({ type: "cancel", run_id: runId }, async () => {
      const run = runId ?? (await request(this.#path, this.#options)).active_run;
      const path = `${this.#path}/runs/${encodeURIComponent(run)}/cancel`;
      if (run) await request(path, this.#options, { method: "POST" });
    });
  }

  /**
   * Answers an `approval_requested` of the run in progress.
   * @param {string} callId @param {boolean} approved @param {string} [comment]
   */
  async approve(callId, approved, comment) {
    await this.#command({ type: "approve", call_id: callId, approved, comment }, async () => {
      const run = (await request(this.#path, this.#options)).active_run ?? "none";
      const path = `${this.#path}/runs/${encodeURIComponent(run)}/approvals/${encodeURIComponent(callId)}`;
      await request(path, this.#options, { method: "POST", body: { approved, comment } });
    });
  }

  /** Cuts the connection as a failing network would: it is taken up again where it broke. */
  drop() {
    this.#cut.abort();
  }

  /** Ends it: the connection closes now, `messages` ends. Commands still work, over HTTP. */
  close() {
    this.#stop.abort();
    this.#cut.abort();
  }

  async *#follow() {
    let failures = 0;
    try {
      while (!this.#stop.signal.aborted) {
        const since = Date.now();
        let error;
        try {
          for await (const message of this.#connection()) {
            if (message.id) failures = 0;
            this.#after = message.id ?? (message.type === "caught_up" ? message.position : this.#after);
            yield message;
            if (this.#options.run && isTerminal(message)) return;
          }
        } catch (reason) {
          error = /** @type {any} */ (reason);
        }
        if (error?.final) throw error;
        if (this.#stop.signal.aborted) return;
        if (Date.now() - since > STABLE) failures = 0;
        const delay = Math.max(error?.wait ?? 0, backoff(this.#delay, failures++));
        this.#tell("waiting", { delay, error });
        await sleep(delay, this.#stop.signal);
      }
    } finally {
      this.close();
      this.#tell("closed");
    }
  }

  /** @returns {AsyncGenerator<Message, void>} the messages of one connection */
  async *#connection() {
    this.#cut = new AbortController();
    if (this.#transport === "websocket") {
      this.#tell("connecting");
      const given = credentials(this.#options);
      const socket = await this.#open(given.then ? await given : given);
      if (socket) return yield* this.#received(socket);
      if (this.#settled || this.#cut.signal.aborted) throw unreachable("No WebSocket opened");
    }
    this.#tell("connecting", { transport: "sse" });
    yield* this.#streamed();
  }

  /** @param {Given} given @returns {Promise<WebSocket | null>} null if it would not open */
  #open({ token, ticket }) {
    const url = locate(`ws/${this.#path}${this.#query()}`, this.#options.base, ticket);
    url.protocol = url.protocol.replace("http", "ws");
    if (this.#cut.signal.aborted) return Promise.resolve(null);
    return new Promise((resolve) => {
      const socket = new WebSocket(url, token ? ["runcast.v1", `bearer.${token}`] : []);
      const give = (/** @type {WebSocket | null} */ opened) => {
        clearTimeout(timer);
        socket.onopen = socket.onclose = null;
        if (!opened) socket.close();
        resolve(opened);
      };
      const timer = setTimeout(give, OPEN_WITHIN, null);
      socket.onopen = () => give(socket);
      socket.onclose = () => give(null);
      this.#cut.signal.addEventListener("abort", () => give(null));
    }).catch(() => null);
  }

  /** @param {WebSocket} socket @returns {AsyncGenerator<Message, void>} */
  async *#received(socket) {
    const inbox = /** @type {Message[]} */ ([]);
    let closed = /** @type {{code: number, reason: string} | null} */ (null);
    let refusal = /** @type {Message | null} */ (null);
    let heard = Date.now();
    let pinged = false;
    let wake = () => {};
    const end = ({ code = 1006, reason = "" } = {}) => {
      if (closed) return;
      closed = { code, reason };
      clearInterval(watch);
      socket.onmessage = socket.onclose = this.#socket = null;
      socket.close();
      for (const settle of this.#asked.values()) settle();
      wake();
    };
    const watch = setInterval(() => {
      const silence = Date.now() - heard;
      if (pinged && silence > SILENCE) return end();
      if (!pinged && silence > PING_AFTER) socket.send('{"type":"ping"}');
      pinged = silence > PING_AFTER;
    }, PING_AFTER / 4);
    socket.onmessage = ({ data }) => {
      heard = Date.now();
      const message = parsed(data);
      if (!message) return end({ code: 1007 });
      if (message.type === "pong") return;
      if (message.type === "error" && !message.id && !message.request_id) refusal = message;
      this.#asked.get(message.request_id)?.(message);
      inbox.push(message);
      wake();
    };
    socket.onclose = end;
    this.#cut.signal.addEventListener("abort", () => end());
    this.#socket = socket;
    this.#settled = true;
    this.#tell("open");
    try {
      while (!this.#cut.signal.aborted) {
        for (const message of inbox.splice(0)) {
          yield message;
          if (this.#cut.signal.aborted) return;
        }
        if (closed) break;
        if (!inbox.length) await new Promise((resolve) => (wake = () => resolve(null)));
      }
    } finally {
      end();
    }
    const { code, reason } = /** @type {any} */ (closed);
    if (code in FINAL) {
      const { code: name, message } = refusal ?? { code: FINAL[code], message: reason };
      throw new RuncastError(name, message, { status: code });
    }
  }

  /** @returns {AsyncGenerator<Message, void>} */
  async *#streamed() {
    const cut = this.#cut;
    const { run } = this.#options;
    const path = run ? `${this.#path}/runs/${encodeURIComponent(run)}/events` : `${this.#path}/events`;
    let timer = setTimeout(() => cut.abort(), SILENCE);
    try {
      const headers = { accept: "text/event-stream" };
      const init = /** @type {RequestInit} */ ({ headers, signal: cut.signal, cache: "no-store" });
      const response = await call(path + this.#query(), this.#options, init);
      if (response.status === 204) return this.close();
      if (!response.body || !/^text\/event-stream\b/.test(response.headers.get("content-type") ?? ""))
        throw unreachable("The answer is not an event stream");
      this.#transport = "sse";
      this.#settled = true;
      this.#tell("open");
      const reader = response.body.getReader();
      const parse = sseParser();
      for (;;) {
        clearTimeout(timer);
        timer = setTimeout(() => cut.abort(), SILENCE);
        const { done, value } = await reader.read();
        clearTimeout(timer);
        if (done) return;
        for (const { data, retry } of parse(value)) {
          if (retry) this.#delay = retry;
          else if (data) yield JSON.parse(data);
          if (cut.signal.aborted) return;
        }
      }
    } finally {
      clearTimeout(timer);
      cut.abort();
    }
  }

  /** @param {object} frame @param {() => Promise<any>} overHttp @returns {Promise<any>} the ack, or HTTP's answer */
  async #command(frame, overHttp) {
    for (let failures = 0; ; failures++) {
      try {
        return await (this.#socket ? this.#ask(this.#socket, frame) : overHttp());
      } catch (reason) {
        const error = /** @type {any} */ (reason);
        if (error.final || failures + 1 >= ATTEMPTS || this.#stop.signal.aborted) throw error;
        await sleep(Math.max(error.wait ?? 0, backoff(FIRST_DELAY, failures)), this.#stop.signal);
      }
    }
  }

  /** @param {WebSocket} socket @param {object} frame @returns {Promise<Message>} */
  #ask(socket, frame) {
    const id = mint();
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.drop(), ACK_WITHIN); // which settles this, unanswered
      this.#asked.set(id, (answer) => {
        clearTimeout(timer);
        this.#asked.delete(id);
        if (answer?.type === "ack") resolve(answer);
        else if (!answer) reject(unreachable("The connection broke before the answer"));
        else reject(new RuncastError(answer.code, answer.message, { final: !PASSING.includes(answer.code) }));
      });
      socket.send(JSON.stringify({ ...frame, request_id: id }));
    });
  }

  #query() {
    return this.#after === undefined ? "" : `?after=${encodeURIComponent(this.#after)}`;
  }

  /** @param {State["state"]} state @param {Partial<State>} [more] */
  #tell(state, more) {
    this.#options.onState?.({ state, transport: this.#transport, after: this.#after, ...more });
  }
}

/** @param {string} path @param {Access} access @param {RequestInit} init @returns {Promise<Response>} one with a 2xx */
async function call(path, access, init) {
  const { token, ticket } = await credentials(access);
  const headers = { ...init.headers, ...(token && { authorization: `Bearer ${token}` }) };
  const response = await fetch(locate(path, access.base, ticket), { ...init, headers }).catch((reason) => {
    throw unreachable(reason.message);
  });
  if (response.ok) return response;
  const { status, statusText } = response;
  const { code = `http_${status}`, detail = statusText } = await response.json().catch(() => ({}));
  const final = status < 500 && status !== 408 && status !== 429;
  const wait = 1_000 * Number(response.headers.get("retry-after")) || 0;
  throw new RuncastError(code, detail, { final, status, wait });
}

/** The token, or else the ticket; a promise of it, if a function was given. @param {Access} access @returns {any} */
function credentials({ token, ticket }) {
  const given = token ?? ticket;
  const named = (/** @type {any} */ value) => (token ? { token: value } : { ticket: value });
  return typeof given === "function" ? Promise.resolve(given()).then(named) : named(given);
}

/** @param {string} path @param {string | URL} [base] @param {string} [ticket] */
function locate(path, base = HOME, ticket) {
  const url = new URL(path, new URL(String(base).replace(/\/*$/, "/"), globalThis.location?.href));
  if (ticket) url.searchParams.set("ticket", ticket);
  return url;
}

/** @param {string} text @returns {Message | null} */
function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** Unlike `randomUUID`, at hand on a plain-HTTP page too. */
const mint = () =>
  Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");

/** @param {number} first @param {number} failures so far */
const backoff = (first, failures) => Math.min(LAST_DELAY, first * 2 ** failures) * (0.5 + Math.random() / 2);

/** Ends early when aborted, or when the browser is back online. @param {number} delay @param {AbortSignal} signal */
const sleep = (delay, signal) =>
  new Promise((resolve) => {
    const woken = new AbortController();
    const wake = () => {
      clearTimeout(timer);
      woken.abort();
      resolve(null);
    };
    const timer = setTimeout(wake, delay);
    signal.addEventListener("abort", wake, { signal: woken.signal });
    globalThis.addEventListener?.("online", wake, { signal: woken.signal });
    if (signal.aborted) wake();
  });
