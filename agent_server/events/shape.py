"""What events are made of: shared fields and closed vocabularies."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Executor = Literal["server", "client", "provider", "mcp"]
Isolation = Literal["process", "inline"]
IncompleteReason = Literal[
    "max_turns",
    "max_tokens",
    "max_tool_calls",
    "budget",
    "deadline",
    "context_window",
    "refusal",
]
FailureKind = Literal[
    "exception",
    "timeout",
    "cpu",
    "memory",
    "output",
    "crashed",
    "syscall",
    "denied",
    "not_found",
    "invalid_input",
    "cancelled",
    "interrupted",
    "sandbox_unavailable",
]
CancelledBy = Literal["user", "disconnect", "interrupt"]


class Usage(BaseModel):
    """Tokens and calls of a turn or of a whole run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_input_tokens: int = 0
    cache_creation_input_tokens: int = 0
    model_calls: int = 0
    tool_calls: int = 0


class EventModel(BaseModel):
    """What all events share: they are frozen, refuse unknown fields, and may belong to a turn."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    turn: int | None = Field(default=None, description="The turn it belongs to; null outside turns")
