"""The plain chat protocol of ``POST /chat``: data-only frames, closed by ``data: [DONE]``.

Every frame is an object with a ``type`` and a ``delta``, which is text of the answer or ``""``: a
reader that appends each delta shows the answer, one that looks at the types shows tool activity
as well. What went wrong is told in these words and no others.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, assert_never

from pydantic_core import to_json

from agent_server.events import (
    AnyEvent,
    ApprovalRequested,
    ApprovalResolved,
    BudgetWarned,
    HistoryRepaired,
    HistoryTrimmed,
    MessageAdded,
    ModelRetried,
    ProviderRaw,
    RecordedEvent,
    RunCancelled,
    RunCompleted,
    RunCreated,
    RunFailed,
    RunIncomplete,
    RunResumed,
    RunStarted,
    RunWaiting,
    TextCompleted,
    TextDelta,
    TextStarted,
    ThinkingCompleted,
    ThinkingDelta,
    ThinkingStarted,
    ToolCallInputDelta,
    ToolCallOutput,
    ToolCallProgress,
    ToolCallRejected,
    ToolCallRequested,
    ToolCallRunning,
    ToolCallStarted,
    ToolResultCompleted,
    ToolResultFailed,
    TurnCompleted,
    TurnRestarted,
    TurnStarted,
)

OUTPUT_TYPES: Final = frozenset({"text.delta", "thinking.delta", "tool_call.started"})
"""The first output of the model is one of these: until then a failure can be an HTTP status."""
DONE: Final = b"data: [DONE]\n\n"


@dataclass(frozen=True, slots=True)
class Failure:
    """How a failure of the provider, or of ours, is told to a client."""

    status: int
    type: str
    message: str
    retryable: bool = True


RATE_LIMITED: Final = Failure(429, "rate_limit_error", "Rate limited, please retry shortly")
TIMED_OUT: Final = Failure(504, "timeout_error", "Upstream model timed out")
UPSTREAM: Final = Failure(502, "upstream_error", "Upstream model error")
INTERNAL: Final = Failure(500, "api_error", "Something went wrong", retryable=False)

_UPSTREAM_FINAL: Final = Failure(502, "upstream_error", UPSTREAM.message, retryable=False)
FAILURES: Final[dict[str, Failure]] = {
    "upstream_rate_limited": RATE_LIMITED,
    "upstream_timeout": TIMED_OUT,
    "upstream_overloaded": UPSTREAM,
    "upstream_unavailable": UPSTREAM,
    "upstream_error": UPSTREAM,
    "stream_truncated": UPSTREAM,
    "provider_protocol": UPSTREAM,
    "upstream_spend_limit": _UPSTREAM_FINAL,
    "upstream_auth": _UPSTREAM_FINAL,
    "upstream_invalid_request": _UPSTREAM_FINAL,
}
"""By the code of a ``ModelError``; every other code is ``INTERNAL``."""


def explain(code: str) -> Failure:
    """Return how a failure with this ``code`` is told."""
    return FAILURES.get(code, INTERNAL)


class ChatWire:
    """Encodes one run for ``POST /chat``. Stateful: one instance a stream."""

    head: Final = b""
    farewell: Final = (
        b'data: {"type":"error","delta":"","error":{"type":"api_error","code":"draining",'
        b'"message":"The server is shutting down.","retryable":true}}\n\n' + DONE
    )
    tail: Final = DONE

    def __init__(self) -> None:
        self.done = False
        """Whether nothing may follow but ``tail``, though the run goes on."""
        self._shown = False
        """Whether the client has seen anything of the turn in work."""

    def encode(self, events: Sequence[RecordedEvent]) -> bytes:
        """Return the frames of ``events`` in one piece, those of hidden events left out."""
        return b"".join([b"" if self.done else self._encode(event) for event in events])

    def _encode(self, recorded: RecordedEvent) -> bytes:
        if recorded.type == "text.delta":  # the hot path: its data has the delta already
            self._shown = True
            return b'data: {"type":"text.delta",%b\n\n' % recorded.data[1:]
        event = recorded.parse()
        if isinstance(event, TurnStarted):
            self._shown = False
        if isinstance(event, TurnRestarted):
            self.done = self._shown
            failure = explain("stream_truncated")
            return _error("stream_truncated", failure) if self.done else b""
        if isinstance(event, RunFailed):
            return _error(event.error.code, explain(event.error.code))
        if not _is_shown(event):
            return b""
        self._shown = True
        rest = b"}" if recorded.data == b"{}" else b"," + recorded.data[1:]
        return b'data: {"type":"%b","delta":""%b\n\n' % (recorded.type.encode(), rest)


def _error(code: str, failure: Failure) -> bytes:
    error = {"type": failure.type, "code": code, "message": failure.message}
    body = {"type": "error", "delta": "", "error": {**error, "retryable": failure.retryable}}
    return b"data: %b\n\n" % to_json(body)


def _is_shown(event: AnyEvent) -> bool:
    """Whether a chat client is told of the event."""
    match event:
        case (
            TextDelta()
            | ThinkingDelta()
            | ToolCallStarted()
            | ToolCallRequested()
            | ToolCallRejected()
            | ToolCallRunning()
            | ToolCallOutput()
            | ToolCallProgress()
            | ToolResultCompleted()
            | ToolResultFailed()
            | ApprovalRequested()
            | ApprovalResolved()
            | RunWaiting()
            | RunCompleted()
            | RunIncomplete()
            | RunFailed()
            | RunCancelled()
        ):
            return True
        case (
            RunCreated()
            | RunStarted()
            | RunResumed()
            | TurnStarted()
            | TurnCompleted()
            | TurnRestarted()
            | ModelRetried()
            | TextStarted()
            | TextCompleted()
            | ThinkingStarted()
            | ThinkingCompleted()
            | ToolCallInputDelta()
            | MessageAdded()
            | HistoryRepaired()
            | HistoryTrimmed()
            | BudgetWarned()
            | ProviderRaw()
        ):
            return False
        case _:
            assert_never(event)
