"""An idempotent write: run twice with the same key (after a crash), it books once."""
# ruff: noqa: D417 -- ctx is injected: neither callers nor the model need to know it

import json
from pathlib import Path
from typing import Annotated, TypedDict

from pydantic import Field

from agent_server import ToolContext, tool


class Receipt(TypedDict):
    """What was booked."""

    entry_id: str
    account: str
    amount_cents: int
    balance_cents: int
    booked_now: bool


@tool(effects="idempotent", timeout_s=10)
def ledger_entry(
    account: Annotated[str, Field(pattern="^[a-z][a-z0-9-]{0,39}$", examples=["office-supplies"])],
    amount_cents: Annotated[int, Field(ge=-100_000_000, le=100_000_000)],
    ctx: ToolContext,
) -> Receipt:
    """Book an amount on an account of the ledger and return the new balance.

    Args:
        account: The account's name: lower-case letters, digits and hyphens.
        amount_cents: Cents to add; negative to take off.
    """
    # The scratch folder lasts as long as the call. A real ledger would be a database that keeps
    # the key in a unique column, or a path the tool declares by write=.
    book = Path("ledger.jsonl")
    lines = book.read_text(encoding="utf-8").splitlines() if book.exists() else []
    entries = [json.loads(line) for line in lines]
    booked_now = all(entry["id"] != ctx.idempotency_key for entry in entries)
    if booked_now:
        entry = {"id": ctx.idempotency_key, "account": account, "amount_cents": amount_cents}
        entries.append(entry)
        with book.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")
    balance = sum(entry["amount_cents"] for entry in entries if entry["account"] == account)
    return Receipt(
        entry_id=ctx.idempotency_key,
        account=account,
        amount_cents=amount_cents,
        balance_cents=balance,
        booked_now=booked_now,
    )
