"""A slow task that shows what it does: prints stream as output, ``ctx.progress`` as progress."""
# ruff: noqa: D417 -- ctx is injected: neither callers nor the model need to know it

import time
from typing import Annotated, Final, Literal

from pydantic import Field

from agent_server import ToolContext, tool

_STEPS: Final = ("heating water", "grinding beans", "pouring", "cleaning up")


@tool(effects="once", timeout_s=60)
def brew_coffee(
    ctx: ToolContext,
    cups: Annotated[int, Field(ge=1, le=8)] = 1,
    strength: Literal["mild", "normal", "strong"] = "normal",
    seconds_a_step: Annotated[float, Field(ge=0, le=5)] = 0.5,
) -> str:
    """Brew coffee on the office machine. Takes a few seconds and reports each step.

    Args:
        cups: How many cups.
        strength: How strong.
        seconds_a_step: How long each of the four steps takes.
    """
    for done, step in enumerate(_STEPS):
        print(f"{step} …", flush=True)  # noqa: T201 -- streams to whoever watches the run
        ctx.progress(done, len(_STEPS), step)
        time.sleep(seconds_a_step)
    ctx.progress(len(_STEPS), len(_STEPS), "done")
    return f"{cups} {'cup' if cups == 1 else 'cups'} of {strength} coffee, ready in the kitchen."
