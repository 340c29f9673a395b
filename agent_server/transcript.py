"""A run's messages as a pure fold of its recorded events: for the loop, recovery and readers."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from agent_server.events import (
    MessageAdded,
    RecordedEvent,
    RunCreated,
    ToolCallRequested,
    ToolResultCompleted,
    ToolResultFailed,
    TurnCompleted,
)
from agent_server.messages import JsonObject, Message, tool_uses


@dataclass(slots=True)
class Transcript:
    """The messages so far and the calls of the last turn that still lack a result."""

    messages: list[Message] = field(default_factory=list)
    open_calls: list[JsonObject] = field(default_factory=list)
    turns: int = 0

    def add_user(self, content: list[JsonObject]) -> None:
        """Append user content, joining it to a preceding user message."""
        if not content:
            return
        if self.messages and self.messages[-1]["role"] == "user":
            previous = self.messages[-1]["content"]
            self.messages[-1] = {"role": "user", "content": [*previous, *content]}
        else:
            self.messages.append({"role": "user", "content": content})


def tool_result_block(event: ToolResultCompleted | ToolResultFailed) -> JsonObject:
    """Make the block that answers the call, as the model reads it."""
    if isinstance(event, ToolResultCompleted):
        return {"type": "tool_result", "tool_use_id": event.call_id, "content": event.content}
    return {
        "type": "tool_result",
        "tool_use_id": event.call_id,
        "content": [{"type": "text", "text": event.message}],
        "is_error": True,
    }


def read_transcript(events: Iterable[RecordedEvent]) -> Transcript:
    """Fold recorded events (of a run, or of a chain of runs) into a transcript.

    Results are placed in the order of the calls, whatever order they ended in.
    """
    transcript = Transcript()
    results: dict[str, JsonObject] = {}
    for recorded in events:
        match recorded.parse():
            case RunCreated(input=messages):
                _settle(transcript, results)
                transcript.open_calls, transcript.turns = [], 0
                for message in messages:
                    add_message(transcript, message)
            case MessageAdded(message=message):
                _settle(transcript, results)
                add_message(transcript, message)
            case TurnCompleted() as turn:
                _settle(transcript, results)
                transcript.turns += 1
                add_turn(transcript, turn)
            case (ToolResultCompleted() | ToolResultFailed()) as result:
                results[result.call_id] = tool_result_block(result)
            case ToolCallRequested() | _:
                pass
    _settle(transcript, results)
    return transcript


def add_message(transcript: Transcript, message: Message) -> None:
    """Append a message that a client sent."""
    if message["role"] == "user":
        transcript.add_user(message["content"])
    else:
        transcript.messages.append(message)


def add_turn(transcript: Transcript, turn: TurnCompleted) -> None:
    """Append what the model said; a refused turn leaves the history whole.

    Calls of a turn that did not stop for them were never executed: they leave it too.
    """
    content: Sequence[JsonObject] = turn.message["content"]
    if turn.stop_reason == "refusal":
        return
    if turn.stop_reason != "tool_use":
        content = [block for block in content if block.get("type") != "tool_use"]
    if content:
        transcript.messages.append({"role": "assistant", "content": list(content)})
        transcript.open_calls = tool_uses(content)


def _settle(transcript: Transcript, results: dict[str, JsonObject]) -> None:
    """Answer the open calls that have results; those without stay open."""
    answered = [results[call["id"]] for call in transcript.open_calls if call["id"] in results]
    transcript.open_calls = [call for call in transcript.open_calls if call["id"] not in results]
    transcript.add_user(answered)
