"""The registered tools, and direct calls of them without a model."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Annotated, Any, Final

from fastapi import Body, Path

from agent_server.events import (
    RecordedEvent,
    ToolCallOutput,
    ToolCallRunning,
    ToolResultCompleted,
    ToolResultFailed,
)
from agent_server.http.deps import RuntimeDep, TenantDep, follow, make_router
from agent_server.http.problems import describe_errors
from agent_server.http.schemas import CallError, Page, ToolCallBody, ToolCallResult, ToolRecord

router = make_router("/v1/tools", "tools")

ToolName = Annotated[str, Path(max_length=64, description="A registered tool's name")]
_EXAMPLES: Final[dict[str, Any]] = {
    "word_count": {"summary": "Call word_count", "value": {"input": {"text": "one two three"}}}
}


@router.get("", summary="List the tools")
async def list_tools(runtime: RuntimeDep) -> Page[ToolRecord]:
    """Return every registered tool."""
    tools = [ToolRecord.of(tool) for tool in runtime.registry]
    return Page(data=tools, has_more=False, next_cursor=None)


@router.get("/{name}", summary="Look at a tool", responses=describe_errors(404, 422))
async def get_tool(name: ToolName, runtime: RuntimeDep) -> ToolRecord:
    """Return one tool."""
    return ToolRecord.of(runtime.registry.get(name))


@router.post(
    "/{name}/calls",
    summary="Call a tool, without a model",
    responses=describe_errors(400, 404, 409, 413, 415, 422, 503),
)
async def call_tool(
    name: ToolName,
    body: Annotated[ToolCallBody, Body(openapi_examples=_EXAMPLES)],
    *,
    runtime: RuntimeDep,
    tenant: TenantDep,
) -> ToolCallResult:
    """Run one call in the sandbox and return what it came to: status 200 even if it failed."""
    created = await runtime.runs.start_tool_call(tenant=tenant, name=name, arguments=body.input)
    async with aclosing(follow(runtime, created.run_id)) as batches:
        return await _read_result(created.run_id, batches)


async def _read_result(run_id: str, batches: AsyncIterator[list[RecordedEvent]]) -> ToolCallResult:
    """Fold the run's events into the result of its one call."""
    result = ToolCallResult(
        run_id=run_id,
        status="failed",
        error=CallError(kind="interrupted", message="The call has no result."),
    )
    async for batch in batches:
        for event in batch:
            _fold(result, event)
    return result


def _fold(result: ToolCallResult, recorded: RecordedEvent) -> None:
    match recorded.parse():
        case ToolCallRunning(isolation=isolation):
            result.isolation = isolation
        case ToolCallOutput(stream="stdout", text=text):
            result.stdout += text
        case ToolCallOutput(text=text):
            result.stderr += text
        case ToolResultCompleted() as completed:
            result.status, result.error = "completed", None
            result.content, result.output = completed.content, completed.output
            result.duration_ms, result.cpu_ms = completed.duration_ms, completed.cpu_ms
            result.peak_rss_kb, result.truncated = completed.peak_rss_kb, completed.truncated
        case ToolResultFailed() as failed:
            result.error = CallError(kind=failed.kind, message=failed.message)
            result.duration_ms = failed.duration_ms
        case _:
            pass
