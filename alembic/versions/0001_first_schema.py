"""The first schema."""

from typing import Any

import sqlalchemy as sa

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

APPLICATION_ID = 0x41675376
INTEGER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Columns = list[sa.Column[Any]]

INCOMPLETE_REASONS = "max_turns max_tokens max_tool_calls budget deadline context_window refusal"
USAGE = (
    "input_tokens output_tokens cache_read_input_tokens cache_creation_input_tokens "
    "model_calls tool_calls"
)
FAILURE_KINDS = (
    "exception timeout cpu memory output crashed syscall denied not_found invalid_input cancelled "
    "interrupted sandbox_unavailable"
)
IS_HISTORY = (
    "type = 'run.created' OR type = 'message.added' OR type = 'turn.completed' "
    "OR type = 'tool_call.requested' OR type = 'tool_result.completed' "
    "OR type = 'tool_result.failed'"
)
TABLES = (
    "threads",
    "specs",
    "runs",
    "run_epochs",
    "turns",
    "attempts",
    "tool_calls",
    "approvals",
    "events",
    "idempotency",
    "api_keys",
    "usage_days",
    "audit",
    "webhooks",
    "webhook_deliveries",
    "tombstones",
)


def text(names: str, *, nullable: bool = False) -> Columns:
    """Make TEXT columns."""
    return [sa.Column(name, sa.Text(), nullable=nullable) for name in names.split()]


def json(names: str, empty: str = "{}") -> Columns:
    """Make TEXT columns that hold JSON."""
    default = sa.text(f"'{empty}'")
    return [
        sa.Column(name, sa.Text(), server_default=default, nullable=False) for name in names.split()
    ]


def integer(names: str, *, nullable: bool = False) -> Columns:
    """Make INTEGER columns."""
    return [sa.Column(name, INTEGER, nullable=nullable) for name in names.split()]


def counter(names: str) -> Columns:
    """Make INTEGER columns that begin at 0."""
    return [
        sa.Column(name, INTEGER, server_default=sa.text("0"), nullable=False)
        for name in names.split()
    ]


def one_of(table: str, column: str, values: str) -> sa.CheckConstraint:
    """Make a CHECK that a column holds one of these words."""
    listed = " OR ".join(f"{column} = '{value}'" for value in values.split())
    return sa.CheckConstraint(listed, name=op.f(f"ck_{table}_{column}"))


def part_of(name: str, column: str, table: str) -> sa.ForeignKeyConstraint:
    """Make a foreign key to a row that this one goes with."""
    return sa.ForeignKeyConstraint([column], [f"{table}.id"], name=name, ondelete="CASCADE")


def partial_index(name: str, table: str, *columns: str, where: str, unique: bool = False) -> None:
    """Make an index of the rows for which ``where`` holds."""
    condition = sa.text(where)
    op.create_index(
        name, table, columns, unique=unique, sqlite_where=condition, postgresql_where=condition
    )


def upgrade() -> None:
    """Make every table."""
    if op.get_bind().dialect.name == "sqlite":
        op.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    create_threads()
    create_specs()
    create_runs()
    create_claims_and_turns()
    create_calls_and_approvals()
    create_events()
    create_keys_and_audit()
    create_webhooks_and_tombstones()


def downgrade() -> None:
    """Drop every table."""
    for table in reversed(TABLES):
        op.drop_table(table)


def create_threads() -> None:
    """Make threads."""
    op.create_table(
        "threads",
        *text("id tenant"),
        *text("external_id head_run_id", nullable=True),
        *json("metadata"),
        *integer("created_at updated_at"),
        sa.PrimaryKeyConstraint("id", name="pk_threads"),
        sa.UniqueConstraint("tenant", "external_id", name="uq_threads_tenant_external_id"),
    )
    op.create_index("ix_threads_head", "threads", ["head_run_id"])
    op.create_index("ix_threads_tenant", "threads", ["tenant", "id"])


def create_specs() -> None:
    """Make specs."""
    op.create_table(
        "specs",
        *text("tenant sha256 spec"),
        sa.PrimaryKeyConstraint("tenant", "sha256", name="pk_specs"),
    )


