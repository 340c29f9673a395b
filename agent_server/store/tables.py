"""The schema of runs: one table a thing the store keeps of them, the same on every database.

Ids are TEXT, times INTEGER epoch microseconds (UTC), payloads TEXT holding JSON that we serialised
(a JSON column type may reorder keys). Messages, results and outputs are kept once, in ``events``:
other rows hold the seqs that point at them. ``alembic/versions`` makes exactly these tables.
"""

from typing import get_args

from sqlalchemy import (
    Float,
    ForeignKeyConstraint,
    Index,
    LargeBinary,
    Text,
    UniqueConstraint,
    text,
)
from sqlmodel import Field

from agent_server.events import CancelledBy, Executor, FailureKind, IncompleteReason, Isolation
from agent_server.status import RunStatus
from agent_server.store.columns import (
    WITHOUT_ROWID,
    Table,
    counter,
    integer,
    json_column,
    one_of,
    partial_index,
    run_id_column,
    text_column,
)

__all__ = [
    "HISTORY_TYPES",
    "IS_HISTORY",
    "Approval",
    "Attempt",
    "EventRow",
    "Idempotency",
    "Run",
    "RunEpoch",
    "Spec",
    "Thread",
    "ToolCall",
    "Turn",
]

HISTORY_TYPES = (
    "run.created",
    "message.added",
    "turn.completed",
    "tool_call.requested",
    "tool_result.completed",
    "tool_result.failed",
)
"""The events a transcript is made of: they have an index of their own."""

IS_HISTORY = " OR ".join(f"type = '{name}'" for name in HISTORY_TYPES)
"""Not ``IN``: SQLite would build the list anew for every event it inserts."""
_ACTIVE = "status IN ('running', 'waiting') OR (status = 'queued' AND epoch > 0)"


class Thread(Table, table=True):
    """A conversation that runs add to; ``head_run_id`` is its tip."""

    __tablename__ = "threads"
    __table_args__ = (
        UniqueConstraint("tenant", "external_id"),
        Index("ix_threads_tenant", "tenant", "id"),
        Index("ix_threads_head", "head_run_id"),
    )
    id: str = text_column(primary_key=True)
    tenant: str = text_column()
    external_id: str | None = text_column(default=None)
    head_run_id: str | None = text_column(default=None)
    metadata_: str = Field(
        default="{}",
        sa_type=Text,
        sa_column_kwargs={"name": "metadata", "server_default": text("'{}'")},
    )
    created_at: int = integer()
    updated_at: int = integer()


class Spec(Table, table=True):
    """An agent snapshot, kept once for all of a tenant's runs that share it.

    Apart from ``runs``, whose rows are rewritten with every commit and must stay small.
    """

    __tablename__ = "specs"
    tenant: str = text_column(primary_key=True)
    sha256: str = text_column(primary_key=True)
    spec: str = text_column()


class Run(Table, table=True):
    """One request worked to its end. ``epoch`` fences its owners, ``next_seq`` numbers its events.

    ``owner``, ``lease_until`` and ``priority`` serve more than one worker; ``attempts`` counts the
    claims since the run last made progress. The output is in the terminal event.
    """

    __tablename__ = "runs"
    __table_args__ = (
        one_of("kind", ("agent", "tool")),
        one_of("status", RunStatus),
        one_of("incomplete_reason", get_args(IncompleteReason)),
        one_of("cancelled_by", get_args(CancelledBy)),
        one_of("on_disconnect", ("cancel", "continue")),
        ForeignKeyConstraint(["tenant", "spec_sha256"], ["specs.tenant", "specs.sha256"]),
        partial_index("uq_runs_active_thread", "thread_id", where=_ACTIVE, unique=True),
        Index("ix_runs_thread", "thread_id", "id"),
        Index("ix_runs_tenant", "tenant", "id"),
        Index("ix_runs_previous", "previous_run_id"),
        Index("ix_runs_spec", "spec_sha256", "tenant"),
        partial_index("ix_runs_queued", "priority", "id", where="status = 'queued'"),
        partial_index("ix_runs_running", "id", where="status = 'running'"),
        partial_index("ix_runs_waiting", "wake_at", where="status = 'waiting'"),
    )
    id: str = text_column(primary_key=True)
    tenant: str = text_column()
    thread_id: str = text_column(foreign_key="threads.id", ondelete="CASCADE")
    kind: str = text_column()
    agent: str = text_column()
    model: str = text_column()
    trigger: str = text_column()
    status: str = text_column()
    epoch: int = integer()
    attempts: int = integer()
    owner: str | None = text_column(default=None)
    lease_until: int | None = integer(default=None)
    priority: int = counter()
    wake_at: int | None = integer(default=None)
    next_seq: int = integer()
    spec_sha256: str = text_column()
    code_version: str | None = text_column(default=None)
    limits: str = text_column()
    metadata_: str = Field(sa_type=Text, sa_column_kwargs={"name": "metadata"})
    previous_run_id: str | None = text_column(default=None)
    parent_run_id: str | None = text_column(default=None)
    root_run_id: str | None = text_column(default=None)
    parent_call_id: str | None = text_column(default=None)
    fork_seq: int | None = integer(default=None)
    on_disconnect: str = text_column()
    stop_reason: str | None = text_column(default=None)
    incomplete_reason: str | None = text_column(default=None)
    error: str | None = text_column(default=None)
    cancelled_by: str | None = text_column(default=None)
    cancel_requested_at: int | None = integer(default=None)
    input_tokens: int = counter()
    output_tokens: int = counter()
    cache_read_input_tokens: int = counter()
    cache_creation_input_tokens: int = counter()
    model_calls: int = counter()
    tool_calls: int = counter()
    cost_usd: float | None = Field(default=None, sa_type=Float)
    created_at: int = integer()
    started_at: int | None = integer(default=None)
    finished_at: int | None = integer(default=None)
    deadline_at: int | None = integer(default=None)
    deltas_pruned_at: int | None = integer(default=None)


