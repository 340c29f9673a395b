"""What an event changes in the rows: pure, so every store and ``db verify`` agree on it.

A change names rows by their key, and by further columns where it holds only for some states
(``{"state": "pending"}``): those that do not match stay as they are.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import singledispatch
from typing import Final, Literal

from pydantic import BaseModel
from pydantic_core import to_json

from agent_server.events import (
    AnyEvent,
    ApprovalRequested,
    ApprovalResolved,
    ModelRetried,
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunIncomplete,
    RunResumed,
    RunStarted,
    RunWaiting,
    TerminalEvent,
    ToolCallRejected,
    ToolCallRequested,
    ToolCallRunning,
    ToolCallStarted,
    ToolResultCompleted,
    ToolResultFailed,
    TurnCompleted,
    TurnRestarted,
    TurnStarted,
    Usage,
)
from agent_server.messages import tool_uses
from agent_server.status import TERMINAL, TRANSITIONS, RunStatus, advance

__all__ = ["SILENT_TYPES", "USAGE_COLUMNS", "RowChange", "Value", "fold", "next_status"]

Value = str | int | float | None
Values = Mapping[str, Value]

USAGE_COLUMNS: Final = tuple(Usage.model_fields)
"""The columns of ``runs`` that count its usage."""

SILENT_TYPES: Final = frozenset(
    {
        "text.started",
        "text.delta",
        "text.completed",
        "thinking.started",
        "thinking.delta",
        "thinking.completed",
        "tool_call.input_delta",
        "tool_call.output",
        "tool_call.progress",
        "provider.raw",
    }
)
"""The types of most events: they change no row."""
_CLAIMED_BY: Final = frozenset({"run.started", "run.resumed"})
_DECIDED: Final = {"approve": "approved", "deny": "denied", "expired": "expired"}


@dataclass(frozen=True, slots=True)
class RowChange:
    """One change of the rows of ``table`` that match ``key``.

    ``update`` sets ``values``, adds ``increments`` and raises to ``minimums``; ``upsert`` inserts
    key, values and ``initial``, or sets the values of the row that is there; ``delete`` removes.
    """

    op: Literal["update", "upsert", "delete"]
    table: str
    key: Values
    values: Values = field(default_factory=dict)
    increments: Mapping[str, int] = field(default_factory=dict)
    minimums: Mapping[str, int] = field(default_factory=dict)
    initial: Values = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _At:
    """Where an event stands; ``us`` is its time in epoch microseconds."""

    run_id: str
    seq: int
    us: int


def fold(run_id: str, seq: int, ts: int, event: AnyEvent) -> list[RowChange]:
    """Return what ``event`` (number ``seq``, at epoch millisecond ``ts``) changes in the rows."""
    if event.type in SILENT_TYPES:
        return []
    return _fold(event, _At(run_id, seq, ts * 1000))


def next_status(status: RunStatus, types: Collection[str]) -> RunStatus:
    """Return a run's status after events of these types, written by whom may write them.

    A claim has moved the run to ``running`` before its ``run.started`` or ``run.resumed`` says so.

    Raises:
        IllegalTransition: the events may not follow.
    """
    if TRANSITIONS.keys().isdisjoint(types) and status not in TERMINAL:
        return status
    for kind in types:
        if status in TERMINAL or kind in TRANSITIONS:
            if status is RunStatus.RUNNING and kind in _CLAIMED_BY:
                continue
            status = advance(status, kind)
    return status


@singledispatch
def _fold(event: BaseModel, at: _At) -> list[RowChange]:
    """Most events change no row."""
    del event, at
    return []


# --- runs ------------------------------------------------------------------------------------


def _run(at: _At, **values: Value) -> RowChange:
    return RowChange("update", "runs", {"id": at.run_id}, values)


@_fold.register
def _(event: RunStarted, at: _At) -> list[RowChange]:
    del event
    return [_run(at, status="running", started_at=at.us)]


@_fold.register
def _(event: RunResumed, at: _At) -> list[RowChange]:
    del event
    return [_run(at, status="running")]


@_fold.register
def _(event: RunWaiting, at: _At) -> list[RowChange]:
    del event
    return [_run(at, status="waiting")]


@_fold.register
def _(event: RunCompleted, at: _At) -> list[RowChange]:
    return _end(event, at, RunStatus.COMPLETED, stop_reason=event.stop_reason)


@_fold.register
def _(event: RunIncomplete, at: _At) -> list[RowChange]:
    return _end(event, at, RunStatus.INCOMPLETE, incomplete_reason=event.reason)


@_fold.register
def _(event: RunFailed, at: _At) -> list[RowChange]:
    return _end(event, at, RunStatus.FAILED, error=to_json(event.error).decode())


@_fold.register
def _(event: RunCancelled, at: _At) -> list[RowChange]:
    return _end(event, at, RunStatus.CANCELLED, cancelled_by=event.by)


def _end(event: TerminalEvent, at: _At, status: RunStatus, **values: Value) -> list[RowChange]:
    """End the run, a turn still in work, and the approvals that nobody will decide.

    The event's usage may count more than the completed turns did (attempts that failed); who ends
    a run without owning it does not know its usage, and takes nothing away from it.
    """
    ending: Values = {
        "status": status.value,
        "finished_at": at.us,
        "cost_usd": event.cost_usd,
        **values,
    }
    return [
        RowChange("update", "runs", {"id": at.run_id}, ending, minimums=dict(event.usage)),
        RowChange(
            "update",
            "turns",
            {"run_id": at.run_id, "status": "running"},
            {"status": status.value, "finished_at": at.us, "last_seq": at.seq},
        ),
        RowChange(
            "update",
            "approvals",
            {"run_id": at.run_id, "state": "pending"},
            {"state": "expired", "decided_at": at.us},
        ),
        RowChange("update", "threads", {"head_run_id": at.run_id}, {"updated_at": at.us}),
    ]


# --- turns -----------------------------------------------------------------------------------


def _turn(at: _At, turn: int | None, **values: Value) -> RowChange:
    """Change a turn's row; one that was never started (a fault elsewhere) still gets its row."""
    started: Values = {
        "attempt": 1,
        "model": "",
        "status": "running",
        "first_seq": at.seq,
        "started_at": at.us,
    }
    initial = {name: value for name, value in started.items() if name not in values}
    key: Values = {"run_id": at.run_id, "turn": turn or 0}
    return RowChange("upsert", "turns", key, values, initial=initial)


