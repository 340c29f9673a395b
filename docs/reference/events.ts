// Generated from agent_server/events by `python -m agent_server.wire.reference`.

/** Any JSON value. */
export type Json = string | number | boolean | null | Json[] | { [key: string]: Json };

/** What became of one tool call when its run was cancelled. */
export interface CallReceipt {
  call_id: string;
  outcome: "killed" | "finished" | "uncertain";
}

/** A failure, safe to show. */
export interface ErrorInfo {
  code: string;
  message: string;
  retryable: boolean;
  /** The provider's id of the request */
  request_id: string | null;
}

/** One reason why an input was refused; ``path`` is a JSON pointer (RFC 6901). */
export interface InputError {
  path: string;
  message: string;
}

/** One message of a conversation; ``content`` is always a list of blocks inside the server. */
export interface Message {
  role: "user" | "assistant";
  content: Record<string, Json>[];
}

/** One change made to a history so that the provider accepts it. */
export interface Repair {
  kind: "answered_orphan" | "dropped_stray_result" | "dropped_empty_text" | "dropped_empty_message";
  call_id: string | null;
}

/** Tokens and calls of a turn or of a whole run. */
export interface Usage {
  input_tokens: number;
  output_tokens: number;
  cache_read_input_tokens: number;
  cache_creation_input_tokens: number;
  model_calls: number;
  tool_calls: number;
}

/** The run exists and its input is on disk. */
export interface RunCreated {
  /** Version of the event's encoding */
  v: 1;
  /** The run it belongs to */
  run_id: string;
  /** The run's thread */
  thread_id: string;
  /** Its number in the run, without gaps; the SSE id */
  seq: number;
  /** When it happened, epoch milliseconds */
  ts: number;
  type: "run.created";
  /** The turn it belongs to; null outside turns */
  turn: number | null;
  agent: string;
  model: string;
  input: Message[];
  limits: Record<string, Json>;
  kind: "agent" | "tool";
  trigger: "api" | "chat" | "ui" | "tool" | "retry" | "regenerate" | "fork" | "mcp";
  previous_run_id: string | null;
  parent_run_id: string | null;
  root_run_id: string | null;
  parent_call_id: string | null;
  fork_seq: number | null;
}

/** Work began. Comes once; every later claim emits ``run.resumed``. */
export interface RunStarted {
  /** Version of the event's encoding */
  v: 1;
  /** The run it belongs to */
  run_id: string;
  /** The run's thread */
  thread_id: string;
  /** Its number in the run, without gaps; the SSE id */
  seq: number;
  /** When it happened, epoch milliseconds */
  ts: number;
  type: "run.started";
  /** The turn it belongs to; null outside turns */
  turn: number | null;
  attempt: number;
}

/** The run waits for people or clients and holds no memory. */
export interface RunWaiting {
  /** Version of the event's encoding */
  v: 1;
  /** The run it belongs to */
  run_id: string;
  /** The run's thread */
  thread_id: string;
  /** Its number in the run, without gaps; the SSE id */
  seq: number;
  /** When it happened, epoch milliseconds */
  ts: number;
  type: "run.waiting";
  /** The turn it belongs to; null outside turns */
  turn: number | null;
  reason: "approval" | "client_tool";
  approvals: string[];
}

/** The run goes on, perhaps in another process. */
export interface RunResumed {
  /** Version of the event's encoding */
  v: 1;
  /** The run it belongs to */
  run_id: string;
  /** The run's thread */
  thread_id: string;
  /** Its number in the run, without gaps; the SSE id */
  seq: number;
  /** When it happened, epoch milliseconds */
  ts: number;
  type: "run.resumed";
  /** The turn it belongs to; null outside turns */
  turn: number | null;
  reason: "approval" | "client_tool" | "crash" | "drain" | "attempt";
  attempt: number;
  answers: string[];
}

/** The model was done. Terminal. */
export interface RunCompleted {
  /** Version of the event's encoding */
  v: 1;
  /** The run it belongs to */
  run_id: string;
  /** The run's thread */
  thread_id: string;
  /** Its number in the run, without gaps; the SSE id */
  seq: number;
  /** When it happened, epoch milliseconds */
  ts: number;
  type: "run.completed";
  /** The turn it belongs to; null outside turns */
  turn: number | null;
  stop_reason: string | null;
  /** The text of the last turn */
  output: string;
  usage: Usage;
  cost_usd: number | null;
  duration_ms: number;
}

