"""InlineSandbox: tools that declare ``isolation="inline"`` run in the server itself."""

import asyncio
from typing import Any

from agent_server.errors import ToolLoadError
from agent_server.events import Isolation
from agent_server.messages import JsonObject
from agent_server.sandbox import CallRequest, Failed, Observe, Outcome
from agent_server.sandbox.here import run_here
from agent_server.tooling.decorator import Tool
from agent_server.tooling.loader import load_tool
from agent_server.tooling.spec import ToolSpec

__all__ = ["InlineSandbox"]


class InlineSandbox:
    """Runs coroutine tools on the server's event loop, with all the server can do.

    Time is bounded by cancellation only; memory and output are not bounded, and what a tool prints
    goes where the server prints. A tool's file is imported at its first call.
    """

    def __init__(self, *, result_kb: int = 1_024) -> None:
        self._result_bytes = result_kb * 1024
        self._loaded: dict[str, Tool[..., Any]] = {}
        self._loading = asyncio.Lock()

    @property
    def isolation(self) -> Isolation:
        """Calls run in the server."""
        return "inline"

    async def call(
        self, tool: ToolSpec, arguments: JsonObject, request: CallRequest, observe: Observe
    ) -> Outcome:
        """Run one call to its end; on cancellation the tool is cancelled, and waited for."""
        try:
            loaded = await self._load(tool)
        except ToolLoadError as error:
            return Failed(
                kind="sandbox_unavailable",
                message=f"The tool {tool.name!r} cannot be loaded.",
                retryable=False,
                duration_ms=0,
                detail=error.message,
            )
        return await run_here(
            loaded, arguments, request, observe=observe, result_bytes=self._result_bytes
        )

    async def _load(self, spec: ToolSpec) -> Tool[..., Any]:
        key = f"{spec.name}/{spec.source_sha256}"
        async with self._loading:
            if key not in self._loaded:
                self._loaded[key] = await asyncio.to_thread(load_tool, spec)
        return self._loaded[key]