def create_runs() -> None:
    """Make runs."""
    op.create_table(
        "runs",
        *text("id tenant thread_id kind agent model trigger status"),
        *integer("epoch attempts"),
        *text("owner", nullable=True),
        *integer("lease_until", nullable=True),
        *counter("priority"),
        *integer("wake_at", nullable=True),
        *integer("next_seq"),
        *text("spec_sha256"),
        *text("code_version", nullable=True),
        *text("limits metadata"),
        *text("previous_run_id parent_run_id root_run_id parent_call_id", nullable=True),
        *integer("fork_seq", nullable=True),
        *text("on_disconnect"),
        *text("stop_reason incomplete_reason error cancelled_by", nullable=True),
        *integer("cancel_requested_at", nullable=True),
        *counter(USAGE),
        sa.Column("cost_usd", sa.Float(), nullable=True),
        *integer("created_at"),
        *integer("started_at finished_at deadline_at deltas_pruned_at", nullable=True),
        one_of("runs", "cancelled_by", "user disconnect interrupt"),
        one_of("runs", "incomplete_reason", INCOMPLETE_REASONS),
        one_of("runs", "kind", "agent tool"),
        one_of("runs", "on_disconnect", "cancel continue"),
        one_of("runs", "status", "queued running waiting completed incomplete failed cancelled"),
        part_of("fk_runs_thread_id", "thread_id", "threads"),
        sa.ForeignKeyConstraint(
            ["tenant", "spec_sha256"],
            ["specs.tenant", "specs.sha256"],
            name="fk_runs_tenant_spec_sha256",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_runs"),
    )
    op.create_index("ix_runs_previous", "runs", ["previous_run_id"])
    partial_index("ix_runs_queued", "runs", "priority", "id", where="status = 'queued'")
    partial_index("ix_runs_running", "runs", "id", where="status = 'running'")
    op.create_index("ix_runs_spec", "runs", ["spec_sha256", "tenant"])
    op.create_index("ix_runs_tenant", "runs", ["tenant", "id"])
    op.create_index("ix_runs_thread", "runs", ["thread_id", "id"])
    partial_index("ix_runs_waiting", "runs", "wake_at", where="status = 'waiting'")
    partial_index(
        "uq_runs_active_thread",
        "runs",
        "thread_id",
        where="status IN ('running', 'waiting') OR (status = 'queued' AND epoch > 0)",
        unique=True,
    )


def create_claims_and_turns() -> None:
    """Make the rows of claims, turns and attempts."""
    op.create_table(
        "run_epochs",
        *text("run_id"),
        *integer("epoch"),
        *text("owner", nullable=True),
        *integer("claimed_at first_seq"),
        *text("reason"),
        one_of("run_epochs", "reason", "claim takeover resume"),
        part_of("fk_run_epochs_run_id", "run_id", "runs"),
        sa.PrimaryKeyConstraint("run_id", "epoch", name="pk_run_epochs"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "turns",
        *text("run_id"),
        *integer("turn attempt"),
        *text("model status"),
        *text("stop_reason", nullable=True),
        *json("usage"),
        *integer("ttft_ms duration_ms", nullable=True),
        *integer("first_seq"),
        *integer("last_seq message_seq", nullable=True),
        *integer("started_at"),
        *integer("finished_at", nullable=True),
        one_of("turns", "status", "running completed incomplete failed cancelled"),
        part_of("fk_turns_run_id", "run_id", "runs"),
        sa.PrimaryKeyConstraint("run_id", "turn", name="pk_turns"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "attempts",
        *text("run_id"),
        *integer("turn attempt"),
        *text("status request_sha256"),
        *json("params"),
        sa.Column("response", sa.LargeBinary(), nullable=False),
        *text("upstream_request_id error_code", nullable=True),
        *integer("started_at finished_at"),
        one_of("attempts", "status", "completed failed cancelled"),
        part_of("fk_attempts_run_id", "run_id", "runs"),
        sa.PrimaryKeyConstraint("run_id", "turn", "attempt", name="pk_attempts"),
    )


def create_calls_and_approvals() -> None:
    """Make the rows of tool calls and approvals."""
    op.create_table(
        "tool_calls",
        *text("run_id call_id"),
        *integer("turn", nullable=True),
        *text("name"),
        *text("version effects", nullable=True),
        *text("executor state"),
        *counter("attempt"),
        *text("isolation kind", nullable=True),
        *integer("duration_ms requested_seq result_seq started_at finished_at", nullable=True),
        one_of("tool_calls", "executor", "server client provider mcp"),
        one_of("tool_calls", "isolation", "process inline"),
        one_of("tool_calls", "kind", FAILURE_KINDS),
        one_of("tool_calls", "state", "pending running completed failed rejected"),
        part_of("fk_tool_calls_run_id", "run_id", "runs"),
        sa.PrimaryKeyConstraint("run_id", "call_id", name="pk_tool_calls"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_tool_calls_name", "tool_calls", ["name"])
    op.create_table(
        "approvals",
        *text("run_id approval_id call_id name input_hash state"),
        *integer("requested_seq"),
        *integer("resolved_seq", nullable=True),
        *text("decided_by", nullable=True),
        *integer("requested_at"),
        *integer("decided_at expires_at", nullable=True),
        one_of("approvals", "state", "pending approved denied expired"),
        part_of("fk_approvals_run_id", "run_id", "runs"),
        sa.PrimaryKeyConstraint("run_id", "approval_id", name="pk_approvals"),
        sqlite_with_rowid=False,
    )
    partial_index("ix_approvals_pending", "approvals", "expires_at", where="state = 'pending'")


def create_events() -> None:
    """Make the events and what makes their writing idempotent."""
    op.create_table(
        "events",
        *text("run_id"),
        *integer("seq ts"),
        *text("type"),
        *integer("turn", nullable=True),
        *text("data"),
        *text("refs", nullable=True),
        part_of("fk_events_run_id", "run_id", "runs"),
        sa.PrimaryKeyConstraint("run_id", "seq", name="pk_events"),
        sqlite_with_rowid=False,
    )
    partial_index("ix_events_history", "events", "run_id", "seq", where=IS_HISTORY)
    op.create_table(
        "idempotency",
        *text("tenant key"),
        *text("request_sha256", nullable=True),
        *text("run_id"),
        *integer("created_at"),
        part_of("fk_idempotency_run_id", "run_id", "runs"),
        sa.PrimaryKeyConstraint("tenant", "key", name="pk_idempotency"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_idempotency_run", "idempotency", ["run_id"])


def create_keys_and_audit() -> None:
    """Make keys, usage and audit."""
    op.create_table(
        "api_keys",
        *text("id tenant"),
        *text("name", nullable=True),
        *text("hmac_sha256 last_four"),
        *json("scopes", "[]"),
        *json("limits"),
        *text("created_by", nullable=True),
        *integer("created_at"),
        *integer("expires_at last_used_at revoked_at", nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_api_keys"),
        sa.UniqueConstraint("hmac_sha256", name="uq_api_keys_hmac_sha256"),
    )
    op.create_index("ix_api_keys_tenant", "api_keys", ["tenant", "id"])
    op.create_table(
        "usage_days",
        *text("tenant key_id day"),
        *counter("runs"),
        *counter(USAGE),
        sa.Column("cost_usd", sa.Float(), server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "key_id", "day", name="pk_usage_days"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "audit",
        *text("id tenant"),
        *integer("at"),
        *text("actor action"),
        *text("target", nullable=True),
        *text("outcome"),
        *text("ip request_id", nullable=True),
        *json("details"),
        sa.PrimaryKeyConstraint("id", name="pk_audit"),
    )
    op.create_index("ix_audit_tenant", "audit", ["tenant", "id"])


def create_webhooks_and_tombstones() -> None:
    """Make webhooks, their outbox, and what is left of deleted things."""
    op.create_table(
        "webhooks",
        *text("id tenant url"),
        *json("types", "[]"),
        *text("secret"),
        *integer("created_at"),
        *integer("disabled_at", nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_webhooks"),
    )
    op.create_index("ix_webhooks_tenant", "webhooks", ["tenant", "id"])
    op.create_table(
        "webhook_deliveries",
        *text("id webhook_id run_id"),
        *integer("seq"),
        *text("state"),
        *counter("attempts"),
        *integer("next_at"),
        *integer("response_status", nullable=True),
        *text("error", nullable=True),
        *integer("created_at"),
        *integer("delivered_at", nullable=True),
        one_of("webhook_deliveries", "state", "pending delivered failed"),
        part_of("fk_webhook_deliveries_run_id", "run_id", "runs"),
        part_of("fk_webhook_deliveries_webhook_id", "webhook_id", "webhooks"),
        sa.PrimaryKeyConstraint("id", name="pk_webhook_deliveries"),
    )
    partial_index(
        "ix_webhook_deliveries_due", "webhook_deliveries", "next_at", where="state = 'pending'"
    )
    op.create_index("ix_webhook_deliveries_run", "webhook_deliveries", ["run_id"])
    op.create_index("ix_webhook_deliveries_webhook", "webhook_deliveries", ["webhook_id", "id"])
    op.create_table(
        "tombstones",
        *text("tenant kind id"),
        *integer("deleted_at"),
        *text("reason"),
        sa.PrimaryKeyConstraint("tenant", "kind", "id", name="pk_tombstones"),
        sqlite_with_rowid=False,
    )