/** The run ended at a limit, a refusal or a deadline, with what it had. Terminal. */
export interface RunIncomplete {
  /** Version of the event's encoding */
  v: 1;
  /** The run it belongs to */
  run_id: string;
  /** The run's thread */
  thread_id: string;
  /** Its number in the run, without gaps; the SSE id */
  seq: number;
  /** When it happened, epoch milliseconds */
  ts: number;
  type: "run.incomplete";
  /** The turn it belongs to; null outside turns */
  turn: number | null;
  reason: "max_turns" | "max_tokens" | "max_tool_calls" | "budget" | "deadline" | "context_window" | "refusal";
  output: string;
  usage: Usage;
  cost_usd: number | null;
  duration_ms: number;
}

/** The run could not go on. Terminal. */
export interface RunFailed {
  /** Version of the event's encoding */
  v: 1;
  /** The run it belongs to */
  run_id: string;
  /** The run's thread */
  thread_id: string;
  /** Its number in the run, without gaps; the SSE id */
  seq: number;
  /** When it happened, epoch milliseconds */
  ts: number;
  type: "run.failed";
  /** The turn it belongs to; null outside turns */
  turn: number | null;
  error: ErrorInfo;
  usage: Usage;
  cost_usd: number | null;
  duration_ms: number;
}

/** Somebody stopped the run; its tools are dead. Terminal. */
export interface RunCancelled {
  /** Version of the event's encoding */
  v: 1;
  /** The run it belongs to */
  run_id: string;
  /** The run's thread */
  thread_id: string;
  /** Its number in the run, without gaps; the SSE id */
  seq: number;
  /** When it happened, epoch milliseconds */
  ts: number;
  type: "run.cancelled";
  /** The turn it belongs to; null outside turns */
  turn: number | null;
  by: "user" | "disconnect" | "interrupt";
  calls: CallReceipt[];
  usage: Usage;
  cost_usd: number | null;
  duration_ms: number;
}

/** The model was asked. */
export interface TurnStarted {
  /** Version of the event's encoding */
  v: 1;
  /** The run it belongs to */
  run_id: string;
  /** The run's thread */
  thread_id: string;
  /** Its number in the run, without gaps; the SSE id */
  seq: number;
  /** When it happened, epoch milliseconds */
  ts: number;
  type: "turn.started";
  /** The turn it belongs to; null outside turns */
  turn: number | null;
  model: string;
  attempt: number;
}

/** One model response is complete; ``message`` holds its blocks exactly as received. */
export interface TurnCompleted {
  /** Version of the event's encoding */
  v: 1;
  /** The run it belongs to */
  run_id: string;
  /** The run's thread */
  thread_id: string;
  /** Its number in the run, without gaps; the SSE id */
  seq: number;
  /** When it happened, epoch milliseconds */
  ts: number;
  type: "turn.completed";
  /** The turn it belongs to; null outside turns */
  turn: number | null;
  stop_reason: string | null;
  message: Message;
  usage: Usage;
  /** The provider's own usage object, verbatim */
  provider_usage: Record<string, Json>;
  /** Milliseconds from request to first content */
  ttft_ms: number | null;
  duration_ms: number;
}

/** The turn is asked again: drop what it showed so far. */
export interface TurnRestarted {
  /** Version of the event's encoding */
  v: 1;
  /** The run it belongs to */
  run_id: string;
  /** The run's thread */
  thread_id: string;
  /** Its number in the run, without gaps; the SSE id */
  seq: number;
  /** When it happened, epoch milliseconds */
  ts: number;
  type: "turn.restarted";
  /** The turn it belongs to; null outside turns */
  turn: number | null;
  attempt: number;
  reason: string;
}

/** An attempt at the model failed; the next one follows after ``delay_ms``. */
export interface ModelRetried {
  /** Version of the event's encoding */
  v: 1;
  /** The run it belongs to */
  run_id: string;
  /** The run's thread */
  thread_id: string;
  /** Its number in the run, without gaps; the SSE id */
  seq: number;
  /** When it happened, epoch milliseconds */
  ts: number;
  type: "model.retried";
  /** The turn it belongs to; null outside turns */
  turn: number | null;
  attempt: number;
  reason: string;
  delay_ms: number;
}

