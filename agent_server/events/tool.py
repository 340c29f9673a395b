"""Events of a tool call: asked for, judged, approved, run, answered."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from agent_server.events.shape import EventModel, Executor, FailureKind, Isolation
from agent_server.messages import JsonObject


class ToolCallStarted(EventModel):
    """The model begins to ask for a tool."""

    type: Literal["tool_call.started"] = "tool_call.started"
    call_id: str
    name: str
    block: str
    executor: Executor


class ToolCallInputDelta(EventModel):
    """More of a call's input, as JSON text."""

    type: Literal["tool_call.input_delta"] = "tool_call.input_delta"
    call_id: str
    partial_json: str


class ToolCallRequested(EventModel):
    """The call's input, strictly parsed and valid."""

    type: Literal["tool_call.requested"] = "tool_call.requested"
    call_id: str
    name: str
    input: JsonObject


class InputError(BaseModel):
    """One reason why an input was refused; ``path`` is a JSON pointer (RFC 6901)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    message: str


class ToolCallRejected(EventModel):
    """The call was refused before anything ran; a failed result follows."""

    type: Literal["tool_call.rejected"] = "tool_call.rejected"
    call_id: str
    errors: list[InputError]
    raw: str = Field(description="The input as the model wrote it, at most 4 KiB")


class ApprovalRequested(EventModel):
    """A person must decide before the call runs."""

    type: Literal["approval.requested"] = "approval.requested"
    approval_id: str
    call_id: str
    name: str
    input: JsonObject
    input_hash: str
    reason: str
    expires_at: int | None = Field(description="Epoch milliseconds")


class ApprovalResolved(EventModel):
    """A person, or the expiry, has decided."""

    type: Literal["approval.resolved"] = "approval.resolved"
    approval_id: str
    call_id: str
    decision: Literal["approve", "deny", "expired"]
    by: str | None
    note: str | None
    edited_input: JsonObject | None


class ToolCallRunning(EventModel):
    """The call's process is about to start: after this commit it may have effects."""

    type: Literal["tool_call.running"] = "tool_call.running"
    call_id: str
    attempt: int
    isolation: Isolation
    limits: JsonObject


class ToolCallOutput(EventModel):
    """What the tool printed."""

    type: Literal["tool_call.output"] = "tool_call.output"
    call_id: str
    stream: Literal["stdout", "stderr"]
    text: str


class ToolCallProgress(EventModel):
    """How far the tool is."""

    type: Literal["tool_call.progress"] = "tool_call.progress"
    call_id: str
    progress: float
    total: float | None
    message: str | None


class ToolResultCompleted(EventModel):
    """The call's result: ``content`` goes to the model, ``output`` is the returned JSON value."""

    type: Literal["tool_result.completed"] = "tool_result.completed"
    call_id: str
    content: list[JsonObject]
    output: Any = None
    duration_ms: int | None = None
    cpu_ms: int | None = None
    peak_rss_kb: int | None = None
    truncated: bool = False


class ToolResultFailed(EventModel):
    """The call has no result; the model reads ``message``."""

    type: Literal["tool_result.failed"] = "tool_result.failed"
    call_id: str
    kind: FailureKind
    message: str
    retryable: bool
    duration_ms: int | None = None
