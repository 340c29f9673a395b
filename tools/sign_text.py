"""A secret: declared by name, given per call, never in the process's memory before."""
# ruff: noqa: D417 -- ctx is injected: neither callers nor the model need to know it

import hashlib
import hmac
from typing import Annotated

from pydantic import Field

from agent_server import ToolContext, ToolError, tool


@tool(effects="none", secrets=["SIGNING_KEY"], timeout_s=5)
def sign_text(
    text: Annotated[str, Field(min_length=1, max_length=100_000)], ctx: ToolContext
) -> dict[str, str]:
    """Sign a text with the company's key (HMAC-SHA256), so that others can check it is unchanged.

    Args:
        text: The text to sign, exactly as it will be sent.
    """
    key = ctx.secrets.get("SIGNING_KEY")
    if not key:
        raise ToolError("no signing key is configured: the operator must set SIGNING_KEY")
    signature = hmac.new(key.encode(), text.encode(), hashlib.sha256).hexdigest()
    return {"algorithm": "hmac-sha256", "signature": signature}
