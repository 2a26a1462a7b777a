/**
 * Listens in on what the client sends and receives: WebSockets, EventSource, and fetch where it streams or commands.
 * What passes is not changed.
 */

/** @param {(seen: {direction: "in" | "out", via: "websocket" | "sse" | "http", text: string, type?: string}) => void} record */
export function tap(record) {
  globalThis.WebSocket = class extends globalThis.WebSocket {
    constructor(...given) {
      super(...given);
      this.addEventListener("message", ({ data }) => record({ direction: "in", via: "websocket", text: String(data) }));
    }

    send(data) {
      record({ direction: "out", via: "websocket", text: String(data) });
      super.send(data);
    }
  };
  globalThis.EventSource = class extends globalThis.EventSource {
    constructor(...given) {
      super(...given);
      this.addEventListener("message", ({ data }) => record({ direction: "in", via: "sse", text: data }));
    }
  };
  const plain = globalThis.fetch;
  globalThis.fetch = async (input, init) => {
    const command = commanded(input, init);
    if (command) record({ direction: "out", ...command });
    const response = await plain(input, init);
    if (command) tellAnswer(response.clone(), command, record).catch(() => {}); // it was cut
    const streams = response.body && response.headers.get("content-type")?.startsWith("text/event-stream");
    return streams ? new Response(response.body.pipeThrough(listener(record)), response) : response;
  };
}

/** What a request does, if it does something. */
function commanded(input, { method = "GET", body } = {}) {
  if (method === "GET") return null;
  const path = new URL(input.url ?? input, location.href).pathname;
  return { via: "http", type: `${method} ${path.split("/").at(-1)}`, text: typeof body === "string" ? body : "" };
}

async function tellAnswer(response, { via, type }, record) {
  const text = (await response.text()).replace(/("ticket":")[^"]*/, "$1…"); // it opens the session for five minutes
  record({ direction: "in", via, type: `${type}: ${response.status}`, text });
}

/** Hands bytes on, and records the data of each event among them: one line each (P2.1). */
function listener(record) {
  const decoder = new TextDecoder();
  let rest = "";
  return new TransformStream({
    transform(chunk, controller) {
      const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines)
        if (line.startsWith("data:")) record({ direction: "in", via: "sse", text: line.slice(5).trim() });
      controller.enqueue(chunk);
    },
  });
}
