"""An inline tool: async and inside the server, so it can be cancelled but not killed."""
# ruff: noqa: D417 -- ctx is injected: neither callers nor the model need to know it

import asyncio
import time
from typing import Annotated

from pydantic import Field

from agent_server import ToolContext, tool

_LOADED_AT = time.monotonic()


@tool(effects="none", isolation="inline", timeout_s=120)
async def timer(
    seconds: Annotated[float, Field(ge=0, le=60, examples=[3])], ctx: ToolContext
) -> dict[str, float]:
    """Wait for some seconds, then tell how long the server has been up.

    Args:
        seconds: How long to wait.
    """
    started = time.monotonic()
    while (elapsed := time.monotonic() - started) < seconds:
        ctx.progress(round(elapsed, 1), seconds, "waiting")
        await asyncio.sleep(min(0.5, seconds - elapsed))
    ctx.progress(seconds, seconds, "done")
    now = time.monotonic()
    return {"waited_s": round(now - started, 3), "server_up_s": round(now - _LOADED_AT, 1)}
