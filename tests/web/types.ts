/** Compiled by `test_package.py`: what a program may rely on. */

import { connect, createSession, follow, isTerminal, request, RuncastError, type Message, type Session } from "../../app/web/client/client.js";
import type * as source from "../../app/web/client/src/client.js";
import type { components } from "./openapi.js";

type Same<One, Other> = [One, Other] extends [Other, One] ? true : never;

/** The messages are those of the OpenAPI document, and no others. */
type Documented = components["schemas"]["RunEvent"];
const same: Same<Message, Documented> = true;
/** So are the types of each: a message that lost a field would still be one that the other kind of check lets through. */
type Fields<Union extends { type: string }> = { [Type in Union["type"]]: Required<Extract<Union, { type: Type }>> };
const sameFields: Same<Fields<Message>, Fields<Documented>> = true;
const sameNames: Same<{ [Type in keyof Fields<Message>]: keyof Fields<Message>[Type] }, { [Type in keyof Fields<Documented>]: keyof Fields<Documented>[Type] }> = true;

/** What the sources are takes and gives what the types say. */
const connects: (id: string, options?: Parameters<typeof connect>[1]) => Omit<Session, "messages"> = null! as typeof source.connect;
const requests: typeof request = null! as typeof source.request;
const creates: typeof createSession = null! as typeof source.createSession;

function text(message: Message): string {
  switch (message.type) {
    case "stream_start":
      return message.input.content;
    case "thinking_delta":
    case "stream_delta":
      return message.delta;
    case "tool_started":
    case "approval_requested":
      return `${message.tool} ${Object.keys(message.args)}`;
    case "tool_call":
      return message.result;
    case "turn_thinking":
      return message.thinking;
    case "context_compressed":
      return `${message.messages_before - message.messages_after}`;
    case "approval_resolved":
      return message.comment ?? "";
    case "custom":
      return message.name;
    case "stream_end":
    case "stream_cancelled":
      return message.content;
    case "error":
      return message.message;
    case "caught_up":
      return message.position;
    case "run_queued":
      return `${message.ahead}`;
    case "gap":
      return message.earliest;
    case "thinking_end":
      return message.agent ?? "";
    default: {
      const nothing: never = message;
      return nothing;
    }
  }
}

export async function program(): Promise<string> {
  const { id } = await createSession({ profile: "demo", token: async () => "secret" });
  const session = connect(id, { transport: "eventsource", remember: true, share: "ada", onState: ({ delay }) => delay });
  const run: string = await session.send("Hello", { onConflict: "queue" });
  // @ts-expect-error there is no such transport
  connect(id, { transport: "carrier pigeon" });
  for await (const message of session.messages) {
    text(message);
    if (isTerminal(message)) return message.id; // which every end has
  }
  for await (const message of follow(id, { run, after: session.after })) if (message.type === "stream_end") return message.content;
  const error = new RuncastError("unreachable", "no", { final: false });
  return error.code;
}

export { connects, creates, requests, same, sameFields, sameNames };
