"""The store seam: what a run's record must be able to do.

Rows are a fold of events (``fold.py``): whoever commits events commits the rows that follow from
them, in one transaction. Times are epoch microseconds, UTC.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from agent_server.events import AnyEvent, RawAttempt, RecordedEvent
from agent_server.messages import JsonObject
from agent_server.status import RunStatus

__all__ = [
    "Claim",
    "Commit",
    "Created",
    "NewRun",
    "PendingEvent",
    "RunFilter",
    "RunRow",
    "Store",
    "ThreadRow",
    "ToolCallRow",
    "TurnRow",
]


@dataclass(frozen=True, slots=True)
class Claim:
    """Ownership of a run. Every write names it; a later claim's ``epoch`` fences earlier ones."""

    run_id: str
    epoch: int


@dataclass(frozen=True, slots=True)
class PendingEvent:
    """An event encoded but not yet numbered. ``ts``: epoch milliseconds."""

    ts: int
    event: AnyEvent
    data: bytes


@dataclass(frozen=True, slots=True)
class Commit:
    """One run's share of a group commit."""

    claim: Claim
    events: Sequence[PendingEvent]
    raw: Sequence[RawAttempt] = ()


@dataclass(frozen=True, slots=True)
class NewRun:
    """A run to be created, with the thread it belongs to.

    ``spec`` is the agent snapshot (system, tools with versions and schemas, limits, params).
    ``expected_head``: the thread's ``head_run_id`` this run was built on (None: a new or empty
    thread). ``new_thread``: create the thread row too. ``claimed``: insert it as running with
    epoch 1, else as queued with epoch 0.
    """

    id: str
    tenant: str
    thread_id: str
    kind: str
    agent: str
    model: str
    trigger: str
    spec: JsonObject
    limits: JsonObject
    metadata: JsonObject
    created_at: int
    deadline_at: int | None
    new_thread: bool
    expected_head: str | None = None
    previous_run_id: str | None = None
    parent_run_id: str | None = None
    root_run_id: str | None = None
    parent_call_id: str | None = None
    fork_seq: int | None = None
    idempotency_key: str | None = None
    request_sha256: str | None = None
    on_disconnect: str = "continue"
    claimed: bool = True


