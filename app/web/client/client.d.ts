/** Runcast's browser client. Messages are those of section 2 of the protocol, native dialect. */

/** Every run begins with it. */
export interface StreamStart {
  type: "stream_start";
  /** The position: where this stands in its session. An opaque string. */
  id: string;
  run_id: string;
  session_id: string;
  input: { content: string; images: number; files: { id: string; name: string }[] };
  /** RFC 3339 */
  at: string;
}

export interface ThinkingDelta {
  type: "thinking_delta";
  id: string;
  delta: string;
  /** The subagent that speaks; absent for the main agent. */
  agent?: string;
}

export interface ThinkingEnd {
  type: "thinking_end";
  id: string;
  agent?: string;
}

export interface StreamDelta {
  type: "stream_delta";
  id: string;
  delta: string;
  agent?: string;
}

export interface ToolStarted {
  type: "tool_started";
  id: string;
  call_id: string;
  tool: string;
  args: { [key: string]: unknown };
  is_subagent: boolean;
  agent?: string;
  /** Something was too long, and cut. */
  truncated?: boolean;
}

export interface ToolCall {
  type: "tool_call";
  id: string;
  call_id: string;
  tool: string;
  args: { [key: string]: unknown };
  result: string;
  success: boolean;
  is_subagent: boolean;
  agent?: string;
  truncated?: boolean;
}

export interface TurnThinking {
  type: "turn_thinking";
  id: string;
  thinking: string;
  is_subagent: boolean;
  agent?: string;
}

export interface ContextCompressed {
  type: "context_compressed";
  id: string;
  messages_before: number;
  messages_after: number;
}

/** The run waits until somebody answers: `session.approve(call_id, true)`. */
export interface ApprovalRequested {
  type: "approval_requested";
  id: string;
  call_id: string;
  tool: string;
  args: { [key: string]: unknown };
  reason?: string;
  truncated?: boolean;
}

export interface ApprovalResolved {
  type: "approval_resolved";
  id: string;
  call_id: string;
  approved: boolean;
  comment?: string;
}

export interface Custom {
  type: "custom";
  id: string;
  name: string;
  data: unknown;
  truncated?: boolean;
}

export interface StreamEnd {
  type: "stream_end";
  id: string;
  content: string;
  context_tokens: number;
  max_context_tokens: number;
  usage?: { input_tokens: number; output_tokens: number };
}

export interface StreamCancelled {
  type: "stream_cancelled";
  id: string;
  content: string;
  reason: string;
}

/** With an `id`, the run has failed; without one, it is about the connection. */
export interface ErrorMessage {
  type: "error";
  id?: string;
  code: string;
  message: string;
  incident?: string;
  request_id?: string;
}

/** Everything that was stored when the connection began has been given; what follows is live. */
export interface CaughtUp {
  type: "caught_up";
  position: string;
}

export interface RunQueued {
  type: "run_queued";
  run_id: string;
  number: number;
  ahead: number;
}

/** The position asked for is not in the log: what follows begins at `earliest` (P3.6). */
export interface Gap {
  type: "gap";
  requested: string;
  earliest: string;
  latest: string;
}

/** What a session or a run gives. A later server may send further types and fields, which are to be ignored. */
export type Message =
  | StreamStart
  | ThinkingDelta
  | ThinkingEnd
  | StreamDelta
  | ToolStarted
  | ToolCall
  | TurnThinking
  | ContextCompressed
  | ApprovalRequested
  | ApprovalResolved
  | Custom
  | StreamEnd
  | StreamCancelled
  | ErrorMessage
  | CaughtUp
  | RunQueued
  | Gap;

/** How a run ended. */
export type Terminal = StreamEnd | StreamCancelled | (ErrorMessage & { id: string });

export type Transport = "websocket" | "sse" | "eventsource";

/** Text that the server is shown, or a function that is asked for it anew for each attempt. */
export type Shown = string | (() => string | Promise<string>);

export interface Access {
  /** Where the server is mounted; by default where this module came from. */
  base?: string | URL;
  /** An API key or JWT, where the server asks for one. */
  token?: Shown;
  /** Instead of a token, for its session: what `POST tickets` answered somebody who has one. */
  ticket?: Shown;
}

/** What `onState` is told. */
export interface State {
  state: "connecting" | "open" | "waiting" | "closed";
  transport: Transport;
  /** The position that the connection began at, or the next one will. */
  after?: string;
  /** Milliseconds until the next attempt, when waiting. */
  delay?: number;
  /** Why there is a wait. */
  error?: unknown;
}

