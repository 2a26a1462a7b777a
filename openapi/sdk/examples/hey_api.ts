// Runcast through the client that @hey-api/openapi-ts generates. Its streams are typed, and resume by themselves.

import { createSession, followRun, getRun, readLog, startRun, type RunEvent } from "../generated/hey_api";
import { client } from "../generated/hey_api/client.gen";

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

const isTerminal = (event: RunEvent): boolean => ["stream_end", "stream_cancelled", "error"].includes(event.type);

/** By itself the generated stream asks again after whatever goes wrong, and for ever: refusals have to be thrown. */
function giveUp(error: unknown): void {
  if (error instanceof Error && /^(SSE failed: 4(?!29)|No body)/.test(error.message)) throw error;
}

async function follow(path: Path): Promise<void> {
  const { stream } = await followRun({ path, onSseError: giveUp, sseMaxRetryDelay: 5_000 });
  for await (const event of stream) {
    show(event);
    if (isTerminal(event)) return;
  }
}

async function poll(path: Path): Promise<void> {
  for (let after = "0", done = false; !done; ) {
    const { data: page } = await readLog({ path, query: { after, wait: 20 }, throwOnError: true });
    page.events.forEach(show);
    ({ next: after, done } = page);
  }
}

const [baseUrl = "http://localhost:8000", content = "Hello"] = process.argv.slice(2);
const token = process.env["RUNCAST_TOKEN"];
// As a plain string it would also go into the URLs, as the `ticket` that some operations take instead.
client.setConfig({ baseUrl, auth: ({ type }) => (type === "http" ? token : undefined) });

const { data: session } = await createSession({ throwOnError: true });
for (const [how, read] of Object.entries({ followed: follow, polled: poll })) {
  const started = await startRun({ path: { session_id: session.id }, body: { content }, throwOnError: true });
  console.log(how, session.id, started.data.id);
  await read({ session_id: session.id, run_id: started.data.id });
}

const { error: problem } = await getRun({ path: { session_id: session.id, run_id: "nobody's" } });
console.log("refused", problem?.status, problem?.code);
