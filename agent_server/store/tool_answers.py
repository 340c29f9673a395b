"""Whether a run's record gives a history that the provider accepts as it is."""

from collections.abc import Sequence
from typing import Final

from agent_server.events import (
    AnyEvent,
    RunCompleted,
    ToolCallRejected,
    ToolCallRequested,
    ToolCallStarted,
    ToolResultCompleted,
    ToolResultFailed,
    TurnCompleted,
)
from agent_server.messages import JsonObject, Message, repair_history, tool_uses

_Result = ToolResultCompleted | ToolResultFailed
_EXECUTED: Final = frozenset({"tool_use"})
"""Stop reasons of turns whose calls are worked; the calls of other turns leave the history."""


def find_unanswered(kind: str, events: Sequence[AnyEvent]) -> list[str]:
    """Say what is wrong with the answers to a run's calls.

    In a completed run every call has exactly one result. A run that ended otherwise may owe some
    (its successors see it repaired), but no run holds two results for one call, or a stray one.
    """
    completed = any(isinstance(event, RunCompleted) for event in events)
    if kind == "tool":
        return _check_direct_calls(events, completed=completed)
    _messages, repairs = repair_history(_messages_of(events))
    return [
        f"{repair['kind']}: {repair['call_id']}"
        for repair in repairs
        if completed or repair["kind"] != "answered_orphan"
    ]


def _messages_of(events: Sequence[AnyEvent]) -> list[Message]:
    """The worked turns, each followed by the results that came before the next one."""
    elsewhere = {
        event.call_id
        for event in events
        if isinstance(event, ToolCallStarted) and event.executor != "server"
    }
    messages: list[Message] = []
    for event in events:
        if isinstance(event, TurnCompleted):
            calls = tool_uses(event.message["content"])
            worked = calls if event.stop_reason in _EXECUTED else []
            messages += [
                {"role": "assistant", "content": [*worked, {"type": "text", "text": "."}]},
                {"role": "user", "content": [{"type": "text", "text": "."}]},
            ]
        elif isinstance(event, _Result) and event.call_id not in elsewhere:
            if not messages:
                messages.append({"role": "user", "content": []})
            messages[-1]["content"].append(_block(event))
    return messages


def _block(event: _Result) -> JsonObject:
    return {"type": "tool_result", "tool_use_id": event.call_id}


def _check_direct_calls(events: Sequence[AnyEvent], *, completed: bool) -> list[str]:
    asked = [e.call_id for e in events if isinstance(e, ToolCallRequested | ToolCallRejected)]
    answered = [e.call_id for e in events if isinstance(e, _Result)]
    wrong = len(answered) > len(asked) or (completed and sorted(asked) != sorted(answered))
    return [f"calls {asked} have the results {answered}"] if wrong else []
