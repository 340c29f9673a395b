"""The sandbox seam: where a tool call runs, and what it came to."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from agent_server.events import FailureKind, Isolation
from agent_server.messages import JsonObject
from agent_server.tooling.spec import ToolSpec

__all__ = [
    "CallRequest",
    "Failed",
    "Observe",
    "Outcome",
    "Output",
    "Progress",
    "Returned",
    "Sandbox",
]


@dataclass(frozen=True, slots=True)
class CallRequest:
    """Everything a tool call gets besides its arguments. Data only.

    ``timeout_s`` is what remains for this call (the tool's own limit or the run's, whichever is
    less); ``secrets`` are only those the tool declared.
    """

    run_id: str
    call_id: str
    idempotency_key: str
    timeout_s: float
    secrets: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Output:
    """A piece of what the tool printed, decoded (invalid bytes replaced)."""

    stream: Literal["stdout", "stderr"]
    text: str


@dataclass(frozen=True, slots=True)
class Progress:
    """One ``ctx.progress(done, total, message)``."""

    done: float
    total: float | None
    message: str | None


Observe = Callable[[Output | Progress], Awaitable[None]]
"""Called for everything the tool shows while it runs. While it waits, the tool is not read."""


@dataclass(frozen=True, slots=True)
class Returned:
    """The tool returned.

    ``content`` are the blocks for the model, already within the size cap; ``output`` is the
    returned JSON value (None for content blocks and values over the cap).
    """

    content: list[JsonObject]
    output: Any
    duration_ms: int
    cpu_ms: int | None
    peak_rss_kb: int | None
    truncated: bool = False


@dataclass(frozen=True, slots=True)
class Failed:
    """The tool did not return. ``message`` is for the model; ``detail`` (traceback) for the log."""

    kind: FailureKind
    message: str
    retryable: bool
    duration_ms: int
    cpu_ms: int | None = None
    peak_rss_kb: int | None = None
    detail: str | None = None


Outcome = Returned | Failed


class Sandbox(Protocol):
    """Runs tool calls, each apart from all others. Cancelling the caller kills the call."""

    @property
    def isolation(self) -> Isolation:
        """What ``tool_call.running`` says of the calls made here."""
        ...

    async def call(
        self, tool: ToolSpec, arguments: JsonObject, request: CallRequest, observe: Observe
    ) -> Outcome:
        """Run one call to its end: a typed outcome for every way to end, never an exception.

        On return, and on cancellation before it propagates, the call's process tree is dead.
        """
        ...
