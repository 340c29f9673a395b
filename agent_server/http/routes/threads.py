"""Threads: conversations that runs add to."""

import time
from typing import Annotated, Any, Final

from fastapi import Body, Response

from agent_server.http.deps import Cursor, Limit, RuntimeDep, TenantDep, ThreadId, make_router
from agent_server.http.problems import describe_errors
from agent_server.http.schemas import Messages, Page, Thread, ThreadBody
from agent_server.ids import new_id
from agent_server.store import ThreadRow
from agent_server.transcript import read_transcript

router = make_router("/v1/threads", "threads")

_EXAMPLES: Final[dict[str, Any]] = {
    "named": {
        "summary": "A thread under an id of your own",
        "value": {"external_id": "chat-42", "metadata": {"user": "u_7"}},
    }
}


@router.post(
    "",
    status_code=201,
    summary="Create a thread",
    responses=describe_errors(400, 409, 413, 415, 422, 503),
)
async def create_thread(
    body: Annotated[ThreadBody, Body(openapi_examples=_EXAMPLES)],
    response: Response,
    *,
    runtime: RuntimeDep,
    tenant: TenantDep,
) -> Thread:
    """Create an empty thread. A run without a thread_id makes its own, so this is optional."""
    now = time.time_ns() // 1000
    thread = ThreadRow(
        id=new_id("thread"),
        tenant=tenant,
        external_id=body.external_id,
        head_run_id=None,
        metadata=body.metadata,
        created_at=now,
        updated_at=now,
    )
    await runtime.store.create_thread(thread)
    response.headers["Location"] = f"/v1/threads/{thread.id}"
    return Thread.of(thread)


@router.get("", summary="List threads, newest first", responses=describe_errors(400, 422))
async def list_threads(
    runtime: RuntimeDep, tenant: TenantDep, cursor: Cursor, *, limit: Limit = 20
) -> Page[Thread]:
    """Page through the threads."""
    rows = await runtime.store.list_threads(tenant, limit=limit + 1, before=cursor)
    page = [Thread.of(row) for row in rows[:limit]]
    has_more = len(rows) > limit
    return Page(data=page, has_more=has_more, next_cursor=page[-1].id if has_more else None)


@router.get("/{thread_id}", summary="Look at a thread", responses=describe_errors(404, 422))
async def get_thread(thread_id: ThreadId, runtime: RuntimeDep, tenant: TenantDep) -> Thread:
    """Return the thread; its runs are listed by GET /v1/runs?thread_id=."""
    return Thread.of(await runtime.store.get_thread(tenant, thread_id))


@router.get(
    "/{thread_id}/messages",
    summary="Read a thread's transcript",
    responses=describe_errors(404, 422),
)
async def get_messages(thread_id: ThreadId, runtime: RuntimeDep, tenant: TenantDep) -> Messages:
    """Return the conversation so far, in the Messages API's shape."""
    thread = await runtime.store.get_thread(tenant, thread_id)
    if thread.head_run_id is None:
        return Messages(data=[])
    history = await runtime.store.history(thread.head_run_id)
    return Messages(data=read_transcript(history).messages)


@router.delete(
    "/{thread_id}",
    status_code=204,
    summary="Delete a thread, its runs and their events",
    responses=describe_errors(404, 409, 422, 503),
)
async def delete_thread(thread_id: ThreadId, runtime: RuntimeDep, tenant: TenantDep) -> None:
    """Delete the thread. Refused with 409 while one of its runs is active."""
    await runtime.store.delete_thread(tenant, thread_id)
