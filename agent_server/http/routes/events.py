"""A run's events: as a stream that can be resumed, or as pages."""

from functools import cache
from typing import Annotated, Any, Final

from fastapi import Query, Request, Response
from pydantic_core import to_json

from agent_server.events import RecordedEvent
from agent_server.http.deps import (
    After,
    ExchangeDep,
    RunId,
    RuntimeDep,
    TenantDep,
    follow,
    make_router,
)
from agent_server.http.problems import describe_errors
from agent_server.http.sse import stream_events
from agent_server.messages import JsonObject
from agent_server.store import Store
from agent_server.wire.native import NativeWire, parse_types
from agent_server.wire.reference import render_schema
from agent_server.wire.timing import pace, stop_after

router = make_router("/v1", "events")

MAX_EVENTS: Final = 1_000
_OK: Final[dict[str, Any]] = {
    "description": "The events, as a stream, or a page of them with Accept: application/json",
    "content": {
        "text/event-stream": {"schema": {"type": "string"}},
        "application/json": {
            "schema": {
                "type": "object",
                "required": ["data", "last_seq", "has_more"],
                "properties": {
                    "data": {"type": "array", "items": {"type": "object"}},
                    "last_seq": {
                        "type": "integer",
                        "description": "Ask for the next page after it",
                    },
                    "has_more": {"type": "boolean"},
                },
            }
        },
    },
}


@router.get(
    "/runs/{run_id}/events",
    summary="Follow a run, or replay it",
    response_class=Response,
    responses={
        200: _OK,
        204: {"description": "Nothing will ever follow: the run ended at or before that seq"},
        **describe_errors(400, 404, 422),
    },
)
async def get_events(  # noqa: PLR0913 (one parameter a choice)
    run_id: RunId,
    request: Request,
    *,
    runtime: RuntimeDep,
    tenant: TenantDep,
    exchange: ExchangeDep,
    after: After,
    until: Annotated[int | None, Query(ge=1, description="Stop after this seq")] = None,
    types: Annotated[
        str | None, Query(max_length=2_000, description="Only these types, comma-separated")
    ] = None,
    names: Annotated[bool, Query(description="0: no event: lines, for plain onmessage")] = True,
    speed: Annotated[
        float | None,
        Query(gt=0, le=1_000, allow_inf_nan=False, description="Replay with the original timing"),
    ] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_EVENTS, description="Events a page")] = 100,
) -> Response:
    """Send the recorded events after ``after``, then live ones as they come, to the run's end."""
    wanted = parse_types(types)
    row = await runtime.store.get_run(tenant, run_id)
    if _wants_page(request):
        events, has_more = await _read_page(
            runtime.store, run_id, after=after, until=until, types=wanted, limit=limit
        )
        return _page(events, after=after, has_more=has_more)
    ended = row.status.is_terminal and after >= row.last_seq
    if ended or (until is not None and after >= until):
        return Response(status_code=204)
    batches = follow(runtime, run_id, after=after)
    if until is not None:
        batches = stop_after(batches, until)
    if speed is not None:
        batches = pace(batches, speed)
    return stream_events(
        batches,
        NativeWire(named=names, types=wanted),
        exchange=exchange,
        heartbeat_s=runtime.settings.server.heartbeat_s,
        headers={"X-Run-Id": run_id},
    )


def _wants_page(request: Request) -> bool:
    accept = request.headers.get("accept", "")
    return "application/json" in accept and "text/event-stream" not in accept


async def _read_page(
    store: Store,
    run_id: str,
    *,
    after: int,
    until: int | None,
    types: frozenset[str] | None,
    limit: int,
) -> tuple[list[RecordedEvent], bool]:
    """Return up to ``limit`` of the wanted events, and whether more are recorded."""
    found: list[RecordedEvent] = []
    while True:
        events = await store.read_events(run_id, after=after, limit=MAX_EVENTS)
        for event in events:
            if until is not None and event.seq > until:
                return found, False
            if types is None or event.type in types:
                if len(found) == limit:
                    return found, True
                found.append(event)
        if len(events) < MAX_EVENTS:
            return found, False
        after = events[-1].seq


def _page(events: list[RecordedEvent], *, after: int, has_more: bool) -> Response:
    """Join the events' own bytes: a page shows what a stream shows."""
    data = b",".join(event.json for event in events)
    last_seq = events[-1].seq if events else after
    more = b"true" if has_more else b"false"
    body = b'{"data":[%b],"last_seq":%d,"has_more":%b}' % (data, last_seq, more)
    return Response(body, media_type="application/json")


@router.get(
    "/events/schema", summary="The JSON Schema of every event", response_model=dict[str, Any]
)
async def get_schema() -> Response:
    """Return the JSON Schema of every event, by type."""
    return Response(_schema_bytes(), media_type="application/schema+json")


@cache
def _schema_bytes() -> bytes:
    schema: JsonObject = render_schema()
    return to_json(schema)