@_fold.register
def _(event: TurnStarted, at: _At) -> list[RowChange]:
    return [_turn(at, event.turn, attempt=event.attempt, model=event.model, status="running")]


@_fold.register
def _(event: ModelRetried, at: _At) -> list[RowChange]:
    return [_turn(at, event.turn, attempt=event.attempt + 1)]


@_fold.register
def _(event: TurnRestarted, at: _At) -> list[RowChange]:
    calls: Values = {"run_id": at.run_id, "turn": event.turn or 0}
    return [
        _turn(at, event.turn, attempt=event.attempt, status="running"),
        RowChange("delete", "tool_calls", calls),
    ]


@_fold.register
def _(event: TurnCompleted, at: _At) -> list[RowChange]:
    increments = {name: count for name, count in event.usage if count}
    if event.stop_reason == "tool_use":
        asked = len(tool_uses(event.message["content"]))
        increments["tool_calls"] = increments.get("tool_calls", 0) + asked
    return [
        _turn(
            at,
            event.turn,
            status="cancelled" if event.stop_reason == "cancelled" else "completed",
            stop_reason=event.stop_reason,
            usage=to_json(event.usage).decode(),
            ttft_ms=event.ttft_ms,
            duration_ms=event.duration_ms,
            message_seq=at.seq,
            last_seq=at.seq,
            finished_at=at.us,
        ),
        RowChange("update", "runs", {"id": at.run_id}, {"attempts": 0}, increments),
    ]


# --- tool calls ------------------------------------------------------------------------------


