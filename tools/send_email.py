"""An effect that cannot be taken back: a person approves each call, and it runs at most once."""
# ruff: noqa: D417 -- ctx is injected: neither callers nor the model need to know it

from email.message import EmailMessage
from pathlib import Path
from typing import Annotated

from pydantic import Field

from agent_server import ToolContext, tool

Address = Annotated[
    str,
    Field(
        max_length=200,
        pattern=r"^[^@\s,;<>]+@[^@\s,;<>]+\.[^@\s,;<>]+$",
        examples=["ada@example.org"],
    ),
]


@tool(effects="once", approval="always", timeout_s=15, parallel=False)
def send_email(
    to: Annotated[list[Address], Field(min_length=1, max_length=10)],
    subject: Annotated[str, Field(min_length=1, max_length=150, pattern=r"^[^\r\n]+$")],
    body: Annotated[str, Field(max_length=20_000)],
    ctx: ToolContext,
) -> dict[str, str | int]:
    """Send an email. A person sees it and must approve before it goes out.

    Args:
        to: The recipients' addresses.
        subject: The subject, one line.
        body: The text, plain.
    """
    message = EmailMessage()
    message["To"] = ", ".join(to)
    message["Subject"] = subject
    message.set_content(body)
    # An example must not send mail: it leaves the message in an outbox, ready for a mail server.
    outbox = Path("outbox")
    outbox.mkdir(exist_ok=True)
    sent = outbox / f"{ctx.call_id}.eml"
    sent.write_bytes(message.as_bytes())
    return {"status": "queued", "recipients": len(to), "message": sent.name}
