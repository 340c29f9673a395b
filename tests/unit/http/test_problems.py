import inspect

import pytest
from pydantic_core import from_json
from starlette.requests import Request

from agent_server import errors
from agent_server.errors import (
    AgentServerError,
    ConfigError,
    Conflict,
    InvalidRequest,
    ModelError,
    NotFound,
    StoreError,
    Unavailable,
)
from agent_server.http.problems import TABLE, TYPES, Problem, answer_fault, answer_problem, of_error
from agent_server.http.requests import open_exchange

EVERY_ERROR = [
    kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, AgentServerError)
]


def asked(accept: str = "*/*") -> Request:
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/",
        "headers": [(b"accept", accept.encode())],
    }
    open_exchange(scope)
    return Request(scope)


@pytest.mark.parametrize("kind", EVERY_ERROR, ids=lambda kind: kind.__name__)
def test_every_error_has_its_line_in_the_table(kind: type[AgentServerError]) -> None:
    assert kind in TABLE


def test_an_error_without_a_line_is_told_as_its_base() -> None:
    class Gone(NotFound):
        code = "gone"

    assert of_error(Gone("No such thing.")).status == 404


@pytest.mark.parametrize(
    ("error", "status", "code", "retryable"),
    [
        (InvalidRequest("m"), 422, "invalid_request", False),
        (InvalidRequest("m", status=400, code="x"), 400, "x", False),
        (NotFound("m"), 404, "not_found", False),
        (Conflict("m"), 409, "conflict", False),
        (Unavailable("m", code="draining"), 503, "draining", True),
        (ModelError("m", code="upstream_rate_limited", retryable=True), 429, None, True),
        (ModelError("m", code="upstream_overloaded", retryable=True), 502, None, True),
        (ModelError("m", code="upstream_timeout", retryable=True), 504, None, True),
        (ModelError("m", code="upstream_auth", retryable=False), 502, None, False),
        (StoreError("m"), 503, "storage_unavailable", True),
        (ConfigError("m"), 500, "internal_error", False),
        (AgentServerError("m"), 500, "internal_error", False),
    ],
)
def test_statuses(error: AgentServerError, status: int, code: str | None, retryable: bool) -> None:
    problem = of_error(error)
    assert (problem.status, problem.code) == (status, code or error.code)
    assert problem.retryable is retryable
    assert status in TYPES


@pytest.mark.parametrize("kind", [StoreError, ConfigError, AgentServerError])
def test_words_for_operators_reach_no_client(kind: type[AgentServerError]) -> None:
    problem = of_error(kind("/srv/secret/path: disk full"))
    assert "secret" not in problem.message


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        ("upstream_rate_limited", "please retry shortly"),
        ("upstream_timeout", "Upstream model timed out"),
    ],
)
def test_upstream_failures_are_told_in_the_words_of_the_contract(code: str, sentence: str) -> None:
    error = ModelError("upstream said so", code=code, retryable=True)  # type: ignore[arg-type]
    assert sentence in of_error(error).message


def test_the_envelope_is_the_messages_api_s_with_a_request_id() -> None:
    request = asked()
    problem = Problem(429, "too_many", "Slow down.", retryable=True, headers={"Retry-After": "12"})
    answer = answer_problem(problem, request)
    body = from_json(bytes(answer.body))
    assert answer.status_code == 429
    assert answer.headers["retry-after"] == "12"
    assert body == {
        "type": "error",
        "error": {
            "type": "rate_limit_error",
            "code": "too_many",
            "message": "Slow down.",
            "retryable": True,
            "retry_after_ms": 12_000,
            "param": None,
            "details": [],
        },
        "request_id": body["request_id"],
    }
    assert body["request_id"].startswith("req_")


def test_rfc_9457_is_given_to_who_asks_for_it() -> None:
    answer = answer_problem(Problem(404, "run_not_found", "No."), asked("application/problem+json"))
    body = from_json(bytes(answer.body))
    assert answer.media_type == "application/problem+json"
    assert body["title"] == "Not Found"
    assert body["status"] == 404
    assert body["code"] == "run_not_found"
    assert body["instance"].startswith("req_")


async def test_a_fault_of_ours_is_told_by_its_request_id_only() -> None:
    answer = await answer_fault(asked(), RuntimeError("/srv/secret Traceback"))
    assert answer.status_code == 500
    assert b"Something went wrong" in bytes(answer.body)
    assert b"secret" not in bytes(answer.body)