/** The model begins a text block. */
export interface TextStarted {
  /** Version of the event's encoding */
  v: 1;
  /** The run it belongs to */
  run_id: string;
  /** The run's thread */
  thread_id: string;
  /** Its number in the run, without gaps; the SSE id */
  seq: number;
  /** When it happened, epoch milliseconds */
  ts: number;
  type: "text.started";
  /** The turn it belongs to; null outside turns */
  turn: number | null;
  block: string;
}

/** More text of a block. */
export interface TextDelta {
  /** Version of the event's encoding */
  v: 1;
  /** The run it belongs to */
  run_id: string;
  /** The run's thread */
  thread_id: string;
  /** Its number in the run, without gaps; the SSE id */
  seq: number;
  /** When it happened, epoch milliseconds */
  ts: number;
  type: "text.delta";
  /** The turn it belongs to; null outside turns */
  turn: number | null;
  block: string;
  delta: string;
}

/** A text block in full. */
export interface TextCompleted {
  /** Version of the event's encoding */
  v: 1;
  /** The run it belongs to */
  run_id: string;
  /** The run's thread */
  thread_id: string;
  /** Its number in the run, without gaps; the SSE id */
  seq: number;
  /** When it happened, epoch milliseconds */
  ts: number;
  type: "text.completed";
  /** The turn it belongs to; null outside turns */
  turn: number | null;
  block: string;
  text: string;
  citations: Record<string, Json>[];
}

/** The model begins a thinking block. */
export interface ThinkingStarted {
  /** Version of the event's encoding */
  v: 1;
  /** The run it belongs to */
  run_id: string;
  /** The run's thread */
  thread_id: string;
  /** Its number in the run, without gaps; the SSE id */
  seq: number;
  /** When it happened, epoch milliseconds */
  ts: number;
  type: "thinking.started";
  /** The turn it belongs to; null outside turns */
  turn: number | null;
  block: string;
}

/** More thinking of a block. */
export interface ThinkingDelta {
  /** Version of the event's encoding */
  v: 1;
  /** The run it belongs to */
  run_id: string;
  /** The run's thread */
  thread_id: string;
  /** Its number in the run, without gaps; the SSE id */
  seq: number;
  /** When it happened, epoch milliseconds */
  ts: number;
  type: "thinking.delta";
  /** The turn it belongs to; null outside turns */
  turn: number | null;
  block: string;
  thinking: string;
}

/** A thinking block in full; its signature stays in ``turn.completed``. */
export interface ThinkingCompleted {
  /** Version of the event's encoding */
  v: 1;
  /** The run it belongs to */
  run_id: string;
  /** The run's thread */
  thread_id: string;
  /** Its number in the run, without gaps; the SSE id */
  seq: number;
  /** When it happened, epoch milliseconds */
  ts: number;
  type: "thinking.completed";
  /** The turn it belongs to; null outside turns */
  turn: number | null;
  block: string;
  text: string;
  redacted: boolean;
}

/** The model begins to ask for a tool. */
export interface ToolCallStarted {
  /** Version of the event's encoding */
  v: 1;
  /** The run it belongs to */
  run_id: string;
  /** The run's thread */
  thread_id: string;
  /** Its number in the run, without gaps; the SSE id */
  seq: number;
  /** When it happened, epoch milliseconds */
  ts: number;
  type: "tool_call.started";
  /** The turn it belongs to; null outside turns */
  turn: number | null;
  call_id: string;
  name: string;
  block: string;
  executor: "server" | "client" | "provider" | "mcp";
}

/** More of a call's input, as JSON text. */
export interface ToolCallInputDelta {
  /** Version of the event's encoding */
  v: 1;
  /** The run it belongs to */
  run_id: string;
  /** The run's thread */
  thread_id: string;
  /** Its number in the run, without gaps; the SSE id */
  seq: number;
  /** When it happened, epoch milliseconds */
  ts: number;
  type: "tool_call.input_delta";
  /** The turn it belongs to; null outside turns */
  turn: number | null;
  call_id: string;
  partial_json: string;
}

/** The call's input, strictly parsed and valid. */
export interface ToolCallRequested {
  /** Version of the event's encoding */
  v: 1;
  /** The run it belongs to */
  run_id: string;
  /** The run's thread */
  thread_id: string;
  /** Its number in the run, without gaps; the SSE id */
  seq: number;
  /** When it happened, epoch milliseconds */
  ts: number;
  type: "tool_call.requested";
  /** The turn it belongs to; null outside turns */
  turn: number | null;
  call_id: string;
  name: string;
  input: Record<string, Json>;
}