export interface ConnectOptions extends Access {
  /**
   * Begin strictly after this position; "0" replays the whole session. Without it, with the run in progress, or with one
   * that `send` started before anything was given.
   */
  after?: string;
  /** Follow this run alone, over SSE, up to its end. */
  run?: string;
  /** auto, the default: a WebSocket, or SSE where none comes about. */
  transport?: Transport | "auto";
  /** Ends the session and its connection. */
  signal?: AbortSignal;
  onState?: (state: State) => void;
  /**
   * Remember in `sessionStorage` how far the page has come, and begin there, not at `after`, when it is loaded again.
   * A message counts once the next one is asked for. A string is the key to remember it under.
   */
  remember?: boolean | string;
  /**
   * Use one connection together with the other tabs of this origin that follow the same with the same token or ticket.
   * A string says who this is instead: for tokens that differ from tab to tab.
   */
  share?: boolean | string;
}

export interface SendOptions {
  /** Data URLs or base64: png, jpeg, gif or webp. */
  images?: string[];
  /** Ids of uploaded files. */
  files?: (string | { name: string; path: string })[];
  /** When a run is in progress: refuse (the default), wait for it, or cancel it and go first. */
  onConflict?: "reject" | "queue" | "interrupt";
  /** What happens to the run when its last viewer has left. */
  onDisconnect?: "continue" | "cancel";
  /** Minted when absent: the same key never starts two runs. */
  idempotencyKey?: string;
}

export interface Upload {
  id: string;
  name: string;
  path: string;
  size: number;
  media_type: string;
}

/** Commands go over HTTP and, but for `upload`, are tried again until they are answered. Each throws a RuncastError when it is refused. */
export interface Session {
  /**
   * To be read once; nothing connects before, and what `send` started by then is followed from its beginning. Every
   * message of the log comes once and in order, however often the connection breaks. Ends with `close()`, with the run if
   * one is followed, or with a RuncastError that is final.
   */
  readonly messages: AsyncGenerator<Message, void, undefined>;
  /** Where the messages given so far end: another session that begins `after` this misses nothing. */
  readonly after: string | undefined;
  /** Starts a run; gives its id. */
  send(content: string, options?: SendOptions): Promise<string>;
  /** Uploads a file, which messages may then name: `send("Look", { files: [uploaded.id] })`. */
  upload(file: Blob, name?: string): Promise<Upload>;
  /** Cancels a run: by default the one in progress, as far as this session has been told, or else the server knows. */
  cancel(runId?: string): Promise<void>;
  /** Answers an `approval_requested` of the run in progress. */
  approve(callId: string, approved: boolean, comment?: string): Promise<void>;
  /** Cuts the connection as a failing network would: it is taken up again where it broke. */
  drop(): void;
  /** Ends it: the connection closes now, `messages` ends. Commands still work. */
  close(): void;
}

/** A refusal, or a connection that could not be had. */
export class RuncastError extends Error {
  constructor(code: string, message: string, more?: { final?: boolean; status?: number; wait?: number });
  /** As in section 7 of the protocol; `unreachable` when there was no answer. */
  code: string;
  /** Trying the same again can't help. */
  final: boolean;
  /** The HTTP status or the WebSocket's close code. */
  status?: number;
  /** Milliseconds that the server asked to wait. */
  wait: number;
}

/** A session to follow and to command. */
export function connect(sessionId: string, options?: ConnectOptions): Session;

/** The messages of a session, or of one run: `for await`. Leaving the loop or aborting the signal closes the connection. */
export function follow(sessionId: string, options?: ConnectOptions): Session["messages"];

/** A new session. */
export function createSession(
  options?: Access & { profile?: string; title?: string },
): Promise<{ id: string; profile: string; title: string | null; created_at: string; updated_at: string; active_run: string | null }>;

/**
 * One call of the HTTP API: a path relative to the base. Gives the answer's JSON, null if it has no body.
 * A `body` that is no FormData is sent as JSON.
 */
export function request(
  path: string,
  access?: Access,
  init?: { method?: string; body?: object; headers?: Record<string, string>; signal?: AbortSignal },
): Promise<any>;

/** Whether a message ends its run. */
export function isTerminal(message: Message): message is Terminal;