class RunEpoch(Table, table=True):
    """One claim of a run: who owned it from which seq on."""

    __tablename__ = "run_epochs"
    __table_args__ = (one_of("reason", ("claim", "takeover", "resume")), WITHOUT_ROWID)
    run_id: str = run_id_column(primary_key=True)
    epoch: int = integer(primary_key=True)
    owner: str | None = text_column(default=None)
    claimed_at: int = integer()
    first_seq: int = integer()
    reason: str = text_column()


class Turn(Table, table=True):
    """One model response; ``message_seq`` is the event that holds its blocks."""

    __tablename__ = "turns"
    __table_args__ = (
        one_of("status", ("running", "completed", "incomplete", "failed", "cancelled")),
        WITHOUT_ROWID,
    )
    run_id: str = run_id_column(primary_key=True)
    turn: int = integer(primary_key=True)
    attempt: int = integer()
    model: str = text_column()
    status: str = text_column()
    stop_reason: str | None = text_column(default=None)
    usage: str = json_column()
    ttft_ms: int | None = integer(default=None)
    duration_ms: int | None = integer(default=None)
    first_seq: int = integer()
    last_seq: int | None = integer(default=None)
    message_seq: int | None = integer(default=None)
    started_at: int = integer()
    finished_at: int | None = integer(default=None)


class Attempt(Table, table=True):
    """One try at a turn's model call; ``response`` is the provider's body, zlib-compressed."""

    __tablename__ = "attempts"
    __table_args__ = (one_of("status", ("completed", "failed", "cancelled")),)
    run_id: str = run_id_column(primary_key=True)
    turn: int = integer(primary_key=True)
    attempt: int = integer(primary_key=True)
    status: str = text_column()
    request_sha256: str = text_column()
    params: str = json_column()
    response: bytes = Field(sa_type=LargeBinary)
    upstream_request_id: str | None = text_column(default=None)
    error_code: str | None = text_column(default=None)
    started_at: int = integer()
    finished_at: int = integer()


class ToolCall(Table, table=True):
    """One tool call. ``requested_seq`` is the event that judged it: requested or rejected."""

    __tablename__ = "tool_calls"
    __table_args__ = (
        one_of("state", ("pending", "running", "completed", "failed", "rejected")),
        one_of("executor", get_args(Executor)),
        one_of("isolation", get_args(Isolation)),
        one_of("kind", get_args(FailureKind)),
        Index("ix_tool_calls_name", "name"),
        WITHOUT_ROWID,
    )
    run_id: str = run_id_column(primary_key=True)
    call_id: str = text_column(primary_key=True)
    turn: int | None = integer(default=None)
    name: str = text_column()
    version: str | None = text_column(default=None)
    effects: str | None = text_column(default=None)
    executor: str = text_column()
    state: str = text_column()
    attempt: int = counter()
    isolation: str | None = text_column(default=None)
    kind: str | None = text_column(default=None)
    duration_ms: int | None = integer(default=None)
    requested_seq: int | None = integer(default=None)
    result_seq: int | None = integer(default=None)
    started_at: int | None = integer(default=None)
    finished_at: int | None = integer(default=None)


class Approval(Table, table=True):
    """A decision that a person is asked for; input and note are in the events it points at."""

    __tablename__ = "approvals"
    __table_args__ = (
        one_of("state", ("pending", "approved", "denied", "expired")),
        partial_index("ix_approvals_pending", "expires_at", where="state = 'pending'"),
        WITHOUT_ROWID,
    )
    run_id: str = run_id_column(primary_key=True)
    approval_id: str = text_column(primary_key=True)
    call_id: str = text_column()
    name: str = text_column()
    input_hash: str = text_column()
    state: str = text_column()
    requested_seq: int = integer()
    resolved_seq: int | None = integer(default=None)
    decided_by: str | None = text_column(default=None)
    requested_at: int = integer()
    decided_at: int | None = integer(default=None)
    expires_at: int | None = integer(default=None)


class EventRow(Table, table=True):
    """One event. ``ts`` is the envelope's epoch milliseconds; ``refs`` as in ``refs.py``."""

    __tablename__ = "events"
    __table_args__ = (
        partial_index("ix_events_history", "run_id", "seq", where=IS_HISTORY),
        WITHOUT_ROWID,
    )
    run_id: str = run_id_column(primary_key=True)
    seq: int = integer(primary_key=True)
    ts: int = integer()
    type: str = text_column()
    turn: int | None = integer(default=None)
    data: str = text_column()
    refs: str | None = text_column(default=None)


class Idempotency(Table, table=True):
    """A client's key and the run it made; kept as long as the run."""

    __tablename__ = "idempotency"
    __table_args__ = (Index("ix_idempotency_run", "run_id"), WITHOUT_ROWID)
    tenant: str = text_column(primary_key=True)
    key: str = text_column(primary_key=True)
    request_sha256: str | None = text_column(default=None)
    run_id: str = run_id_column()
    created_at: int = integer()