/** The call was refused before anything ran; a failed result follows. */
export interface ToolCallRejected {
  /** Version of the event's encoding */
  v: 1;
  /** The run it belongs to */
  run_id: string;
  /** The run's thread */
  thread_id: string;
  /** Its number in the run, without gaps; the SSE id */
  seq: number;
  /** When it happened, epoch milliseconds */
  ts: number;
  type: "tool_call.rejected";
  /** The turn it belongs to; null outside turns */
  turn: number | null;
  call_id: string;
  errors: InputError[];
  /** The input as the model wrote it, at most 4 KiB */
  raw: string;
}

/** A person must decide before the call runs. */
export interface ApprovalRequested {
  /** Version of the event's encoding */
  v: 1;
  /** The run it belongs to */
  run_id: string;
  /** The run's thread */
  thread_id: string;
  /** Its number in the run, without gaps; the SSE id */
  seq: number;
  /** When it happened, epoch milliseconds */
  ts: number;
  type: "approval.requested";
  /** The turn it belongs to; null outside turns */
  turn: number | null;
  approval_id: string;
  call_id: string;
  name: string;
  input: Record<string, Json>;
  input_hash: string;
  reason: string;
  /** Epoch milliseconds */
  expires_at: number | null;
}

/** A person, or the expiry, has decided. */
export interface ApprovalResolved {
  /** Version of the event's encoding */
  v: 1;
  /** The run it belongs to */
  run_id: string;
  /** The run's thread */
  thread_id: string;
  /** Its number in the run, without gaps; the SSE id */
  seq: number;
  /** When it happened, epoch milliseconds */
  ts: number;
  type: "approval.resolved";
  /** The turn it belongs to; null outside turns */
  turn: number | null;
  approval_id: string;
  call_id: string;
  decision: "approve" | "deny" | "expired";
  by: string | null;
  note: string | null;
  edited_input: Record<string, Json> | null;
}

/** The call's process is about to start: after this commit it may have effects. */
export interface ToolCallRunning {
  /** Version of the event's encoding */
  v: 1;
  /** The run it belongs to */
  run_id: string;
  /** The run's thread */
  thread_id: string;
  /** Its number in the run, without gaps; the SSE id */
  seq: number;
  /** When it happened, epoch milliseconds */
  ts: number;
  type: "tool_call.running";
  /** The turn it belongs to; null outside turns */
  turn: number | null;
  call_id: string;
  attempt: number;
  isolation: "process" | "inline";
  limits: Record<string, Json>;
}

/** What the tool printed. */
export interface ToolCallOutput {
  /** Version of the event's encoding */
  v: 1;
  /** The run it belongs to */
  run_id: string;
  /** The run's thread */
  thread_id: string;
  /** Its number in the run, without gaps; the SSE id */
  seq: number;
  /** When it happened, epoch milliseconds */
  ts: number;
  type: "tool_call.output";
  /** The turn it belongs to; null outside turns */
  turn: number | null;
  call_id: string;
  stream: "stdout" | "stderr";
  text: string;
}

/** How far the tool is. */
export interface ToolCallProgress {
  /** Version of the event's encoding */
  v: 1;
  /** The run it belongs to */
  run_id: string;
  /** The run's thread */
  thread_id: string;
  /** Its number in the run, without gaps; the SSE id */
  seq: number;
  /** When it happened, epoch milliseconds */
  ts: number;
  type: "tool_call.progress";
  /** The turn it belongs to; null outside turns */
  turn: number | null;
  call_id: string;
  progress: number;
  total: number | null;
  message: string | null;
}

/** The call's result: ``content`` goes to the model, ``output`` is the returned JSON value. */
export interface ToolResultCompleted {
  /** Version of the event's encoding */
  v: 1;
  /** The run it belongs to */
  run_id: string;
  /** The run's thread */
  thread_id: string;
  /** Its number in the run, without gaps; the SSE id */
  seq: number;
  /** When it happened, epoch milliseconds */
  ts: number;
  type: "tool_result.completed";
  /** The turn it belongs to; null outside turns */
  turn: number | null;
  call_id: string;
  content: Record<string, Json>[];
  output: Json;
  duration_ms: number | null;
  cpu_ms: number | null;
  peak_rss_kb: number | null;
  truncated: boolean;
}

