"""Running a tool in this very process: nothing bounds it but time, and that by cancellation."""

import asyncio
import inspect
import time
from typing import Any

from agent_server.messages import JsonObject
from agent_server.sandbox import CallRequest, Failed, Observe, Outcome, Progress, Returned
from agent_server.sandbox.failures import describe
from agent_server.sandbox.outcomes import Stopped, timed_out
from agent_server.sandbox.protocol import ErrorFrame
from agent_server.sandbox.thinning import Thinning
from agent_server.task_group import open_task_group
from agent_server.tooling.context import ToolContext
from agent_server.tooling.decorator import Tool
from agent_server.tooling.invoke import Rendered, invoke, render_result


async def run_here(
    tool: Tool[..., Any],
    arguments: JsonObject,
    request: CallRequest,
    *,
    observe: Observe,
    result_bytes: int,
) -> Outcome:
    """Run a call in this process; a tool that is no coroutine function runs in a thread.

    At its deadline a coroutine is cancelled, and waited for; a thread is left to itself.
    """
    loop = asyncio.get_running_loop()
    started_s = loop.time()
    relay = _Relay(loop, observe)
    context = ToolContext(
        run_id=request.run_id,
        call_id=request.call_id,
        deadline=time.time() + request.timeout_s,
        idempotency_key=request.idempotency_key,
        secrets=request.secrets,
        report=relay.report,
    )
    async with open_task_group() as group:
        group.create_task(relay.serve())
        try:
            result = await _run(
                tool, arguments, context, timeout_s=request.timeout_s, result_bytes=result_bytes
            )
        finally:
            relay.close()
    duration_ms = round((loop.time() - started_s) * 1000)
    if isinstance(result, Rendered):
        return Returned(
            content=result.content,
            output=result.output,
            duration_ms=duration_ms,
            cpu_ms=None,
            peak_rss_kb=None,
            truncated=result.truncated,
        )
    return Failed(
        kind=result.kind,
        message=result.message,
        retryable=result.retryable,
        duration_ms=duration_ms,
        detail=result.detail if isinstance(result, ErrorFrame) else None,
    )


async def _run(
    tool: Tool[..., Any],
    arguments: JsonObject,
    context: ToolContext,
    *,
    timeout_s: float,
    result_bytes: int,
) -> Rendered | ErrorFrame | Stopped:
    limit = asyncio.timeout(timeout_s)
    result: Rendered | ErrorFrame
    try:
        async with limit:
            if tool.spec.is_async:
                value = invoke(tool, arguments, context)
            else:
                value = await asyncio.to_thread(invoke, tool, arguments, context)
            if inspect.isawaitable(value):
                value = await value
            result = render_result(value, cap_bytes=result_bytes)
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():  # the caller's, not one the tool made up
            raise
        result = describe(error)
    except (Exception, SystemExit) as error:  # noqa: BLE001 whatever a tool raises is the outcome
        result = describe(error)
    return timed_out(timeout_s) if limit.expired() else result


class _Relay:
    """Passes a tool's reports, made in any thread, to the observer in order."""

    def __init__(self, loop: asyncio.AbstractEventLoop, observe: Observe) -> None:
        self._loop = loop
        self._observe = observe
        self._thinning = Thinning()
        self._reports: asyncio.Queue[Progress | None] = asyncio.Queue()

    def report(self, done: float, total: float | None, message: str | None) -> None:
        """Take a report; a tool that goes on after its end is not heard."""
        if self._thinning.admits():
            progress = Progress(float(done), None if total is None else float(total), message)
            self._put(progress)

    def close(self) -> None:
        """Let ``serve`` end after what was reported until now."""
        self._put(None)

    async def serve(self) -> None:
        """Show the reports until closed."""
        while (progress := await self._reports.get()) is not None:
            await self._observe(progress)

    def _put(self, progress: Progress | None) -> None:
        self._loop.call_soon_threadsafe(self._reports.put_nowait, progress)
