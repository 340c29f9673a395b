"""Sandboxes over the tools in ``tests/fixtures/tool_files``, and one way to call them."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from agent_server.sandbox import CallRequest, Failed, Outcome, Output, Progress, Returned, Sandbox
from agent_server.sandbox.process import ProcessSandbox, SandboxConfig, open_process_sandbox
from agent_server.tooling.spec import ToolSpec

TOOL_FILES = Path(__file__).parents[2] / "fixtures" / "tool_files"
CONTRACT = TOOL_FILES / "sandbox_contract"
HOSTILE = TOOL_FILES / "sandbox_hostile"
LIMIT_S = 30
"""No wait of these tests is longer, however busy the machine."""

Shown = list[Output | Progress]


@asynccontextmanager
async def process_sandbox(*paths: Path, **options: Any) -> AsyncIterator[ProcessSandbox]:
    """Open a sandbox over ``paths``, by default those of the hostile tools."""
    settings: dict[str, Any] = {"warm": 1, "entry_points": False, **options}
    config = SandboxConfig(tool_paths=paths or (HOSTILE,), **settings)
    async with open_process_sandbox(config) as sandbox:
        yield sandbox


class Caller:
    """Calls tools by name and keeps what they show."""

    def __init__(self, sandbox: Sandbox, manifest: list[ToolSpec]) -> None:
        self.sandbox = sandbox
        self.tools = {tool.name: tool for tool in manifest}
        self.shown: Shown = []
        self.showed = asyncio.Event()

    async def __call__(
        self,
        name: str,
        /,
        *,
        timeout_s: float | None = None,
        secrets: dict[str, str] | None = None,
        **arguments: Any,
    ) -> Outcome:
        tool = self.tools[name]
        request = CallRequest(
            run_id="run_1",
            call_id="call_1",
            idempotency_key="run_1:call_1",
            timeout_s=tool.timeout_s if timeout_s is None else timeout_s,
            secrets=secrets or {},
        )
        async with asyncio.timeout(LIMIT_S):
            return await self.sandbox.call(tool, arguments, request, self.observe)

    async def observe(self, shown: Output | Progress) -> None:
        self.shown.append(shown)
        self.showed.set()

    async def output(self, name: str, /, **arguments: Any) -> Any:
        """Call, insist on success, and return the JSON value."""
        outcome = await self(name, **arguments)
        assert isinstance(outcome, Returned), outcome
        return outcome.output

    async def failure(self, name: str, /, **arguments: Any) -> Failed:
        """Call and insist on failure."""
        outcome = await self(name, **arguments)
        assert isinstance(outcome, Failed), outcome
        return outcome

    def printed(self, stream: str = "stdout") -> str:
        """What the tools have printed until now."""
        return "".join(o.text for o in self.shown if isinstance(o, Output) and o.stream == stream)

    def progress(self) -> list[float]:
        """How far the tools have said to be until now."""
        return [shown.done for shown in self.shown if isinstance(shown, Progress)]


def is_alive(pid: int) -> bool:
    """Whether there is such a process, dead ones that nobody has reaped included."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def entered(ledger: Path) -> list[int]:
    """The processes that have written themselves into ``ledger``."""
    return [int(line) for line in ledger.read_text(encoding="utf-8").split()]


async def gone(pid: int) -> None:
    """Wait until a process that is no child of ours has ended."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(descriptor, ended.set)
    try:
        async with asyncio.timeout(LIMIT_S):
            await ended.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
