"""A slower tool: what it prints and how far it is can be watched live."""

import time
from typing import Annotated, Final

from pydantic import Field

from agent_server import ToolContext, ToolError, tool

UNLUCKY: Final = 13


@tool(effects="none", timeout_s=30)
def countdown(start: Annotated[int, Field(ge=1, le=20)], ctx: ToolContext) -> str:
    """Count down to zero, five numbers a second.

    Args:
        start: The number to begin with.
    """
    if start == UNLUCKY:
        raise ToolError(f"{start} is bad luck for a launch: choose another number.")
    for number in range(start, 0, -1):
        print(f"{number} …")
        ctx.progress(start - number, start, f"{number} to go")
        time.sleep(0.2)
    return "Lift-off!"
