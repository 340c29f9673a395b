"""For the tests of tools and adapters: the public fakes, and one line that runs a tool.

The fakes pass the same contract suites as the parts they stand for. A tool is a plain function as
well; ``run_tool`` calls it the way a model does, from JSON to JSON:

>>> from agent_server import tool
>>> @tool(effects="none")
... def word_count(text: str) -> dict[str, int]:
...     '''Count the words of a text.'''
...     return {"words": len(text.split())}
>>> outcome = run_tool(word_count, {"text": "to be or not to be"})
>>> outcome.output
{'words': 6}
"""

import asyncio
from collections.abc import Mapping
from typing import Any

from agent_server.ids import new_id
from agent_server.messages import JsonObject
from agent_server.model.scripted import (
    Reply,
    ScriptedModel,
    Turn,
    call,
    error,
    fail,
    pause,
    raw,
    stall,
    text,
    thinking,
)
from agent_server.sandbox import CallRequest, Failed, Outcome, Output, Progress, Returned
from agent_server.sandbox.local import LocalSandbox
from agent_server.store.memory import MemoryStore
from agent_server.tooling import Tool
from agent_server.tooling.registry import ToolRegistry

__all__ = [
    "Failed",
    "LocalSandbox",
    "MemoryStore",
    "Outcome",
    "Progress",
    "Reply",
    "Returned",
    "ScriptedModel",
    "Turn",
    "call",
    "error",
    "fail",
    "pause",
    "raw",
    "run_tool",
    "stall",
    "text",
    "thinking",
]


def run_tool(
    tool: Tool[..., Any],
    arguments: JsonObject | None = None,
    *,
    secrets: Mapping[str, str] | None = None,
    idempotency_key: str | None = None,
    progress: list[Progress] | None = None,
) -> Outcome:
    """Call a tool as a model would, in this process, and return what it came to.

    The arguments are judged by the tool's schema and coerced to its annotated types, the result is
    made JSON, exceptions become a ``Failed``. Only time is limited. ``progress`` collects what the
    tool reports. Inside a running event loop use ``LocalSandbox`` instead.

    Raises:
        ToolLoadError: the tool's schema or one of its examples would be refused by a server.
    """
    problems = ToolRegistry([tool.spec]).validate(tool.spec.name, arguments or {})
    if problems:
        told = "; ".join(f"{problem.path or '/'}: {problem.message}" for problem in problems)
        return Failed(kind="invalid_input", message=told, retryable=True, duration_ms=0)
    held = secrets or {}
    missing = ", ".join(name for name in tool.spec.secrets if name not in held)
    if missing:
        told = f"The server holds no secret named {missing}."
        return Failed(kind="denied", message=told, retryable=False, duration_ms=0)
    call_id = new_id("call")
    request = CallRequest(
        run_id=new_id("run"),
        call_id=call_id,
        idempotency_key=idempotency_key or call_id,
        timeout_s=tool.spec.timeout_s,
        secrets={name: held[name] for name in tool.spec.secrets},
    )

    async def observe(shown: Output | Progress) -> None:
        if progress is not None and isinstance(shown, Progress):
            progress.append(shown)

    sandbox = LocalSandbox([tool])
    return asyncio.run(sandbox.call(tool.spec, arguments or {}, request, observe))
