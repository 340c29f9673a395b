"""What the demo model decides to answer, before it becomes wire bytes."""

from dataclasses import dataclass, field

from agent_server.errors import ModelError
from agent_server.messages import JsonObject


@dataclass(frozen=True, slots=True)
class Wish:
    """A tool call the demo model asks for."""

    tool: str
    arguments: JsonObject


@dataclass(frozen=True, slots=True)
class Reply:
    """One response: what is thought, said and asked for, and how it ends.

    ``pace`` multiplies the delay between deltas. ``failure`` is raised instead of answering.
    ``breaks`` ends the stream with an overload error after the text.
    """

    text: str = ""
    wishes: list[Wish] = field(default_factory=list)
    thinking: str = ""
    stop_reason: str | None = None
    stop_details: JsonObject | None = None
    max_tokens: int | None = None
    pace: float = 1.0
    failure: ModelError | None = None
    breaks: bool = False
