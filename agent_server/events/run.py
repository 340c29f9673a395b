"""Events of a run as a whole: its beginning, its waits and its one end."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from agent_server.events.shape import CancelledBy, EventModel, IncompleteReason, Usage
from agent_server.messages import JsonObject, Message


class RunCreated(EventModel):
    """The run exists and its input is on disk."""

    type: Literal["run.created"] = "run.created"
    agent: str
    model: str
    input: list[Message]
    limits: JsonObject
    kind: Literal["agent", "tool"] = "agent"
    trigger: Literal["api", "chat", "ui", "tool", "retry", "regenerate", "fork", "mcp"] = "api"
    previous_run_id: str | None = None
    parent_run_id: str | None = None
    root_run_id: str | None = None
    parent_call_id: str | None = None
    fork_seq: int | None = None


class RunStarted(EventModel):
    """Work began. Comes once; every later claim emits ``run.resumed``."""

    type: Literal["run.started"] = "run.started"
    attempt: int = 1


class RunWaiting(EventModel):
    """The run waits for people or clients and holds no memory."""

    type: Literal["run.waiting"] = "run.waiting"
    reason: Literal["approval", "client_tool"]
    approvals: list[str]


class RunResumed(EventModel):
    """The run goes on, perhaps in another process."""

    type: Literal["run.resumed"] = "run.resumed"
    reason: Literal["approval", "client_tool", "crash", "drain", "attempt"]
    attempt: int
    answers: list[str] = Field(default_factory=list)


class RunCompleted(EventModel):
    """The model was done. Terminal."""

    type: Literal["run.completed"] = "run.completed"
    stop_reason: str | None
    output: str = Field(description="The text of the last turn")
    usage: Usage
    cost_usd: float | None
    duration_ms: int


class RunIncomplete(EventModel):
    """The run ended at a limit, a refusal or a deadline, with what it had. Terminal."""

    type: Literal["run.incomplete"] = "run.incomplete"
    reason: IncompleteReason
    output: str = ""
    usage: Usage
    cost_usd: float | None
    duration_ms: int


class ErrorInfo(BaseModel):
    """A failure, safe to show."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    code: str
    message: str
    retryable: bool
    request_id: str | None = Field(default=None, description="The provider's id of the request")


class RunFailed(EventModel):
    """The run could not go on. Terminal."""

    type: Literal["run.failed"] = "run.failed"
    error: ErrorInfo
    usage: Usage
    cost_usd: float | None
    duration_ms: int


class CallReceipt(BaseModel):
    """What became of one tool call when its run was cancelled."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    call_id: str
    outcome: Literal["killed", "finished", "uncertain"]


class RunCancelled(EventModel):
    """Somebody stopped the run; its tools are dead. Terminal."""

    type: Literal["run.cancelled"] = "run.cancelled"
    by: CancelledBy
    calls: list[CallReceipt]
    usage: Usage
    cost_usd: float | None
    duration_ms: int
