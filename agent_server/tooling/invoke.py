"""One call of a tool, in the process it is meant to run in: arguments in, blocks out.

Runs in the sandbox's child: standard library, pydantic and this package's cheap modules only.
"""

from typing import Any

from agent_server.messages import JsonObject
from agent_server.tooling.context import ToolContext
from agent_server.tooling.decorator import Tool
from agent_server.tooling.parameters import ArgumentError
from agent_server.tooling.rendering import Rendered, ResultError, render_result
from agent_server.tooling.text import sanitize_text

__all__ = [
    "ArgumentError",
    "Rendered",
    "ResultError",
    "invoke",
    "render_result",
    "sanitize_text",
]


def invoke(tool: Tool[..., Any], arguments: JsonObject, context: ToolContext) -> object:
    """Call ``tool`` with JSON arguments; an async tool gives an awaitable.

    Arguments become the annotated types; the context goes to the parameter that asks for it.

    Raises:
        ArgumentError: an argument does not fit its annotation; the function was not called.
        Exception: whatever the function raises.
    """
    given = tool.parameters.coerce(arguments)
    if tool.parameters.context is not None:
        given[tool.parameters.context] = context
    return tool.fn(**given)
