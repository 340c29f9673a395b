"""Runs: start and stop them. ``events.py`` follows them, ``records.py`` reads their records."""

from contextlib import aclosing
from typing import Annotated, Any, Final

from fastapi import Body, Request, Response
from starlette.responses import JSONResponse

from agent_server.http.deps import (
    ExchangeDep,
    IdempotencyKey,
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
from agent_server.http.routes.records import read_record
from agent_server.http.schemas import RunBody, RunRecord
from agent_server.http.sse import stream_events
from agent_server.runs import RunRequest
from agent_server.store import Created
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
    record = await read_record(runtime, tenant, created.run_id)
    return JSONResponse(record.model_dump(mode="json"), status_code=201, headers=headers)


def _created_headers(created: Created) -> dict[str, str]:
    headers = {"Location": f"/v1/runs/{created.run_id}", "X-Run-Id": created.run_id}
    return {**headers, "Idempotent-Replayed": "true"} if created.replayed else headers


@router.post(
    "/{run_id}/cancel", summary="Stop a run and its tools", responses=describe_errors(404, 422)
)
async def cancel_run(run_id: RunId, runtime: RuntimeDep, tenant: TenantDep) -> RunRecord:
    """Stop the run; its tools are dead when this answers. Safe to repeat."""
    await runtime.store.get_run(tenant, run_id)
    await runtime.runs.cancel(run_id)
    return await read_record(runtime, tenant, run_id)
