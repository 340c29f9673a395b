"""Events that wait for their commit: consecutive deltas of one block are joined meanwhile."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from agent_server.events import (
    MERGEABLE,
    AnyEvent,
    RecordedEvent,
    TextDelta,
    ThinkingDelta,
    ToolCallInputDelta,
    encode_data,
)
from agent_server.store import PendingEvent

Delta = TextDelta | ThinkingDelta | ToolCallInputDelta
EVENT_BYTES = 256
"""What an event that is no delta is taken to weigh."""


@dataclass(slots=True, eq=False)
class Draft:
    """An event waiting for its commit; ``parts`` are the joined deltas of a mergeable one.

    ``ts``: epoch milliseconds, of the first delta.
    """

    event: AnyEvent
    parts: list[str] | None = None
    ts: int = field(default_factory=lambda: time.time_ns() // 1_000_000)

    def encode(self) -> PendingEvent:
        """Encode the event, once and for all."""
        event = self.event
        if self.parts is not None and len(self.parts) > 1:
            match event:
                case TextDelta():
                    event = event.model_copy(update={"delta": "".join(self.parts)})
                case ThinkingDelta():
                    event = event.model_copy(update={"thinking": "".join(self.parts)})
                case ToolCallInputDelta():
                    event = event.model_copy(update={"partial_json": "".join(self.parts)})
        return PendingEvent(ts=self.ts, event=event, data=encode_data(event))


def add_draft(drafts: list[Draft], event: AnyEvent) -> int:
    """Queue an event, joined to the last where it continues it; return its weight in bytes."""
    if not isinstance(event, MERGEABLE):
        drafts.append(Draft(event))
        return EVENT_BYTES
    text = _piece(event)
    last = drafts[-1] if drafts else None
    if last is not None and last.parts is not None and _continues(last.event, event):
        last.parts.append(text)
    else:
        drafts.append(Draft(event, [text]))
    return len(text)


def _piece(event: Delta) -> str:
    match event:
        case TextDelta():
            return event.delta
        case ThinkingDelta():
            return event.thinking
        case ToolCallInputDelta():
            return event.partial_json


def _continues(last: AnyEvent, event: Delta) -> bool:
    """Whether ``event`` only adds to ``last``: same kind, same block or call."""
    if type(last) is not type(event):
        return False
    if isinstance(event, ToolCallInputDelta):
        return isinstance(last, ToolCallInputDelta) and last.call_id == event.call_id
    return not isinstance(last, ToolCallInputDelta) and getattr(last, "block", None) == event.block


def number(
    events: Sequence[PendingEvent], run_id: str, thread_id: str, first_seq: int
) -> list[RecordedEvent]:
    """Give committed events their places in the run, from ``first_seq`` on."""
    return [
        RecordedEvent(
            run_id=run_id,
            thread_id=thread_id,
            seq=seq,
            ts=pending.ts,
            type=pending.event.type,
            turn=pending.event.turn,
            data=pending.data,
        )
        for seq, pending in enumerate(events, first_seq)
    ]
