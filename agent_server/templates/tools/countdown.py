"""A slower tool: what it prints and how far it is can be watched live."""

import time
from typing import Annotated

from pydantic import Field

from agent_server import ToolContext, ToolError, tool


@tool(effects="none", timeout_s=30)
def countdown(start: Annotated[int, Field(ge=1, le=20)], context: ToolContext) -> str:
    """Count down to zero, five numbers a second.

    Args:
        start: The number to begin with.
    """
    if start == 13:
        raise ToolError("13 is bad luck for a launch: choose another number.")
    for number in range(start, 0, -1):
        print(f"{number} …")
        context.progress(start - number, start, f"{number} to go")
        time.sleep(0.2)
    return "Lift-off!"
