"""The bodies that clients get. Times are RFC 3339, UTC."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Generic, Literal, Self, TypeVar

from pydantic import BaseModel, Field, PlainSerializer, WithJsonSchema

from agent_server.agents import Agent
from agent_server.events import ErrorInfo, Usage
from agent_server.messages import JsonObject, Message
from agent_server.status import RunStatus
from agent_server.store import RunRow, ThreadRow, ToolCallRow, TurnRow
from agent_server.tooling.spec import ToolSpec

Item = TypeVar("Item")


def _rfc3339(micros: int) -> str:
    moment = datetime.fromtimestamp(micros / 1_000_000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


Time = Annotated[
    int,
    PlainSerializer(_rfc3339, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
"""Epoch microseconds in rows, RFC 3339 outside."""


class Page(BaseModel, Generic[Item]):
    """A page of a list; ``next_cursor`` fetches the next one."""

    data: Sequence[Item]
    has_more: bool
    next_cursor: str | None


class Turn(BaseModel):
    """One turn of a run."""

    turn: int
    attempt: int
    model: str
    status: str
    stop_reason: str | None
    usage: JsonObject
    ttft_ms: int | None
    duration_ms: int | None
    first_seq: int
    last_seq: int | None


class ToolCall(BaseModel):
    """One tool call of a run; ``kind`` says how it failed."""

    call_id: str
    turn: int | None
    name: str
    state: str
    attempt: int
    isolation: str | None
    kind: str | None
    duration_ms: int | None
    requested_seq: int | None
    result_seq: int | None


class _RunFields(BaseModel):
    id: str
    thread_id: str
    status: RunStatus
    kind: str
    agent: str
    model: str
    trigger: str
    stop_reason: str | None
    incomplete_reason: str | None
    cancelled_by: str | None
    error: ErrorInfo | None
    usage: Usage
    cost_usd: float | None
    last_seq: int
    metadata: JsonObject
    previous_run_id: str | None
    created_at: Time
    started_at: Time | None
    finished_at: Time | None


class RunSummary(_RunFields):
    """A run in a list: ``turns`` and ``tool_calls`` are counts."""

    turns: int
    tool_calls: int

    @classmethod
    def of(cls, row: RunRow) -> Self:
        """Make the summary from the run's row."""
        return cls.model_validate(
            {**_run_fields(row), "turns": row.turn_count, "tool_calls": row.tool_call_count}
        )


class RunRecord(_RunFields):
    """A run in full."""

    output: str | None = Field(description="The text of the last turn, once the run has ended")
    limits: JsonObject
    turns: list[Turn]
    tool_calls: list[ToolCall]
    approvals: list[JsonObject]

    @classmethod
    def of(
        cls, row: RunRow, *, turns: Sequence[TurnRow] = (), calls: Sequence[ToolCallRow] = ()
    ) -> Self:
        """Make the record from the run's rows."""
        return cls.model_validate(
            {
                **_run_fields(row),
                "output": row.output,
                "limits": row.limits,
                "turns": [Turn.model_validate(turn, from_attributes=True) for turn in turns],
                "tool_calls": [
                    ToolCall.model_validate(call, from_attributes=True) for call in calls
                ],
                "approvals": [],
            }
        )


def _run_fields(row: RunRow) -> JsonObject:
    return {name: getattr(row, name) for name in _RunFields.model_fields}


class Thread(BaseModel):
    """A conversation that runs add to."""

    id: str
    external_id: str | None
    head_run_id: str | None
    metadata: JsonObject
    created_at: Time
    updated_at: Time

    @classmethod
    def of(cls, row: ThreadRow) -> Self:
        """Make it from the thread's row."""
        return cls.model_validate(row, from_attributes=True)


class Messages(BaseModel):
    """A transcript in the Messages API's shape."""

    data: list[Message]
    has_more: Literal[False] = False
    next_cursor: None = None


class AgentRecord(BaseModel):
    """A configured agent. Its instructions are not shown."""

    name: str
    model: str
    tools: list[str]
    max_tokens: int
    limits: JsonObject
    overridable: list[str]

    @classmethod
    def of(cls, agent: Agent) -> Self:
        """Make it from the agent."""
        return cls.model_validate(agent.model_dump(include=set(cls.model_fields)))


class ToolRecord(BaseModel):
    """A registered tool: what the model is told of it, and what it may do."""

    name: str
    description: str
    input_schema: JsonObject
    version: str
    effects: str
    approval: str
    isolation: str
    timeout_s: float
    cpu_s: float
    memory_mb: int
    output_kb: int
    network: list[str]
    subprocess: bool
    parallel: bool

    @classmethod
    def of(cls, tool: ToolSpec) -> Self:
        """Make it from the tool's spec; paths and names of secrets stay inside."""
        fields = tool.model_dump(include=set(cls.model_fields))
        return cls.model_validate({**fields, "version": tool.version})


class CallError(BaseModel):
    """Why a tool call has no result."""

    kind: str
    message: str


class ToolCallResult(BaseModel):
    """What a direct tool call came to. It is also on record, as the run ``run_id``."""

    run_id: str
    status: Literal["completed", "failed"]
    content: list[JsonObject] = Field(default_factory=list)
    output: Any = None
    error: CallError | None = None
    stdout: str = ""
    stderr: str = ""
    duration_ms: int | None = None
    cpu_ms: int | None = None
    peak_rss_kb: int | None = None
    isolation: str | None = None
    truncated: bool = False


class ChatAnswer(BaseModel):
    """The answer of ``POST /chat`` with ``stream: false``."""

    run_id: str
    role: Literal["assistant"] = "assistant"
    content: str
    stop_reason: str | None
    usage: Usage


class ErrorBody(BaseModel):
    """What went wrong, in words for people and codes for programs."""

    type: str
    code: str
    message: str
    retryable: bool
    retry_after_ms: int | None
    param: str | None
    details: list[JsonObject]


class ErrorEnvelope(BaseModel):
    """Every error of the server. With ``Accept: application/problem+json``: RFC 9457 instead."""

    type: Literal["error"] = "error"
    error: ErrorBody
    request_id: str
