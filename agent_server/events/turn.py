"""Events of a turn: the attempts at the model, its text and thinking, and the history it saw."""

from typing import Literal

from pydantic import Field

from agent_server.events.shape import EventModel, Usage
from agent_server.messages import JsonObject, Message, Repair


class TurnStarted(EventModel):
    """The model was asked."""

    type: Literal["turn.started"] = "turn.started"
    model: str
    attempt: int


class TurnCompleted(EventModel):
    """One model response is complete; ``message`` holds its blocks exactly as received."""

    type: Literal["turn.completed"] = "turn.completed"
    stop_reason: str | None
    message: Message
    usage: Usage
    provider_usage: JsonObject = Field(description="The provider's own usage object, verbatim")
    ttft_ms: int | None = Field(description="Milliseconds from request to first content")
    duration_ms: int


class TurnRestarted(EventModel):
    """The turn is asked again: drop what it showed so far."""

    type: Literal["turn.restarted"] = "turn.restarted"
    attempt: int
    reason: str


class ModelRetried(EventModel):
    """An attempt at the model failed; the next one follows after ``delay_ms``."""

    type: Literal["model.retried"] = "model.retried"
    attempt: int
    reason: str
    delay_ms: int


# --- text and thinking -----------------------------------------------------------------------


class TextStarted(EventModel):
    """The model begins a text block."""

    type: Literal["text.started"] = "text.started"
    block: str


class TextDelta(EventModel):
    """More text of a block."""

    type: Literal["text.delta"] = "text.delta"
    block: str
    delta: str


class TextCompleted(EventModel):
    """A text block in full."""

    type: Literal["text.completed"] = "text.completed"
    block: str
    text: str
    citations: list[JsonObject] = Field(default_factory=list)


class ThinkingStarted(EventModel):
    """The model begins a thinking block."""

    type: Literal["thinking.started"] = "thinking.started"
    block: str


class ThinkingDelta(EventModel):
    """More thinking of a block."""

    type: Literal["thinking.delta"] = "thinking.delta"
    block: str
    thinking: str


class ThinkingCompleted(EventModel):
    """A thinking block in full; its signature stays in ``turn.completed``."""

    type: Literal["thinking.completed"] = "thinking.completed"
    block: str
    text: str
    redacted: bool = False


class MessageAdded(EventModel):
    """A message joined the run after its start."""

    type: Literal["message.added"] = "message.added"
    message: Message
    origin: Literal["input", "steer"]


class HistoryRepaired(EventModel):
    """The history sent to the provider was made valid."""

    type: Literal["history.repaired"] = "history.repaired"
    repairs: list[Repair]


class HistoryTrimmed(EventModel):
    """Turns were left out of the history sent to the provider."""

    type: Literal["history.trimmed"] = "history.trimmed"
    turns: list[int]
    reason: str


class BudgetWarned(EventModel):
    """A budget is nearly used up."""

    type: Literal["budget.warned"] = "budget.warned"
    which: str
    used: float
    limit: float


class ProviderRaw(EventModel):
    """A provider event, delta or block this version does not know, verbatim."""

    type: Literal["provider.raw"] = "provider.raw"
    event: JsonObject
