"""LocalSandbox: the public fake. Runs tools in this process, for tests and for tool authors."""

from collections.abc import Iterable
from typing import Any

from agent_server.events import Isolation
from agent_server.messages import JsonObject
from agent_server.sandbox import CallRequest, Failed, Observe, Outcome
from agent_server.sandbox.here import run_here
from agent_server.tooling.decorator import Tool
from agent_server.tooling.spec import ToolSpec

__all__ = ["LocalSandbox"]


class LocalSandbox:
    """Runs the given tools where they are: nothing is isolated, limited or captured but time.

    Coroutine functions run on the event loop and are cancelled at their deadline; others run in a
    thread, which is left to itself.
    """

    def __init__(self, tools: Iterable[Tool[..., Any]], *, result_kb: int = 1_024) -> None:
        self._tools = {tool.spec.name: tool for tool in tools}
        self._result_bytes = result_kb * 1024

    @property
    def manifest(self) -> list[ToolSpec]:
        """The tools, as a registry takes them."""
        return [tool.spec for tool in self._tools.values()]

    @property
    def isolation(self) -> Isolation:
        """Calls run in this process."""
        return "inline"

    async def call(
        self, tool: ToolSpec, arguments: JsonObject, request: CallRequest, observe: Observe
    ) -> Outcome:
        """Run one call to its end: a typed outcome for every way to end."""
        found = self._tools.get(tool.name)
        if found is None:
            message = f"There is no tool {tool.name!r} here."
            return Failed(kind="not_found", message=message, retryable=False, duration_ms=0)
        return await run_here(
            found, arguments, request, observe=observe, result_bytes=self._result_bytes
        )
