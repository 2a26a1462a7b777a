// Runcast through openapi-fetch, with the types that openapi-typescript generates. It knows no streams: eventsource-parser
// reads them, and this program resumes them.

import { setTimeout } from "node:timers/promises";
import { EventSourceParserStream } from "eventsource-parser/stream";
import createClient from "openapi-fetch";
import type { components, paths } from "../generated/openapi_typescript";

type RunEvent = components["schemas"]["RunEvent"];
type Problem = components["schemas"]["Problem"];
type Path = { session_id: string; run_id: string };

/** One line for each message of a log. A type that is forgotten here is a type error. */
function show(event: RunEvent): void {
  const line = (text = ""): void => console.log("id" in event ? event.id : "-", event.type, JSON.stringify(text));
  switch (event.type) {
    case "stream_start":
      return line(event.input.content);
    case "thinking_delta":
    case "stream_delta":
      return line(event.delta);
    case "thinking_end":
      return line();
    case "tool_started":
      return line(`${event.tool} ${JSON.stringify(event.args)}`);
    case "tool_call":
      return line(`${event.tool} ${event.success ? "gave" : "failed:"} ${event.result}`);
    case "turn_thinking":
      return line(event.thinking);
    case "context_compressed":
      return line(`${event.messages_before} messages are ${event.messages_after} now`);
    case "approval_requested":
      return line(`may ${event.tool} be called?`);
    case "approval_resolved":
      return line(event.approved ? "yes" : "no");
    case "custom":
      return line(event.name);
    case "stream_end":
    case "stream_cancelled":
      return line(event.content);
    case "error":
      return line(`${event.code}: ${event.message}`);
    case "gap":
      return line(`what came before ${event.earliest} is gone`);
    case "caught_up":
    case "run_queued":
      return; // about the connection
    default:
      event satisfies never; // a type that is newer than this client: ignored
  }
}

class Refused extends Error {
  constructor(readonly problem: Problem) {
    super(`${problem.status} ${problem.code}: ${problem.detail}`);
  }
}

/** What was answered, unless it was a refusal. */
function accepted<T>({ data, error }: { data?: T | undefined; error?: Problem | undefined }): T {
  if (error) throw new Refused(error);
  return data as T;
}

/** The events of a run, however often the connection breaks. */
async function* events(path: Path): AsyncGenerator<RunEvent> {
  let [last, pause] = ["0", 1_000];
  for (;;) {
    try {
      const header = { "Last-Event-ID": last };
      const opened = await api.GET(`${RUN}/events`, { params: { path, header }, parseAs: "stream" });
      if (opened.response.status === 204) return; // nothing follows the last one
      const text = accepted(opened)!.pipeThrough(new TextDecoderStream());
      const messages = text.pipeThrough(new EventSourceParserStream({ onRetry: (ms) => (pause = ms) }));
      for await (const message of messages) {
        last = message.id ?? last;
        yield JSON.parse(message.data);
      }
      return; // a stream that ends cleanly is complete
    } catch (error) {
      const passing = error instanceof Refused ? [429, 503].includes(error.problem.status) : error instanceof TypeError;
      if (!passing) throw error; // fetch's TypeError is the network's
    }
    await setTimeout(pause);
  }
}

async function follow(path: Path): Promise<void> {
  for await (const event of events(path)) show(event);
}

async function poll(path: Path): Promise<void> {
  for (let after = "0", done = false; !done; ) {
    const page = accepted(await api.GET(`${RUN}/log`, { params: { path, query: { after, wait: 20 } } }));
    page.events.forEach(show);
    ({ next: after, done } = page);
  }
}

const [baseUrl = "http://localhost:8000", content = "Hello"] = process.argv.slice(2);
const RUN = "/sessions/{session_id}/runs/{run_id}";
const token = process.env["RUNCAST_TOKEN"];
const api = createClient<paths>({ baseUrl, headers: token ? { authorization: `Bearer ${token}` } : {} });

const session = accepted(await api.POST("/sessions"));
for (const [how, read] of Object.entries({ followed: follow, polled: poll })) {
  const params = { path: { session_id: session.id } };
  const run = accepted(await api.POST("/sessions/{session_id}/runs", { params, body: { content } }));
  console.log(how, session.id, run.id);
  await read({ session_id: session.id, run_id: run.id });
}

const { error: problem } = await api.GET(RUN, { params: { path: { session_id: session.id, run_id: "nobody's" } } });
console.log("refused", problem?.status, problem?.code);
