"""Every error as one envelope: the table from exceptions to statuses, types and safe words.

The envelope has the Messages API's shape, or RFC 9457's where the client accepts
``application/problem+json``. Upstream text, stack traces and the request's own values never appear.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final, cast

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic_core import to_json
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from agent_server.errors import (
    AgentServerError,
    ConfigError,
    Conflict,
    Fenced,
    IllegalTransition,
    InvalidRequest,
    ModelError,
    NotFound,
    RequestError,
    SandboxUnavailable,
    SchemaMismatch,
    StoreError,
    StoreLocked,
    ToolError,
    ToolLoadError,
    Unavailable,
)
from agent_server.http.requests import exchange_of
from agent_server.http.schemas import ErrorEnvelope
from agent_server.messages import JsonObject
from agent_server.wire.chat import INTERNAL, explain

MAX_DETAILS: Final = 20
MAX_NAME_CHARS: Final = 64
RETRY_AFTER_S: Final = 2
CLIENT_CLOSED_REQUEST: Final = 499
"""A status for the access line only: nobody is there to get it."""

TYPES: Final[dict[int, str]] = {
    400: "invalid_request_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    409: "conflict_error",
    410: "not_found_error",
    413: "request_too_large",
    415: "invalid_request_error",
    421: "invalid_request_error",
    422: "invalid_request_error",
    429: "rate_limit_error",
    500: "api_error",
    502: "upstream_error",
    503: "unavailable_error",
    504: "timeout_error",
}
"""The envelope's ``error.type`` by status: a closed list."""

_logger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Problem:
    """One error as a client is told it."""

    status: int
    code: str
    message: str
    param: str | None = None
    details: Sequence[JsonObject] = ()
    retryable: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)


# --- from exceptions -------------------------------------------------------------------------


def _of_request(error: AgentServerError) -> Problem:
    refused = cast("RequestError", error)
    busy = refused.status == HTTPStatus.SERVICE_UNAVAILABLE
    return Problem(
        status=refused.status,
        code=refused.code,
        message=refused.message,
        param=refused.param,
        details=refused.details[:MAX_DETAILS],
        retryable=busy,
        headers={"Retry-After": str(RETRY_AFTER_S)} if busy else {},
    )


def _of_model(error: AgentServerError) -> Problem:
    return of_failed_run(error.code)


def _of_store(error: AgentServerError) -> Problem:
    del error  # its words are the operator's
    message = "The server cannot use its database now. Try again later."
    return _later("storage_unavailable", message)


def _of_sandbox(error: AgentServerError) -> Problem:
    del error
    return _later("sandbox_unavailable", "The server cannot run tools now. Try again later.")


def _of_fault(error: BaseException) -> Problem:
    del error
    return Problem(500, "internal_error", INTERNAL.message)


def _later(code: str, message: str) -> Problem:
    headers = {"Retry-After": str(RETRY_AFTER_S)}
    return Problem(503, code, message, retryable=True, headers=headers)


TABLE: Final = {
    RequestError: _of_request,
    InvalidRequest: _of_request,
    NotFound: _of_request,
    Conflict: _of_request,
    Unavailable: _of_request,
    ModelError: _of_model,
    StoreError: _of_store,
    Fenced: _of_store,
    StoreLocked: _of_store,
    SchemaMismatch: _of_store,
    SandboxUnavailable: _of_sandbox,
    AgentServerError: _of_fault,
    ToolError: _of_fault,
    ConfigError: _of_fault,
    ToolLoadError: _of_fault,
    IllegalTransition: _of_fault,
}
"""Every exception of ``errors.py``; a class without a line of its own is told as its base is."""


def of_error(error: AgentServerError) -> Problem:
    """Return what a client is told of ``error``."""
    tell = next(TABLE[kind] for kind in type(error).__mro__ if kind in TABLE)
    return tell(error)


def of_failed_run(code: str) -> Problem:
    """Return what a client is told of a run that failed before it showed anything."""
    failure = explain(code)
    later = failure.status in {429, 503}
    return Problem(
        status=failure.status,
        code=code,
        message=failure.message,
        retryable=failure.retryable,
        headers={"Retry-After": str(RETRY_AFTER_S)} if later else {},
    )


