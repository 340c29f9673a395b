"""ProcessSandbox: every tool call in a fresh process of its own, killed with all it started."""

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pydantic_core import PydanticSerializationError

from agent_server.errors import SandboxUnavailable
from agent_server.events import Isolation
from agent_server.messages import JsonObject
from agent_server.sandbox import CallRequest, Failed, Observe, Outcome
from agent_server.sandbox.child_process import Child
from agent_server.sandbox.frames import encode_frame
from agent_server.sandbox.outcomes import unavailable
from agent_server.sandbox.pool import ChildPool
from agent_server.sandbox.protocol import Limits, Request
from agent_server.sandbox.scratch import ScratchSweeper, remove_in_thread
from agent_server.sandbox.supervision import CallLimits, Supervision
from agent_server.sandbox.zygote_process import ZygotePlan, start_zygote
from agent_server.task_group import open_task_group
from agent_server.tooling.spec import ToolSpec

__all__ = ["ProcessSandbox", "SandboxConfig", "open_process_sandbox"]


def _default_warm() -> int:
    return min(4, 2 * (os.cpu_count() or 1))


def _default_max_running() -> int:
    return max(8, 4 * (os.cpu_count() or 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxConfig:
    """What a process sandbox is opened with.

    ``warm`` children are parked ahead of calls; ``max_running`` calls run at once, the others wait
    ``queue_timeout_s`` at most. ``scratch_root`` is where calls get their folders, by default the
    system's place for temporary files.
    """

    tool_paths: tuple[Path, ...] = ()
    entry_points: bool = True
    warm: int = field(default_factory=_default_warm)
    max_running: int = field(default_factory=_default_max_running)
    queue_timeout_s: float = 30.0
    load_timeout_s: float = 30.0
    result_kb: int = 1_024
    scratch_mb: int = 16
    scratch_root: Path | None = None


@asynccontextmanager
async def open_process_sandbox(config: SandboxConfig) -> AsyncIterator["ProcessSandbox"]:
    """Start the zygote, which loads the tools; on leaving, kill every process of it.

    Raises:
        ToolLoadError: a tool file cannot be loaded; the message names file and line.
        SandboxUnavailable: processes cannot be had here.
    """
    if sys.platform != "linux":
        raise SandboxUnavailable("Tools that need a process of their own need Linux.")
    scratch_root = Path(tempfile.mkdtemp(prefix="agent-server-", dir=config.scratch_root))
    plan = ZygotePlan(
        tool_paths=config.tool_paths,
        entry_points=config.entry_points,
        load_timeout_s=config.load_timeout_s,
        scratch_root=scratch_root,
    )
    try:
        zygote = await start_zygote(plan)
        sweeper = ScratchSweeper()
        pool = ChildPool(plan, zygote, warm=config.warm, sweeper=sweeper)
        try:
            async with _serving(pool, sweeper):
                yield ProcessSandbox(pool, config)
        finally:
            await pool.stop()
    finally:
        await remove_in_thread(scratch_root)


@asynccontextmanager
async def _serving(pool: ChildPool, sweeper: ScratchSweeper) -> AsyncIterator[None]:
    async with open_task_group() as services:
        tasks = [services.create_task(pool.serve()), services.create_task(sweeper.serve())]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()


class ProcessSandbox:
    """Runs each call in a used-once process forked from a clean zygote."""

    def __init__(self, pool: ChildPool, config: SandboxConfig) -> None:
        self.manifest: list[ToolSpec] = list(pool.manifest)
        """The tools found, in the order of their files."""
        self._pool = pool
        self._config = config
        self._places = asyncio.Semaphore(config.max_running)

    @property
    def isolation(self) -> Isolation:
        """Calls run in processes of their own."""
        return "process"

    @property
    def layers(self) -> dict[str, str]:
        """What stands between a tool and the server, and whether it holds here."""
        root = os.getuid() == 0
        return {
            "process": "on",
            "limits": "on, except processes: the server runs as root" if root else "on",
            "no_new_privs": "on",
        }

    @property
    def zygote_pid(self) -> int | None:
        """The process that forks the calls; None while a new one is being started."""
        return self._pool.zygote_pid

    async def call(
        self, tool: ToolSpec, arguments: JsonObject, request: CallRequest, observe: Observe
    ) -> Outcome:
        """Run one call to its end; see ``Sandbox.call``."""
        asked_s = time.monotonic()
        try:
            data = encode_frame(self._request(tool, arguments, request))
        except PydanticSerializationError as error:
            message = f"The input is not JSON: {error}"
            return Failed(kind="invalid_input", message=message, retryable=True, duration_ms=0)
        child = await self._take()
        if isinstance(child, str):
            return unavailable(child, duration_ms=round((time.monotonic() - asked_s) * 1000))
        try:
            limits = CallLimits(request.timeout_s, result_bytes=self._config.result_kb * 1024)
            supervision = Supervision(child, tool, limits=limits, observe=observe)
            return await supervision.run(data, give_up=self._pool.kill_zygote)
        finally:
            self._places.release()
            self._pool.bury(child)

    async def _take(self) -> Child | str:
        """Return a child and hold a place for it, or say why there is none."""
        queue_timeout_s = self._config.queue_timeout_s
        try:
            async with asyncio.timeout(queue_timeout_s):
                await self._places.acquire()
                try:
                    return await self._pool.take()
                except BaseException:
                    self._places.release()
                    raise
        except TimeoutError:
            return f"No place to run the tool became free within {queue_timeout_s:g} s."
        except SandboxUnavailable as error:
            return error.message

    def _request(self, tool: ToolSpec, arguments: JsonObject, request: CallRequest) -> Request:
        limits = Limits(
            memory_mb=tool.memory_mb,
            cpu_s=tool.cpu_s,
            file_mb=self._config.scratch_mb,
            result_bytes=self._config.result_kb * 1024,
        )
        return Request(
            tool=tool.name,
            source_sha256=tool.source_sha256,
            arguments=arguments,
            run_id=request.run_id,
            call_id=request.call_id,
            idempotency_key=request.idempotency_key,
            deadline=time.time() + request.timeout_s,
            secrets=request.secrets,
            limits=limits,
        )