@dataclass(frozen=True, slots=True)
class Created:
    """What ``create_run`` did: a fresh run, or the one an earlier request with this key made."""

    run_id: str
    thread_id: str
    replayed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRow:
    """A run as its rows say. ``last_seq`` is 0 before the first event.

    ``spec`` is empty in lists: only ``get_run`` and ``claim_orphans`` read it.
    ``attempts`` counts the claims since the run last made progress (a turn or a result on disk).
    """

    id: str
    tenant: str
    thread_id: str
    kind: str
    agent: str
    model: str
    trigger: str
    status: RunStatus
    epoch: int
    attempts: int
    last_seq: int
    spec: JsonObject
    limits: JsonObject
    metadata: JsonObject
    stop_reason: str | None
    incomplete_reason: str | None
    error: JsonObject | None
    cancelled_by: str | None
    usage: JsonObject
    cost_usd: float | None
    turn_count: int
    tool_call_count: int
    previous_run_id: str | None
    parent_run_id: str | None
    root_run_id: str | None
    on_disconnect: str
    created_at: int
    started_at: int | None
    finished_at: int | None
    deadline_at: int | None
    output: str | None = None
    """The text of the terminal event; only filled by ``get_run``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnRow:
    """One finished or running turn."""

    turn: int
    attempt: int
    model: str
    status: str
    stop_reason: str | None
    usage: JsonObject
    ttft_ms: int | None
    duration_ms: int | None
    first_seq: int
    last_seq: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCallRow:
    """One tool call on record: one that was requested or rejected.

    ``state``: pending, running, completed, failed, rejected. ``requested_seq`` is None for a
    rejected call.
    """

    call_id: str
    turn: int | None
    ordinal: int
    name: str
    state: str
    attempt: int
    isolation: str | None
    kind: str | None
    duration_ms: int | None
    requested_seq: int | None
    result_seq: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ThreadRow:
    """A conversation that runs add to."""

    id: str
    tenant: str
    external_id: str | None
    head_run_id: str | None
    metadata: JsonObject
    created_at: int
    updated_at: int


@dataclass(frozen=True, slots=True)
class RunFilter:
    """What ``list_runs`` selects. ``q`` matches ids by prefix and metadata by substring.

    ``extra``: entries that the metadata must have, compared by value (None: absent or null).
    """

    status: str | None = None
    agent: str | None = None
    tool: str | None = None
    thread_id: str | None = None
    kind: str | None = "agent"
    q: str | None = None
    extra: JsonObject = field(default_factory=dict)


class Store(Protocol):
    """Keeps threads, runs and their events. Every read of a tenant's data names the tenant.

    Writes raise ``StoreError`` when the database cannot be written, and are durable on return.
    """

    async def create_thread(self, thread: ThreadRow) -> None:
        """Insert a thread. Raises ``Conflict(code="thread_exists")`` for a taken external id."""
        ...

    async def create_run(self, run: NewRun, events: Sequence[PendingEvent]) -> Created:
        """Insert the run, its thread if new, its idempotency key and its first events, at once.

        Raises:
            InvalidRequest: code ``idempotency_key_reused``: the key came with another body.
            Conflict: code ``thread_busy``: the thread has an active run; code ``thread_moved``:
                its head is not ``expected_head`` any more (read it and try again).
            NotFound: code ``thread_not_found``.
        """
        ...

    async def claim_orphans(self) -> list[tuple[Claim, RunRow]]:
        """Take every run that a dead process left ``running`` or released as ``queued``.

        Each gets ``epoch + 1``, ``attempts + 1`` and status ``running``; writes no event.
        """
        ...

    async def commit(self, commits: Sequence[Commit]) -> list[int]:
        """Write all ``commits`` in one transaction; return each one's first seq, 0 where fenced.

        A fenced commit writes nothing and spoils none of the others; so does one that cannot be
        written for a fault of its own, which is logged.
        """
        ...

    async def append_external(
        self, run_id: str, *, allowed: frozenset[RunStatus], events: Sequence[PendingEvent]
    ) -> int:
        """Append to a run one does not own if its status is in ``allowed``; return the first seq.

        Returns 0, having written nothing, when the status is another. A run that waits for
        approvals is queued again by the decision of the last one.
        """
        ...

    async def read_events(
        self, run_id: str, *, after: int = 0, limit: int = 500
    ) -> list[RecordedEvent]:
        """Return up to ``limit`` events with ``seq > after``, byte-identical to the live ones."""
        ...

    async def history(self, run_id: str) -> list[RecordedEvent]:
        """Return the events a transcript is made of, oldest first, along ``previous_run_id``.

        Types: run.created, message.added, turn.completed, tool_call.requested,
        tool_result.completed, tool_result.failed. The run itself comes last.
        """
        ...

    async def get_run(self, tenant: str, run_id: str) -> RunRow:
        """Return a run with its output. Raises ``NotFound(code="run_not_found")``."""
        ...

    async def list_runs(
        self, tenant: str, where: RunFilter, *, limit: int, before: str | None
    ) -> list[RunRow]:
        """Return runs, newest first, with ids below ``before`` and without their specs."""
        ...

    async def turns(self, run_id: str) -> list[TurnRow]:
        """Return a run's turns in order."""
        ...

    async def tool_calls(self, run_id: str) -> list[ToolCallRow]:
        """Return a run's tool calls in order of turn and ordinal."""
        ...

    async def attempt_raw(self, run_id: str, turn: int, attempt: int) -> bytes:
        """Return the provider's bytes of one attempt. Raises ``NotFound``."""
        ...

    async def get_thread(self, tenant: str, thread_id: str) -> ThreadRow:
        """Return a thread by id or external id. Raises ``NotFound(code="thread_not_found")``."""
        ...

    async def list_threads(self, tenant: str, *, limit: int, before: str | None) -> list[ThreadRow]:
        """Return threads, newest first."""
        ...

    async def delete_thread(self, tenant: str, thread_id: str) -> None:
        """Delete a thread, its runs and their events.

        Raises ``NotFound``, or ``Conflict(code="thread_busy")`` while a run is active.
        """
        ...

    async def is_writable(self) -> bool:
        """Whether a write would succeed now, by trying one that changes nothing."""
        ...

    async def aclose(self) -> None:
        """Wait for what is queued, then close."""
        ...