def _of_validation(error: RequestValidationError) -> Problem:
    """Word what pydantic refused: places and reasons, never the values."""
    details = [
        {
            "loc": [part[:MAX_NAME_CHARS] if isinstance(part, str) else part for part in e["loc"]],
            "code": e["type"],
            "message": e["msg"].removeprefix("Value error, "),
        }
        for e in error.errors()[:MAX_DETAILS]
    ]
    place = ".".join(str(part) for part in details[0]["loc"][1:]) if details else ""
    message = details[0]["message"] if details else "The request is not valid."
    return Problem(
        status=422,
        code=details[0]["code"] if len(details) == 1 else "invalid_request",
        message=f"{place}: {message}" if place else message,
        param=place or None,
        details=details,
    )


_ROUTING: Final = {
    404: ("route_not_found", "Nothing is served at this path. See /openapi.json."),
    405: ("method_not_allowed", "This path does not take that method."),
    400: ("bad_request", "The request could not be read."),
}


def _of_http(error: HTTPException) -> Problem:
    """Word what the framework refused: no such path, no such method."""
    phrase = HTTPStatus(error.status_code).phrase
    code, message = _ROUTING.get(error.status_code, (phrase.lower().replace(" ", "_"), phrase))
    return Problem(error.status_code, code, message, headers=error.headers or {})


# --- to answers ------------------------------------------------------------------------------


def answer_problem(problem: Problem, request: Request) -> Response:
    """Return the problem as the client likes to read it."""
    request_id = exchange_of(request.scope).request_id
    likes_rfc9457 = "application/problem+json" in request.headers.get("accept", "")
    body = _rfc9457(problem, request_id) if likes_rfc9457 else _envelope(problem, request_id)
    return Response(
        to_json(body),
        status_code=problem.status,
        headers=dict(problem.headers),
        media_type="application/problem+json" if likes_rfc9457 else "application/json",
    )


def _envelope(problem: Problem, request_id: str) -> JsonObject:
    retry_after = problem.headers.get("Retry-After")
    return {
        "type": "error",
        "error": {
            "type": TYPES.get(problem.status, "api_error"),
            "code": problem.code,
            "message": problem.message,
            "retryable": problem.retryable,
            "retry_after_ms": None if retry_after is None else int(retry_after) * 1000,
            "param": problem.param,
            "details": list(problem.details),
        },
        "request_id": request_id,
    }


def _rfc9457(problem: Problem, request_id: str) -> JsonObject:
    return {
        "type": "about:blank",
        "title": HTTPStatus(problem.status).phrase,
        "status": problem.status,
        "detail": problem.message,
        "instance": request_id,
        "code": problem.code,
        "param": problem.param,
        "errors": list(problem.details),
    }


async def answer_error(request: Request, error: Exception) -> Response:
    """Answer an exception of ours by the table."""
    problem = of_error(cast("AgentServerError", error))
    if problem.status >= HTTPStatus.INTERNAL_SERVER_ERROR and not isinstance(error, Unavailable):
        _logger.error("http.failed", code=problem.code, exc_info=error)
    return answer_problem(problem, request)


async def _answer_validation(request: Request, error: Exception) -> Response:
    return answer_problem(_of_validation(cast("RequestValidationError", error)), request)


async def _answer_http(request: Request, error: Exception) -> Response:
    return answer_problem(_of_http(cast("HTTPException", error)), request)


async def _answer_nobody(request: Request, error: Exception) -> Response:
    """Note that the client went before its answer came."""
    del error
    exchange_of(request.scope).end_reason = "disconnect"
    return Response(status_code=CLIENT_CLOSED_REQUEST)


async def answer_fault(request: Request, error: BaseException) -> Response:
    """Answer what nobody expected: a fault of ours, told by its request id only."""
    return answer_problem(_of_fault(error), request)


def install_problems(app: FastAPI) -> None:
    """Make every error of ``app`` leave through the envelope."""
    app.add_exception_handler(AgentServerError, answer_error)
    app.add_exception_handler(RequestValidationError, _answer_validation)
    app.add_exception_handler(HTTPException, _answer_http)
    app.add_exception_handler(ClientDisconnect, _answer_nobody)
    app.add_exception_handler(Exception, answer_fault)


def describe_errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI description of these error answers."""
    return {
        status: {"model": ErrorEnvelope, "description": HTTPStatus(status).phrase}
        for status in statuses
    }
