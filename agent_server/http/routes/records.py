"""What is on record of runs: lists, single runs, transcripts, the provider's bytes."""

from typing import Annotated

from fastapi import Path, Query, Response

from agent_server.http.deps import Cursor, Limit, RunId, RuntimeDep, TenantDep, make_router
from agent_server.http.problems import describe_errors
from agent_server.http.schemas import Messages, Page, RunRecord, RunSummary
from agent_server.runtime import Runtime
from agent_server.status import RunStatus
from agent_server.store import RunFilter
from agent_server.transcript import read_transcript

router = make_router("/v1/runs", "runs")


async def read_record(runtime: Runtime, tenant: str, run_id: str) -> RunRecord:
    """Return the run with its turns and tool calls.

    Raises:
        NotFound: the tenant has no such run.
    """
    row = await runtime.store.get_run(tenant, run_id)
    turns = await runtime.store.turns(run_id)
    return RunRecord.of(row, turns=turns, calls=await runtime.store.tool_calls(run_id))


@router.get("", summary="List runs, newest first", responses=describe_errors(400, 422))
async def list_runs(  # noqa: PLR0913 (one parameter a filter)
    runtime: RuntimeDep,
    tenant: TenantDep,
    cursor: Cursor,
    *,
    status: RunStatus | None = None,
    agent: Annotated[str | None, Query(max_length=200)] = None,
    tool: Annotated[str | None, Query(max_length=64, description="Runs that called it")] = None,
    thread_id: Annotated[str | None, Query(max_length=200)] = None,
    kind: Annotated[str, Query(pattern="^(agent|tool|all)$")] = "agent",
    q: Annotated[
        str | None, Query(max_length=200, description="Start of an id, or part of the metadata")
    ] = None,
    limit: Limit = 20,
) -> Page[RunSummary]:
    """Page through the runs. Runs that are direct tool calls are shown with kind=tool or all."""
    where = RunFilter(
        status=status,
        agent=agent,
        tool=tool,
        thread_id=thread_id,
        kind=None if kind == "all" else kind,
        q=q,
    )
    rows = await runtime.store.list_runs(tenant, where, limit=limit + 1, before=cursor)
    page = [RunSummary.of(row) for row in rows[:limit]]
    has_more = len(rows) > limit
    return Page(data=page, has_more=has_more, next_cursor=page[-1].id if has_more else None)


@router.get("/{run_id}", summary="Look at a run", responses=describe_errors(404, 422))
async def get_run(run_id: RunId, runtime: RuntimeDep, tenant: TenantDep) -> RunRecord:
    """Return the run's record with its turns and tool calls."""
    return await read_record(runtime, tenant, run_id)


@router.get(
    "/{run_id}/messages", summary="Read a run's transcript", responses=describe_errors(404, 422)
)
async def get_messages(run_id: RunId, runtime: RuntimeDep, tenant: TenantDep) -> Messages:
    """Return the conversation up to and with this run, in the Messages API's shape."""
    await runtime.store.get_run(tenant, run_id)
    return Messages(data=read_transcript(await runtime.store.history(run_id)).messages)


@router.get(
    "/{run_id}/turns/{turn}/attempts/{attempt}",
    summary="Read the provider's exact bytes",
    response_class=Response,
    responses={
        200: {"content": {"application/octet-stream": {}}},
        **describe_errors(404, 422),
    },
)
async def get_attempt(
    run_id: RunId,
    turn: Annotated[int, Path(ge=1, le=1_000_000)],
    attempt: Annotated[int, Path(ge=1, le=1_000_000)],
    *,
    runtime: RuntimeDep,
    tenant: TenantDep,
) -> Response:
    """Return what the provider answered to one attempt at a turn, byte for byte."""
    await runtime.store.get_run(tenant, run_id)
    raw = await runtime.store.attempt_raw(run_id, turn, attempt)
    return Response(raw, media_type="application/octet-stream")