def _call(at: _At, call_id: str, *, initial: Values, **values: Value) -> RowChange:
    key = {"run_id": at.run_id, "call_id": call_id}
    return RowChange("upsert", "tool_calls", key, values, initial=initial)


@_fold.register
def _(event: ToolCallStarted, at: _At) -> list[RowChange]:
    return [
        _call(
            at,
            event.call_id,
            initial={},
            turn=event.turn,
            name=event.name,
            executor=event.executor,
            state="pending",
        )
    ]


@_fold.register
def _(event: ToolCallRequested, at: _At) -> list[RowChange]:
    initial: Values = {"executor": "server", "state": "pending"}
    call = _call(
        at,
        event.call_id,
        initial=initial,
        turn=event.turn,
        name=event.name,
        requested_seq=at.seq,
    )
    return [call, *_direct_call(event, at)]


@_fold.register
def _(event: ToolCallRejected, at: _At) -> list[RowChange]:
    initial: Values = {"executor": "server", "name": ""}
    call = _call(
        at,
        event.call_id,
        initial=initial,
        turn=event.turn,
        state="rejected",
        requested_seq=at.seq,
    )
    return [call, *_direct_call(event, at)]


def _direct_call(event: ToolCallRequested | ToolCallRejected, at: _At) -> list[RowChange]:
    """Count a call that no turn asked for; those of a turn are counted by ``turn.completed``."""
    if event.turn is not None:
        return []
    return [RowChange("update", "runs", {"id": at.run_id}, increments={"tool_calls": 1})]


@_fold.register
def _(event: ToolCallRunning, at: _At) -> list[RowChange]:
    values: Values = {
        "state": "running",
        "attempt": event.attempt,
        "isolation": event.isolation,
        "started_at": at.us,
    }
    key = {"run_id": at.run_id, "call_id": event.call_id}
    return [RowChange("update", "tool_calls", key, values)]


@_fold.register
def _(event: ToolResultCompleted, at: _At) -> list[RowChange]:
    return _result(event, at, state="completed", kind=None)


@_fold.register
def _(event: ToolResultFailed, at: _At) -> list[RowChange]:
    return _result(event, at, state="failed", kind=event.kind)


def _result(
    event: ToolResultCompleted | ToolResultFailed, at: _At, *, state: str, kind: str | None
) -> list[RowChange]:
    """Note the result; a rejected call keeps its state, whatever the model is told."""
    key = {"run_id": at.run_id, "call_id": event.call_id}
    values: Values = {
        "kind": kind,
        "duration_ms": event.duration_ms,
        "result_seq": at.seq,
        "finished_at": at.us,
    }
    changes = [
        RowChange("update", "tool_calls", key, values),
        RowChange("update", "tool_calls", {**key, "state": "pending"}, {"state": state}),
        RowChange("update", "tool_calls", {**key, "state": "running"}, {"state": state}),
        _run(at, attempts=0),
    ]
    if event.turn is not None:
        turn: Values = {"run_id": at.run_id, "turn": event.turn}
        changes.append(RowChange("update", "turns", turn, {"last_seq": at.seq}))
    return changes


# --- approvals -------------------------------------------------------------------------------


@_fold.register
def _(event: ApprovalRequested, at: _At) -> list[RowChange]:
    values: Values = {
        "call_id": event.call_id,
        "name": event.name,
        "input_hash": event.input_hash,
        "state": "pending",
        "requested_seq": at.seq,
        "requested_at": at.us,
        "expires_at": None if event.expires_at is None else event.expires_at * 1000,
    }
    key = {"run_id": at.run_id, "approval_id": event.approval_id}
    return [RowChange("upsert", "approvals", key, values)]


@_fold.register
def _(event: ApprovalResolved, at: _At) -> list[RowChange]:
    key = {"run_id": at.run_id, "approval_id": event.approval_id, "state": "pending"}
    values: Values = {
        "state": _DECIDED[event.decision],
        "decided_by": event.by,
        "decided_at": at.us,
        "resolved_seq": at.seq,
    }
    return [RowChange("update", "approvals", key, values)]
