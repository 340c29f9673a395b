"""Runs: create, list, look at, cancel. Their events are in ``events.py``."""

from contextlib import aclosing
from typing import Annotated, Any, Final

from fastapi import Body, Path, Query, Request, Response
from starlette.responses import JSONResponse

from agent_server.http.deps import (
    Cursor,
    ExchangeDep,
    IdempotencyKey,
    Limit,
    RunId,
    RuntimeDep,
    TenantDep,
    follow,
    make_router,
    read_on,
    while_connected,
)
from agent_server.http.problems import describe_errors
from agent_server.http.requests import fingerprint
from agent_server.http.schemas import Messages, Page, RunBody, RunRecord, RunSummary
from agent_server.http.sse import stream_events
from agent_server.runs import RunRequest
from agent_server.runtime import Runtime
from agent_server.status import RunStatus
from agent_server.store import Created, RunFilter
from agent_server.transcript import read_transcript
from agent_server.wire.native import NativeWire

router = make_router("/v1/runs", "runs")

_EXAMPLES: Final[dict[str, Any]] = {
    "text": {
        "summary": "A question, answered as an event stream",
        "value": {"input": "What is 17% of 2340?", "stream": True},
    },
    "messages": {
        "summary": "Messages, with tools and limits of their own; answered when done",
        "value": {
            "input": [{"role": "user", "content": [{"type": "text", "text": "Hello"}]}],
            "tools": ["word_count"],
            "limits": {"max_turns": 5},
            "metadata": {"ticket": "A-17"},
            "wait": True,
        },
    },
    "thread": {
        "summary": "The next message of a conversation",
        "value": {"input": "And in Tokyo?", "thread_id": "thread_01KAW5Y2Q0Z6M4T8R1XJ3CDEFG"},
    },
}
_STREAM_DOC: Final[dict[str, Any]] = {
    "description": "With stream=true: the run's events, as GET /v1/runs/{run_id}/events",
    "content": {"text/event-stream": {"schema": {"type": "string"}}},
}


@router.post(
    "",
    status_code=201,
    response_model=RunRecord,
    summary="Start a run",
    responses={200: _STREAM_DOC, **describe_errors(400, 404, 409, 413, 415, 422, 503)},
)
async def create_run(
    body: Annotated[RunBody, Body(openapi_examples=_EXAMPLES)],
    request: Request,
    *,
    runtime: RuntimeDep,
    tenant: TenantDep,
    exchange: ExchangeDep,
    idempotency_key: IdempotencyKey,
) -> Response:
    """Start a run. It is on disk when this answers, and goes on whatever becomes of the answer."""
    created = await runtime.runs.start(
        RunRequest(
            input=body.messages(),
            tenant=tenant,
            agent=body.agent,
            overrides=body.overrides(),
            thread_id=body.thread_id,
            on_disconnect=body.on_disconnect or ("cancel" if body.stream else "continue"),
            metadata=body.metadata,
            idempotency_key=idempotency_key,
            request_sha256=fingerprint(await request.json()) if idempotency_key else None,
        )
    )
    headers = _created_headers(created)
    if body.stream:
        return stream_events(
            follow(runtime, created.run_id),
            NativeWire(),
            exchange=exchange,
            heartbeat_s=runtime.settings.server.heartbeat_s,
            headers=headers,
        )
    if body.wait:
        async with aclosing(follow(runtime, created.run_id)) as batches:
            await while_connected(request, read_on(batches))
    record = await _record(runtime, tenant, created.run_id)
    return JSONResponse(record.model_dump(mode="json"), status_code=201, headers=headers)


def _created_headers(created: Created) -> dict[str, str]:
    headers = {"Location": f"/v1/runs/{created.run_id}", "X-Run-Id": created.run_id}
    return {**headers, "Idempotent-Replayed": "true"} if created.replayed else headers


async def _record(runtime: Runtime, tenant: str, run_id: str) -> RunRecord:
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
    return await _record(runtime, tenant, run_id)


@router.get(
    "/{run_id}/messages", summary="Read a run's transcript", responses=describe_errors(404, 422)
)
async def get_messages(run_id: RunId, runtime: RuntimeDep, tenant: TenantDep) -> Messages:
    """Return the conversation up to and with this run, in the Messages API's shape."""
    await runtime.store.get_run(tenant, run_id)
    return Messages(data=read_transcript(await runtime.store.history(run_id)).messages)


@router.post(
    "/{run_id}/cancel", summary="Stop a run and its tools", responses=describe_errors(404, 422)
)
async def cancel_run(run_id: RunId, runtime: RuntimeDep, tenant: TenantDep) -> RunRecord:
    """Stop the run; its tools are dead when this answers. Safe to repeat."""
    await runtime.store.get_run(tenant, run_id)
    await runtime.runs.cancel(run_id)
    return await _record(runtime, tenant, run_id)


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
