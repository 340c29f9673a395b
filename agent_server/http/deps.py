"""What routes are given: the runtime, the tenant, checked headers and query parameters."""

import re
from collections.abc import Awaitable
from typing import Annotated, Final, TypeVar, cast

import anyio
from fastapi import APIRouter, Depends, Header, Path, Query, Request
from starlette.requests import ClientDisconnect

from agent_server.errors import InvalidRequest
from agent_server.http.problems import describe_errors
from agent_server.http.requests import Exchange, StrictRoute, exchange_of
from agent_server.runtime import Runtime
from agent_server.wire.timing import Batches

DEFAULT_TENANT: Final = "default"
MAX_PAGE: Final = 100
_CURSOR: Final = re.compile(r"(?:run|thread)_[0-9A-Z]{26}")
_SEQ: Final = re.compile(r"[0-9]{1,15}")
_KEY: Final = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,253}[\x21-\x7e])?")

T = TypeVar("T")


def make_router(prefix: str, tag: str) -> APIRouter:
    """Make a router whose routes read bodies strictly and document their errors."""
    return APIRouter(
        prefix=prefix,
        tags=[tag],
        route_class=StrictRoute,
        responses=describe_errors(400, 403, 421, 500),
    )


async def get_runtime(request: Request) -> Runtime:
    """Return the opened runtime."""
    runtime: Runtime = request.app.state.runtime
    return runtime


async def get_tenant() -> str:
    """Return the tenant that the caller acts for."""
    return DEFAULT_TENANT


async def get_exchange(request: Request) -> Exchange:
    """Return the request's exchange."""
    return exchange_of(request.scope)


async def get_cursor(
    cursor: Annotated[
        str | None, Query(max_length=64, description="``next_cursor`` of the page before")
    ] = None,
) -> str | None:
    """Return the list cursor.

    Raises:
        InvalidRequest: 400, it is none of ours.
    """
    if cursor is not None and not _CURSOR.fullmatch(cursor):
        raise InvalidRequest(
            "The cursor is not one of this list's.",
            code="invalid_cursor",
            status=400,
            param="cursor",
        )
    return cursor


async def get_idempotency_key(
    idempotency_key: Annotated[
        str | None,
        Header(description="At most 255 visible characters. The same key gives the same run"),
    ] = None,
) -> str | None:
    """Return the ``Idempotency-Key``.

    Raises:
        InvalidRequest: 400, it is empty, too long, or not plain ASCII.
    """
    if idempotency_key is not None and not _KEY.fullmatch(idempotency_key):
        raise InvalidRequest(
            "Idempotency-Key takes 1 to 255 visible ASCII characters.",
            code="invalid_idempotency_key",
            status=400,
            param="Idempotency-Key",
        )
    return idempotency_key


async def get_after(
    last_event_id: Annotated[
        str | None, Header(description="The seq of the last event seen; wins over ``after``")
    ] = None,
    after: Annotated[str | None, Query(description="Send the events after this seq")] = None,
) -> int:
    """Return the seq that a reader has seen last, 0 for none.

    Raises:
        InvalidRequest: 400, it is not a seq.
    """
    seen = after if last_event_id is None else last_event_id
    if seen is None:
        return 0
    if not _SEQ.fullmatch(seen):
        raise InvalidRequest(
            "A seq is a whole number, zero or more.",
            code="invalid_seq",
            status=400,
            param="after" if last_event_id is None else "Last-Event-ID",
        )
    return int(seen)


RuntimeDep = Annotated[Runtime, Depends(get_runtime)]
TenantDep = Annotated[str, Depends(get_tenant)]
ExchangeDep = Annotated[Exchange, Depends(get_exchange)]
Cursor = Annotated[str | None, Depends(get_cursor)]
IdempotencyKey = Annotated[str | None, Depends(get_idempotency_key)]
After = Annotated[int, Depends(get_after)]
Limit = Annotated[int, Query(ge=1, le=MAX_PAGE)]
RunId = Annotated[str, Path(max_length=64, description="A run's id")]
ThreadId = Annotated[str, Path(max_length=200, description="A thread's id or external id")]


def follow(runtime: Runtime, run_id: str, *, after: int = 0) -> Batches:
    """Follow a run's events. Close what this returns; it counts as a follower until then."""
    return cast("Batches", runtime.log.follow(run_id, after=after))


async def while_connected(request: Request, work: Awaitable[T]) -> T:
    """Await ``work`` for as long as the client waits for it.

    Raises:
        ClientDisconnect: the client went first; ``work`` was cancelled.
    """
    results: list[T] = []
    failures: list[Exception] = []

    async def watch() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass
        group.cancel_scope.cancel()

    async with anyio.create_task_group() as group:
        group.start_soon(watch)
        try:
            results.append(await work)
        except Exception as error:  # noqa: BLE001 (raised below, outside the group: no ExceptionGroup)
            failures.append(error)
        group.cancel_scope.cancel()
    if failures:
        raise failures[0]
    if not results:
        raise ClientDisconnect
    return results[0]


async def read_on(batches: Batches) -> None:
    """Read to the end: whoever waits for a run does so as one of its followers."""
    async for _ in batches:
        pass
