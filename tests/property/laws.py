"""What holds of every run, however it went: the promises, as checks over its recorded events."""

from collections import Counter
from collections.abc import Sequence

from agent_server.events import (
    RecordedEvent,
    ToolCallRejected,
    ToolCallRequested,
    ToolCallRunning,
    ToolResultCompleted,
    ToolResultFailed,
)
from agent_server.messages import repair_history
from agent_server.model import ModelRequest
from agent_server.model.request import request_body
from agent_server.status import RunStatus, advance
from agent_server.transcript import read_transcript
from tests.fakes.transcripts import complaint


def check_log(events: Sequence[RecordedEvent]) -> None:
    """One run's log is whole: gapless, legally ordered, one end and that last, calls answered."""
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert [event.is_terminal for event in events] == [False] * (len(events) - 1) + [True]
    assert events[0].type == "run.created"
    check_edges(events)
    check_calls(events)


def check_edges(events: Sequence[RecordedEvent]) -> None:
    """Every change of status is one that the table has."""
    status = RunStatus.QUEUED
    for event in events:
        if event.type == "run.resumed" and status is RunStatus.RUNNING:
            status = RunStatus.QUEUED  # its owner died: the claim put it back without an event
        status = advance(status, event.type)
    assert status.is_terminal


def check_calls(events: Sequence[RecordedEvent]) -> None:
    """Every judged call has one result, none began unasked, and none ran after its result."""
    judged: set[str] = set()
    running: Counter[str] = Counter()
    answered: set[str] = set()
    for recorded in events:
        match recorded.parse():
            case ToolCallRequested(call_id=call_id) | ToolCallRejected(call_id=call_id):
                assert call_id not in judged
                judged.add(call_id)
            case ToolCallRunning(call_id=call_id, attempt=attempt):
                assert call_id in judged - answered
                running[call_id] += 1
                assert attempt == running[call_id]
            case ToolResultCompleted(call_id=call_id) | ToolResultFailed(call_id=call_id):
                assert call_id in judged - answered
                answered.add(call_id)
            case _:
                pass
    assert judged == answered


def check_history(history: Sequence[RecordedEvent]) -> None:
    """The transcript answers every call once, with nothing left to repair but empty texts."""
    _messages, repairs = repair_history(read_transcript(history).messages)
    found = {repair["kind"] for repair in repairs}
    assert found <= {"dropped_empty_text", "dropped_empty_message"}


def check_requests(requests: Sequence[ModelRequest]) -> None:
    """The real API would have taken every request."""
    for request in requests:
        assert complaint(request_body(request)) is None
