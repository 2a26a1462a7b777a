/** A network in memory: WebSockets and answers to fetch that a test opens, feeds and breaks. */

import { afterEach, beforeEach, mock } from "node:test";

import "../../app/web/client/src/event_source.js"; // loaded before, so that no test waits for it

/** Lets everything that is ready run. */
export const settled = async () => {
  for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
};

/** Lets mocked time pass. */
export async function pass(milliseconds) {
  await settled();
  for (let left = milliseconds; left > 0; left -= 250) {
    mock.timers.tick(Math.min(250, left));
    await settled();
  }
}

export const network = { sockets: [], sources: [], requests: [], answers: [], refuses: false };

export class FakeWebSocket {
  at = Date.now();
  sent = [];
  closed = false;

  constructor(url, protocols = []) {
    this.url = String(url);
    this.protocols = protocols;
    network.sockets.push(this);
    if (network.refuses) setImmediate(() => this.shut(1006));
  }

  open() {
    this.onopen?.({});
    return this;
  }

  deliver(...messages) {
    for (const message of messages) this.onmessage?.({ data: JSON.stringify(message) });
    return this;
  }

  shut(code, reason = "") {
    this.onclose?.({ code, reason });
  }

  send(text) {
    this.sent.push(JSON.parse(text));
  }

  close() {
    this.closed = true;
  }
}

/** As a browser's, whose connection the test opens, breaks and refuses. */
export class FakeEventSource {
  readyState = 0;
  closed = false;

  constructor(url) {
    this.url = String(url);
    network.sources.push(this);
  }

  open() {
    this.readyState = 1;
    this.onopen?.({});
    return this;
  }

  deliver(...messages) {
    for (const message of messages) this.onmessage?.({ data: JSON.stringify(message), lastEventId: message.id ?? "" });
  }

  /** What a browser makes of a broken connection, and of anything but 200. */
  fail(final) {
    this.readyState = final ? 2 : 0;
    this.onerror?.({});
  }

  close() {
    this.readyState = 2;
    this.closed = true;
  }
}

/** An SSE answer whose body the test writes. */
export function stream() {
  let controller;
  const body = new ReadableStream({ start: (given) => (controller = given) });
  const response = new Response(body, { headers: { "content-type": "text/event-stream" } });
  return {
    response,
    deliver: (...messages) => messages.forEach((m) => controller.enqueue(encode(`data: ${JSON.stringify(m)}\n\n`))),
    write: (text) => controller.enqueue(encode(text)),
    end: () => controller.close(),
    fail: (reason) => controller.error(reason),
  };
}

const encode = (text) => new TextEncoder().encode(text);

/** No answer, until the request is given up. */
export function hanging() {
  let fail;
  const response = new Promise((_, reject) => (fail = reject));
  return { response, fail };
}

/** A JSON answer. */
export const json = (status, body, headers = {}) => new Response(JSON.stringify(body), { status, headers });

async function fakeFetch(url, init = {}) {
  network.requests.push({ url: String(url), ...init });
  const answer = network.answers.shift() ?? new TypeError("Failed to fetch");
  if (answer instanceof Error) throw answer;
  if (!answer.response) return answer;
  init.signal?.addEventListener("abort", () => answer.fail(init.signal.reason));
  return answer.response;
}

beforeEach(() => {
  Object.assign(network, { sockets: [], sources: [], requests: [], answers: [], refuses: false });
  Object.assign(globalThis, { WebSocket: FakeWebSocket, EventSource: FakeEventSource, fetch: fakeFetch, sessionStorage: {} });
  mock.timers.enable({ apis: ["setTimeout", "setInterval", "Date"] });
});

afterEach(() => mock.timers.reset());
