"""Rebuilding a run's state from its rows and events: a pure function, no code is replayed."""

import time
from collections.abc import Mapping, Sequence

from agent_server.agents import RunSpec
from agent_server.budgets import Budget, Price
from agent_server.events import RecordedEvent, ToolCallRequested, Usage
from agent_server.messages import JsonObject
from agent_server.run_state import RunState
from agent_server.store import RunRow, ToolCallRow, TurnRow
from agent_server.transcript import read_transcript


def rebuild(
    row: RunRow,
    *,
    history: Sequence[RecordedEvent],
    turns: Sequence[TurnRow],
    calls: Sequence[ToolCallRow],
    prices: Mapping[str, Price],
) -> RunState:
    """Return the state in which the run's dead owner left it.

    Finished turns and results stay; a turn in work counts as an attempt; calls that had begun are
    in ``begun``, for the loop to judge.
    """
    spec = RunSpec.model_validate(row.spec)
    finished = [turn for turn in turns if turn.status == "completed"]
    in_work = [turn for turn in turns if turn.status != "completed"]
    budget = Budget(limits=spec.limits, price=prices.get(spec.model))
    budget.usage = Usage.model_validate(row.usage or {})
    budget.turns = len(finished)
    budget.started_s -= time.time() - row.created_at / 1_000_000
    transcript = read_transcript(history)
    if row.kind == "tool":
        transcript.open_calls = _direct_call(history, calls)
    return RunState(
        run_id=row.id,
        tenant=row.tenant,
        spec=spec,
        transcript=transcript,
        budget=budget,
        turn=len(finished),
        attempts=in_work[-1].attempt if in_work else 0,
        call_ids={call.call_id for call in calls},
        begun={call.call_id: call.attempt for call in calls if call.state == "running"},
        started_at=row.created_at / 1_000_000,
    )


def _direct_call(
    history: Sequence[RecordedEvent], calls: Sequence[ToolCallRow]
) -> list[JsonObject]:
    """The one call of a run of kind ``tool``, if it still lacks its result."""
    unanswered = {call.call_id for call in calls if call.result_seq is None}
    requested = [event.parse() for event in history if event.type == "tool_call.requested"]
    return [
        {"type": "tool_use", "id": event.call_id, "name": event.name, "input": event.input}
        for event in requested
        if isinstance(event, ToolCallRequested) and event.call_id in unanswered
    ]
