"""The schema around runs: keys, usage, audit, webhooks, and what was deleted."""

from sqlalchemy import Float, Index, text
from sqlmodel import Field

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

__all__ = ["ApiKey", "Audit", "Tombstone", "UsageDay", "Webhook", "WebhookDelivery"]


class ApiKey(Table, table=True):
    """An API key: its HMAC, never the key itself."""

    __tablename__ = "api_keys"
    __table_args__ = (Index("ix_api_keys_tenant", "tenant", "id"),)
    id: str = text_column(primary_key=True)
    tenant: str = text_column()
    name: str | None = text_column(default=None)
    hmac_sha256: str = text_column(unique=True)
    last_four: str = text_column()
    scopes: str = json_column("[]")
    limits: str = json_column()
    created_by: str | None = text_column(default=None)
    created_at: int = integer()
    expires_at: int | None = integer(default=None)
    last_used_at: int | None = integer(default=None)
    revoked_at: int | None = integer(default=None)


class UsageDay(Table, table=True):
    """What a key used on one UTC day (``YYYY-MM-DD``)."""

    __tablename__ = "usage_days"
    __table_args__ = (WITHOUT_ROWID,)
    tenant: str = text_column(primary_key=True)
    key_id: str = text_column(primary_key=True)
    day: str = text_column(primary_key=True)
    runs: int = counter()
    input_tokens: int = counter()
    output_tokens: int = counter()
    cache_read_input_tokens: int = counter()
    cache_creation_input_tokens: int = counter()
    model_calls: int = counter()
    tool_calls: int = counter()
    cost_usd: float = Field(
        default=0.0, sa_type=Float, sa_column_kwargs={"server_default": text("0")}
    )


class Audit(Table, table=True):
    """Who did what to which object, append-only."""

    __tablename__ = "audit"
    __table_args__ = (Index("ix_audit_tenant", "tenant", "id"),)
    id: str = text_column(primary_key=True)
    tenant: str = text_column()
    at: int = integer()
    actor: str = text_column()
    action: str = text_column()
    target: str | None = text_column(default=None)
    outcome: str = text_column()
    ip: str | None = text_column(default=None)
    request_id: str | None = text_column(default=None)
    details: str = json_column()


class Webhook(Table, table=True):
    """Where a tenant wants to be told of its runs' ends and waits."""

    __tablename__ = "webhooks"
    __table_args__ = (Index("ix_webhooks_tenant", "tenant", "id"),)
    id: str = text_column(primary_key=True)
    tenant: str = text_column()
    url: str = text_column()
    types: str = json_column("[]")
    secret: str = text_column()
    created_at: int = integer()
    disabled_at: int | None = integer(default=None)


class WebhookDelivery(Table, table=True):
    """The outbox: one event to be delivered to one webhook."""

    __tablename__ = "webhook_deliveries"
    __table_args__ = (
        one_of("state", ("pending", "delivered", "failed")),
        partial_index("ix_webhook_deliveries_due", "next_at", where="state = 'pending'"),
        Index("ix_webhook_deliveries_webhook", "webhook_id", "id"),
        Index("ix_webhook_deliveries_run", "run_id"),
    )
    id: str = text_column(primary_key=True)
    webhook_id: str = text_column(foreign_key="webhooks.id", ondelete="CASCADE")
    run_id: str = run_id_column()
    seq: int = integer()
    state: str = text_column()
    attempts: int = counter()
    next_at: int = integer()
    response_status: int | None = integer(default=None)
    error: str | None = text_column(default=None)
    created_at: int = integer()
    delivered_at: int | None = integer(default=None)


class Tombstone(Table, table=True):
    """What was deleted, without its content."""

    __tablename__ = "tombstones"
    __table_args__ = (WITHOUT_ROWID,)
    tenant: str = text_column(primary_key=True)
    kind: str = text_column(primary_key=True)
    id: str = text_column(primary_key=True)
    deleted_at: int = integer()
    reason: str = text_column()
