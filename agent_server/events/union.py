"""The union of all events, and the sets of them that the log and the stores tell apart."""

from typing import Annotated, Final

from pydantic import Field, TypeAdapter

from agent_server.events.run import (
    RunCancelled,
    RunCompleted,
    RunCreated,
    RunFailed,
    RunIncomplete,
    RunResumed,
    RunStarted,
    RunWaiting,
)
from agent_server.events.tool import (
    ApprovalRequested,
    ApprovalResolved,
    ToolCallInputDelta,
    ToolCallOutput,
    ToolCallProgress,
    ToolCallRejected,
    ToolCallRequested,
    ToolCallRunning,
    ToolCallStarted,
    ToolResultCompleted,
    ToolResultFailed,
)
from agent_server.events.turn import (
    BudgetWarned,
    HistoryRepaired,
    HistoryTrimmed,
    MessageAdded,
    ModelRetried,
    ProviderRaw,
    TextCompleted,
    TextDelta,
    TextStarted,
    ThinkingCompleted,
    ThinkingDelta,
    ThinkingStarted,
    TurnCompleted,
    TurnRestarted,
    TurnStarted,
)

AnyEvent = (
    RunCreated
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
    | ProviderRaw
)
"""The bare union, for annotations and ``match``."""

Event = Annotated[AnyEvent, Field(discriminator="type")]
"""The union as pydantic reads it: by its ``type``."""

event_adapter: TypeAdapter[AnyEvent] = TypeAdapter(Event)

TerminalEvent = RunCompleted | RunIncomplete | RunFailed | RunCancelled
TERMINAL_TYPES: Final = frozenset(
    {"run.completed", "run.incomplete", "run.failed", "run.cancelled"}
)
MERGEABLE = TextDelta | ThinkingDelta | ToolCallInputDelta
"""Deltas that the log joins while they wait for the next commit."""
BUFFERED_TYPES: Final = frozenset(
    {
        "text.started",
        "text.completed",
        "thinking.completed",
        "text.delta",
        "thinking.started",
        "thinking.delta",
        "tool_call.started",
        "tool_call.input_delta",
        "tool_call.output",
        "tool_call.progress",
        "turn.started",
        "provider.raw",
    }
)
"""Events whose ``emit`` returns before their commit: nothing that follows depends on them."""
