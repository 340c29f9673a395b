"""What the loop knows of one run while it works on it, and the events that end it."""

import time
from dataclasses import dataclass, field

from agent_server.agents import RunSpec
from agent_server.budgets import Budget
from agent_server.errors import AgentServerError, ModelError
from agent_server.events import (
    AnyEvent,
    CallReceipt,
    CancelledBy,
    ErrorInfo,
    IncompleteReason,
    Isolation,
    RawAttempt,
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunIncomplete,
    ToolResultFailed,
)
from agent_server.messages import JsonObject
from agent_server.transcript import Transcript


@dataclass(slots=True)
class RunState:
    """One run in work. Everything here can be rebuilt from the run's events."""

    run_id: str
    tenant: str
    spec: RunSpec
    transcript: Transcript
    budget: Budget
    turn: int = 0
    attempts: int = 0
    """Attempts already made at the next turn, by a process that died."""
    call_ids: set[str] = field(default_factory=set)
    """Every tool call id of the run: the provider may use none twice."""
    output: str = ""
    """The text of the last completed turn."""
    partial: list[AnyEvent] = field(default_factory=list)
    """What to record of the turn in work if the run is stopped now."""
    partial_raw: RawAttempt | None = None
    calls: dict[str, Isolation | None] = field(default_factory=dict)
    """The open calls of this turn, with where they run (None: not begun)."""
    done: list[str] = field(default_factory=list)
    """The calls of this turn that have their result."""
    begun: dict[str, int] = field(default_factory=dict)
    """The open calls that a process which died had begun, with the attempts it made."""
    ended: bool = False
    """Whether the terminal event has been emitted."""
    started_at: float = field(default_factory=time.time)

    @property
    def duration_ms(self) -> int:
        """Milliseconds since the run was created."""
        return int((time.time() - self.started_at) * 1000)

    def answer(self, call_id: str) -> None:
        """Note that a call has its result."""
        del self.calls[call_id]
        self.done.append(call_id)

    def unfinished(self, message: str) -> list[AnyEvent]:
        """The events that close what is open, so that the history stays valid."""
        failed = [
            ToolResultFailed(
                turn=self.turn, call_id=call_id, kind="cancelled", message=message, retryable=False
            )
            for call_id in self.calls
        ]
        return [*self.partial, *failed]

    def completed(self, stop_reason: str | None) -> RunCompleted:
        """The end of a run whose model was done."""
        return RunCompleted(
            stop_reason=stop_reason,
            output=self.output,
            usage=self.budget.usage,
            cost_usd=self.budget.cost_usd,
            duration_ms=self.duration_ms,
        )

    def incomplete(self, reason: IncompleteReason) -> RunIncomplete:
        """The end of a run at a limit, a refusal or a deadline."""
        return RunIncomplete(
            reason=reason,
            output=self.output,
            usage=self.budget.usage,
            cost_usd=self.budget.cost_usd,
            duration_ms=self.duration_ms,
        )

    def failed(self, error: AgentServerError) -> RunFailed:
        """The end of a run that could not go on."""
        upstream = error if isinstance(error, ModelError) else None
        return RunFailed(
            error=ErrorInfo(
                code=error.code,
                message=error.message,
                retryable=upstream is not None and upstream.retryable,
                request_id=upstream.request_id if upstream else None,
            ),
            usage=self.budget.usage,
            cost_usd=self.budget.cost_usd,
            duration_ms=self.duration_ms,
        )

    def cancelled(self, by: CancelledBy) -> RunCancelled:
        """The end of a run that somebody stopped, with the receipt of its calls."""
        killed = {"process": "killed", "inline": "uncertain"}
        receipts: list[JsonObject] = [
            *({"call_id": call_id, "outcome": "finished"} for call_id in self.done),
            *(
                {"call_id": call_id, "outcome": killed[isolation]}
                for call_id, isolation in self.calls.items()
                if isolation is not None
            ),
        ]
        return RunCancelled(
            by=by,
            calls=[CallReceipt.model_validate(receipt) for receipt in receipts],
            usage=self.budget.usage,
            cost_usd=self.budget.cost_usd,
            duration_ms=self.duration_ms,
        )
