"""What one request is: its ids, what its answer came to, and its body, parsed strictly.

FastAPI's own parser answers NaN, infinities, lone surrogates and deep nesting with status 500. Here
each is a 400, and nothing of the body is ever echoed.
"""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from math import isfinite
from typing import Any, Final

from anyio import to_thread
from fastapi import Request, Response
from fastapi.routing import APIRoute
from pydantic_core import from_json, to_json
from starlette.types import Scope

from agent_server.errors import InvalidRequest
from agent_server.ids import new_id

_EXCHANGE: Final = "agent_server.exchange"
_CLIENT_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_JSON_TYPE: Final = re.compile(
    r"application/(?:json|[a-z0-9.+-]+\+json)[ \t]*(?:;.*)?", re.IGNORECASE
)
_INLINE_BYTES: Final = 64 * 1024
"""Larger bodies are parsed on a thread, so that streams do not wait for them."""


@dataclass(slots=True)
class Exchange:
    """One request and its answer: its id, and what the access line says of it.

    ``client_id`` is the client's own id for the request: kept for its sake, trusted in nothing.
    ``events`` and ``end_reason`` are told of streams only.
    """

    request_id: str = field(default_factory=partial(new_id, "req"))
    client_id: str | None = None
    status: int = 0
    sent_bytes: int = 0
    events: int | None = None
    end_reason: str | None = None


def open_exchange(scope: Scope) -> Exchange:
    """Give the request an id of ours and keep the client's own where it is harmless."""
    exchange = Exchange()
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            client_id = value.decode("latin-1")
            exchange.client_id = client_id if _CLIENT_ID.fullmatch(client_id) else None
    scope[_EXCHANGE] = exchange
    return exchange


def exchange_of(scope: Scope) -> Exchange:
    """Return the request's exchange."""
    exchange = scope.get(_EXCHANGE)
    return exchange if isinstance(exchange, Exchange) else open_exchange(scope)


class StrictRequest(Request):
    """A request whose body is read within the size limit and parsed strictly."""

    async def load(self, max_bytes: int) -> None:
        """Read and parse the body, so that ``json`` has it.

        Raises:
            InvalidRequest: 413 for too large a body, 415 where it is not declared as JSON, 400
                where it is no strict JSON.
        """
        body = await self._read(max_bytes)
        self._body = body
        if not body:
            return
        if not _JSON_TYPE.fullmatch(self.headers.get("content-type", "")):
            raise InvalidRequest(
                "The body must be JSON, sent with Content-Type: application/json.",
                code="unsupported_media_type",
                status=415,
            )
        if len(body) > _INLINE_BYTES:
            self._json = await to_thread.run_sync(parse_json, body)
        else:
            self._json = parse_json(body)

    async def _read(self, max_bytes: int) -> bytes:
        too_large = InvalidRequest(
            f"The body may have at most {max_bytes} bytes.", code="request_too_large", status=413
        )
        declared = self.headers.get("content-length", "0")
        if not declared.isdecimal() or int(declared[:20]) > max_bytes:
            raise too_large
        chunks: list[bytes] = []
        size = 0
        async for chunk in self.stream():
            size += len(chunk)
            if size > max_bytes:
                raise too_large
            chunks.append(chunk)
        return b"".join(chunks)


class StrictRoute(APIRoute):
    """The route class of every router: reads bodies by ``StrictRequest``."""

    def get_route_handler(self) -> Callable[[Request], Awaitable[Response]]:  # type: ignore[override]  # an Awaitable is all that is asked for
        """Wrap FastAPI's handling of the route."""
        answer = super().get_route_handler()

        async def strict(request: Request) -> Response:
            strict_request = StrictRequest(request.scope, request.receive)
            if self.body_field is not None:
                await strict_request.load(request.app.state.max_body_bytes)
            return await answer(strict_request)

        return strict


def parse_json(body: bytes) -> Any:
    """Parse strict JSON: finite numbers, valid Unicode without NUL, nesting up to 200.

    Raises:
        InvalidRequest: 400, code ``invalid_json``. The message quotes nothing.
    """
    try:
        value = from_json(body, allow_inf_nan=False)
    except ValueError as error:
        # the parser's words name a position; they never quote the body
        raise InvalidRequest(
            f"The body is not valid JSON: {error}.", code="invalid_json", status=400
        ) from error
    flaw = _find_flaw(value)
    if flaw is not None:
        raise InvalidRequest(
            f"The body is not valid JSON: {flaw}.", code="invalid_json", status=400
        )
    return value


def _find_flaw(value: Any) -> str | None:
    """Say what the parser lets pass and the store would not: infinite numbers and NUL."""
    pending = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, str):
            if "\0" in item:
                return "a string holds the character U+0000"
        elif isinstance(item, float):
            if not isfinite(item):
                return "a number is out of range"
        elif isinstance(item, dict):
            pending.extend(item.keys())
            pending.extend(item.values())
        elif isinstance(item, list):
            pending.extend(item)
    return None


def fingerprint(value: Any) -> str:
    """Return the sha256 of a JSON value, whatever its spacing and the order of its keys."""
    return sha256(to_json(_sorted(value))).hexdigest()


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    if isinstance(value, list):
        return [_sorted(item) for item in value]
    return value