/** The call has no result; the model reads ``message``. */
export interface ToolResultFailed {
  /** Version of the event's encoding */
  v: 1;
  /** The run it belongs to */
  run_id: string;
  /** The run's thread */
  thread_id: string;
  /** Its number in the run, without gaps; the SSE id */
  seq: number;
  /** When it happened, epoch milliseconds */
  ts: number;
  type: "tool_result.failed";
  /** The turn it belongs to; null outside turns */
  turn: number | null;
  call_id: string;
  kind: "exception" | "timeout" | "cpu" | "memory" | "output" | "crashed" | "syscall" | "denied" | "not_found" | "invalid_input" | "cancelled" | "interrupted" | "sandbox_unavailable";
  message: string;
  retryable: boolean;
  duration_ms: number | null;
}

/** A message joined the run after its start. */
export interface MessageAdded {
  /** Version of the event's encoding */
  v: 1;
  /** The run it belongs to */
  run_id: string;
  /** The run's thread */
  thread_id: string;
  /** Its number in the run, without gaps; the SSE id */
  seq: number;
  /** When it happened, epoch milliseconds */
  ts: number;
  type: "message.added";
  /** The turn it belongs to; null outside turns */
  turn: number | null;
  message: Message;
  origin: "input" | "steer";
}

/** The history sent to the provider was made valid. */
export interface HistoryRepaired {
  /** Version of the event's encoding */
  v: 1;
  /** The run it belongs to */
  run_id: string;
  /** The run's thread */
  thread_id: string;
  /** Its number in the run, without gaps; the SSE id */
  seq: number;
  /** When it happened, epoch milliseconds */
  ts: number;
  type: "history.repaired";
  /** The turn it belongs to; null outside turns */
  turn: number | null;
  repairs: Repair[];
}

/** Turns were left out of the history sent to the provider. */
export interface HistoryTrimmed {
  /** Version of the event's encoding */
  v: 1;
  /** The run it belongs to */
  run_id: string;
  /** The run's thread */
  thread_id: string;
  /** Its number in the run, without gaps; the SSE id */
  seq: number;
  /** When it happened, epoch milliseconds */
  ts: number;
  type: "history.trimmed";
  /** The turn it belongs to; null outside turns */
  turn: number | null;
  turns: number[];
  reason: string;
}

/** A budget is nearly used up. */
export interface BudgetWarned {
  /** Version of the event's encoding */
  v: 1;
  /** The run it belongs to */
  run_id: string;
  /** The run's thread */
  thread_id: string;
  /** Its number in the run, without gaps; the SSE id */
  seq: number;
  /** When it happened, epoch milliseconds */
  ts: number;
  type: "budget.warned";
  /** The turn it belongs to; null outside turns */
  turn: number | null;
  which: string;
  used: number;
  limit: number;
}

/** A provider event, delta or block this version does not know, verbatim. */
export interface ProviderRaw {
  /** Version of the event's encoding */
  v: 1;
  /** The run it belongs to */
  run_id: string;
  /** The run's thread */
  thread_id: string;
  /** Its number in the run, without gaps; the SSE id */
  seq: number;
  /** When it happened, epoch milliseconds */
  ts: number;
  type: "provider.raw";
  /** The turn it belongs to; null outside turns */
  turn: number | null;
  event: Record<string, Json>;
}

/** One event of a run. Ignore types, fields and enum values you do not know. */
export type Event =
  | RunCreated
  | RunStarted
  | RunWaiting
  | RunResumed
  | RunCompleted
  | RunIncomplete
  | RunFailed
  | RunCancelled
  | TurnStarted
  | TurnCompleted
  | TurnRestarted
  | ModelRetried
  | TextStarted
  | TextDelta
  | TextCompleted
  | ThinkingStarted
  | ThinkingDelta
  | ThinkingCompleted
  | ToolCallStarted
  | ToolCallInputDelta
  | ToolCallRequested
  | ToolCallRejected
  | ApprovalRequested
  | ApprovalResolved
  | ToolCallRunning
  | ToolCallOutput
  | ToolCallProgress
  | ToolResultCompleted
  | ToolResultFailed
  | MessageAdded
  | HistoryRepaired
  | HistoryTrimmed
  | BudgetWarned
  | ProviderRaw;

export type EventType = Event["type"];
