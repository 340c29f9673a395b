"""``POST /chat``: the plainest way in. One question, one answer; no resuming, no grace time.

The answer is held until the model's first output, so that a failure before it is an HTTP status.
"""

import asyncio
from contextlib import AsyncExitStack
from typing import Annotated, Any, Final

from fastapi import Body, Request, Response
from starlette.responses import JSONResponse

from agent_server.agents import Overrides
from agent_server.config import ChatSettings
from agent_server.errors import Conflict, InvalidRequest, Unavailable
from agent_server.events import (
    RecordedEvent,
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunIncomplete,
)
from agent_server.http.deps import (
    ExchangeDep,
    RuntimeDep,
    TenantDep,
    follow,
    make_router,
    while_connected,
)
from agent_server.http.problems import answer_problem, describe_errors, of_failed_run
from agent_server.http.schemas import ChatAnswer, ChatBody
from agent_server.http.sse import stream_events
from agent_server.runs import RunRequest
from agent_server.wire.chat import OUTPUT_TYPES, ChatWire
from agent_server.wire.timing import Batches

router = make_router("", "chat")

_EXAMPLES: Final[dict[str, Any]] = {
    "stream": {
        "summary": "Streamed",
        "value": {"messages": [{"role": "user", "content": "Hello!"}]},
    },
    "whole": {
        "summary": "In one piece",
        "value": {
            "messages": [{"role": "user", "content": "Hello!"}],
            "stream": False,
            "max_tokens": 256,
        },
    },
}
_STREAM_DOC: Final[dict[str, Any]] = {
    "description": 'Frames `data: {"type", "delta", …}`, the last one `data: [DONE]`; '
    "with stream=false one JSON object",
    "content": {"text/event-stream": {"schema": {"type": "string"}}},
}


@router.post(
    "/chat",
    response_model=ChatAnswer,
    summary="Ask, and get the answer as it comes",
    responses={200: _STREAM_DOC, **describe_errors(400, 413, 415, 422, 429, 500, 502, 503, 504)},
)
async def chat(
    body: Annotated[ChatBody, Body(openapi_examples=_EXAMPLES)],
    request: Request,
    *,
    runtime: RuntimeDep,
    tenant: TenantDep,
    exchange: ExchangeDep,
) -> Response:
    """Answer the last message. When the client goes, the run is stopped at once."""
    settings = runtime.settings.chat
    created = await runtime.runs.start(
        RunRequest(
            input=body.as_messages(),
            tenant=tenant,
            agent=settings.agent,
            overrides=Overrides(max_tokens=_max_tokens(body, settings)),
            trigger="chat",
            on_disconnect="cancel",
            disconnect_grace_s=0,
        )
    )
    headers = {"X-Run-Id": created.run_id}
    batches = follow(runtime, created.run_id)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(batches.aclose)
        # at once, with no await before it: without a follower the run has no grace at all
        held = list(await anext(batches))
        try:
            async with asyncio.timeout(settings.answer_s):
                await while_connected(request, _hold(batches, held, whole=False))
        except TimeoutError:
            await runtime.runs.cancel(created.run_id, by="interrupt")
            return _refuse(request, "upstream_timeout", headers)
        if not body.stream:
            await while_connected(request, _hold(batches, held, whole=True))
        if not body.stream or not _has_output(held):
            return _answer(request, held[-1], headers=headers, stream=body.stream)
        stack.pop_all()
    return stream_events(
        batches,
        ChatWire(),
        held=held,
        exchange=exchange,
        heartbeat_s=runtime.settings.server.heartbeat_s,
        headers=headers,
    )


def _max_tokens(body: ChatBody, settings: ChatSettings) -> int:
    if "max_tokens" not in body.model_fields_set:
        return settings.max_tokens
    if body.max_tokens > settings.max_tokens_cap:
        raise InvalidRequest(
            f"max_tokens may be at most {settings.max_tokens_cap}.",
            code="max_tokens_too_large",
            param="max_tokens",
        )
    return body.max_tokens


async def _hold(batches: Batches, held: list[RecordedEvent], *, whole: bool) -> None:
    """Collect events until the model's first output, or all of them."""
    while whole or not _has_output(held):
        batch = await anext(batches, None)
        if batch is None:
            return
        held.extend(batch)


def _has_output(held: list[RecordedEvent]) -> bool:
    return any(event.type in OUTPUT_TYPES for event in held)


def _answer(
    request: Request, last: RecordedEvent, *, headers: dict[str, str], stream: bool
) -> Response:
    """Answer with what the run came to, in one piece."""
    match last.parse():
        case RunFailed(error=error):
            return _refuse(request, error.code, headers)
        case RunCompleted(stop_reason=stop_reason, output=output, usage=usage):
            pass
        case RunIncomplete(reason=stop_reason, output=output, usage=usage):
            pass
        case RunCancelled():
            raise Conflict("The run was cancelled.", code="run_cancelled")
        case _:
            raise Unavailable("The server is shutting down.", code="draining")
    if stream:
        wire = ChatWire()
        frames = wire.encode([last]) + wire.tail
        return Response(frames, media_type="text/event-stream", headers=headers)
    answer = ChatAnswer(run_id=last.run_id, content=output, stop_reason=stop_reason, usage=usage)
    return JSONResponse(answer.model_dump(mode="json"), headers=headers)


def _refuse(request: Request, code: str, headers: dict[str, str]) -> Response:
    """Answer a failure before the first output with its status and the run's id."""
    response = answer_problem(of_failed_run(code), request)
    response.headers.update(headers)
    return response
