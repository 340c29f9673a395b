"""What surrounds every request, as pure ASGI: its id, who may ask, safe headers, the access line.

Nothing here touches a body: streams pass through piece by piece.
"""

import ipaddress
import re
import time
from collections.abc import Awaitable, Callable
from typing import Final

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agent_server.errors import InvalidRequest, RequestError
from agent_server.http.requests import Exchange, open_exchange

Answer = Callable[[Request, Exception], Awaitable[Response]]

_QUIET: Final = frozenset({"/livez", "/readyz", "/healthz"})
_LOCAL_ORIGIN: Final = re.compile(r"https?://(localhost|127\.0\.0\.1|\[::1\])(:\d{1,5})?")
_SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_MAX_PATH_CHARS: Final = 200

_SAFE_HEADERS: Final = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "cross-origin-resource-policy": "same-site",
    "cache-control": "no-store",
}
_CORS_PREFLIGHT: Final = {
    "access-control-allow-methods": "GET, POST, DELETE",
    "access-control-allow-headers": "Accept, Authorization, Content-Type, Idempotency-Key, "
    "Last-Event-ID, X-Request-Id, Traceparent, Tracestate",
    "access-control-max-age": "600",
}
_CORS_EXPOSED: Final = "Request-Id, X-Run-Id, Location, Idempotent-Replayed, Retry-After"

_logger = structlog.get_logger(__name__)


class Surround:
    """The outermost layer: what it adds is on every answer, those of our own faults included.

    ``local_only``: the server is bound to this machine, so only local names and origins may ask.
    ``answer_error`` and ``answer_fault`` make the error answers.
    """

    def __init__(
        self, app: ASGIApp, *, local_only: bool, answer_error: Answer, answer_fault: Answer
    ) -> None:
        self._app = app
        self._local_only = local_only
        self._answer_error = answer_error
        self._answer_fault = answer_fault

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = open_exchange(scope)
        begun = time.perf_counter()
        origin = Headers(scope=scope).get("origin") if self._local_only else None

        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                exchange.status = message["status"]
                _add_headers(message, exchange, origin=origin)
            else:
                exchange.sent_bytes += len(message.get("body", b""))
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=exchange.request_id):
            try:
                await self._serve(scope, receive, send_safely, exchange)
            finally:
                _write_access_line(scope, exchange, begun)

    async def _serve(self, scope: Scope, receive: Receive, send: Send, exchange: Exchange) -> None:
        request = Request(scope)
        try:
            if self._local_only:
                _check_caller(request)
                if _is_preflight(request):
                    await Response(status_code=204, headers=_CORS_PREFLIGHT)(scope, receive, send)
                    return
            await self._app(scope, receive, send)
        except RequestError as error:
            response = await self._answer_error(request, error)
            await response(scope, receive, send)
        except Exception as fault:  # the last line of defence: one request fails, not the server
            exchange.end_reason = "fault"
            _logger.exception("http.failed")
            if not exchange.status:
                response = await self._answer_fault(request, fault)
                await response(scope, receive, send)


def is_local(host: str) -> bool:
    """Whether the name or address means this machine."""
    if host in {"localhost", "localhost."} or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _check_caller(request: Request) -> None:
    """Refuse names that a web page could have made to mean this machine, and foreign pages.

    Raises:
        InvalidRequest: 400, 421 or 403.
    """
    host = request.headers.get("host", "")
    name = re.sub(r":\d{1,5}$", "", host)
    if not name:
        raise InvalidRequest("A Host header is needed.", code="host_missing", status=400)
    if not is_local(name.lower()):
        raise InvalidRequest(
            "This server answers to local names only.", code="host_not_allowed", status=421
        )
    origin = request.headers.get("origin")
    if (
        origin is not None
        and request.method not in _SAFE_METHODS
        and not _LOCAL_ORIGIN.fullmatch(origin)
    ):
        raise InvalidRequest(
            "Pages of this origin may not use the server.", code="origin_not_allowed", status=403
        )


def _is_preflight(request: Request) -> bool:
    return request.method == "OPTIONS" and "access-control-request-method" in request.headers


def _add_headers(message: Message, exchange: Exchange, *, origin: str | None) -> None:
    headers = MutableHeaders(scope=message)
    headers["request-id"] = exchange.request_id
    if exchange.client_id is not None:
        headers["x-request-id"] = exchange.client_id
    for name, value in _SAFE_HEADERS.items():
        headers.setdefault(name, value)
    if origin is not None:
        headers.add_vary_header("Origin")
        if _LOCAL_ORIGIN.fullmatch(origin):
            headers["access-control-allow-origin"] = origin
            headers["access-control-expose-headers"] = _CORS_EXPOSED


def _write_access_line(scope: Scope, exchange: Exchange, begun: float) -> None:
    path = scope["path"]
    facts = {
        "method": scope["method"],
        "path": path[:_MAX_PATH_CHARS],
        "status": exchange.status,
        "duration_ms": round((time.perf_counter() - begun) * 1000, 1),
        "bytes": exchange.sent_bytes,
    }
    if exchange.client_id is not None:
        facts["client_request_id"] = exchange.client_id
    if exchange.events is not None:
        facts["events"] = exchange.events
    if exchange.end_reason is not None:
        facts["end_reason"] = exchange.end_reason
    write = _logger.debug if path in _QUIET else _logger.info
    write("http.request", **facts)
