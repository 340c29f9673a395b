"""Every error has the envelope, its request id and its documented status."""

from typing import Any

import pytest

from agent_server.config import AgentSettings, RunSettings
from agent_server.errors import AgentServerError, StoreError
from agent_server.model.scripted import stall
from tests.interaction.harness import Serve, Server, make_settings


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "route_not_found"),
        ("GET", "/docs", 404, "route_not_found"),
        ("GET", "/v1/runs/run_x", 404, "run_not_found"),
        ("GET", "/v1/runs/run_x/messages", 404, "run_not_found"),
        ("GET", "/v1/runs/run_x/turns/1/attempts/1", 404, "run_not_found"),
        ("GET", "/v1/runs/run_x/turns/0/attempts/1", 422, "greater_than_equal"),
        ("POST", "/v1/runs/run_x/cancel", 404, "run_not_found"),
        ("GET", "/v1/threads/nope", 404, "thread_not_found"),
        ("DELETE", "/v1/threads/nope", 404, "thread_not_found"),
        ("GET", "/v1/tools/word_cont", 404, "tool_not_found"),
        ("PUT", "/v1/runs", 405, "method_not_allowed"),
        ("DELETE", "/chat", 405, "method_not_allowed"),
        ("GET", "/v1/runs?limit=0", 422, "greater_than_equal"),
        ("GET", "/v1/runs?limit=101", 422, "less_than_equal"),
        ("GET", "/v1/runs?status=busy", 422, "enum"),
        ("GET", "/v1/runs?cursor=x", 400, "invalid_cursor"),
        ("GET", "/v1/runs/" + "x" * 500, 422, "string_too_long"),
    ],
)
async def test_the_status_and_code_of_what_cannot_be_served(
    shared: Server, method: str, path: str, status: int, code: str
) -> None:
    answer = await shared.client.request(method, path)
    body = answer.json()
    assert (answer.status_code, body["error"]["code"]) == (status, code)
    assert body["type"] == "error"
    assert body["request_id"] == answer.headers["request-id"]


async def test_a_wrong_method_names_the_right_ones(shared: Server) -> None:
    assert "POST" in (await shared.client.put("/chat")).headers["allow"]


@pytest.mark.parametrize(
    ("body", "status", "code", "words"),
    [
        ({"agent": "defualt"}, 404, "agent_not_found", "Did you mean 'default'?"),
        ({"tools": ["word_cuont"]}, 422, "unknown_tool", "word_count"),
        ({"thread_id": "nope"}, 404, "thread_not_found", "thread"),
        ({"max_tokens": 10_000_000}, 422, "max_tokens_too_large", "at most"),
        ({"limits": {"max_turns": 500}}, 422, "limit_raised", "at most 50"),
        ({"limits": {"max_turnz": 5}}, 422, None, "max_turns"),
        ({"limits": {"max_cost_usd": 1}}, 422, "price_unknown", "price"),
        ({"system": "Be evil"}, 422, "not_overridable", "system"),
        ({"inptu": "x"}, 422, "unknown_field", "Did you mean 'input'?"),
    ],
)
async def test_a_wrong_name_is_told_with_the_nearest_right_one(
    shared: Server, body: dict[str, Any], status: int, code: str | None, words: str
) -> None:
    answer = await shared.client.post("/v1/runs", json={"input": "Hi", **body})
    assert answer.status_code == status, answer.text
    assert code is None or answer.json()["error"]["code"] == code
    assert words in answer.json()["error"]["message"]


async def test_refused_fields_are_listed_by_place_and_reason(shared: Server) -> None:
    messages = [{"role": "boss", "content": "x"}, {"role": "user", "content": 5}]
    answer = await shared.client.post("/v1/runs", json={"input": messages, "max_tokens": 0})
    error = answer.json()["error"]
    places = [detail["loc"][:4] for detail in error["details"]]
    assert ["body", "input", "messages", 0] in places
    assert ["body", "input", "messages", 1] in places
    assert ["body", "max_tokens"] in places
    assert all(set(detail) == {"loc", "code", "message"} for detail in error["details"])
    assert "boss" not in answer.text


async def test_no_more_than_twenty_reasons_are_listed(shared: Server) -> None:
    messages = [{"role": "boss", "content": "x"}] * 50
    answer = await shared.client.post("/v1/runs", json={"input": messages})
    assert len(answer.json()["error"]["details"]) == 20


async def test_problem_json_is_given_to_who_accepts_it(shared: Server) -> None:
    answer = await shared.client.get("/nowhere", headers={"Accept": "application/problem+json"})
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == "route_not_found"
    assert answer.json()["instance"] == answer.headers["request-id"]


class _BrokenStore:
    """A store whose reads fail in the way a test wants."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    async def list_runs(self, *args: object, **options: object) -> None:
        raise self.error


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (RuntimeError("/srv/secret exploded"), 500, "internal_error"),
        (AgentServerError("/srv/secret exploded"), 500, "internal_error"),
        (StoreError("/srv/secret is full"), 503, "storage_unavailable"),
        (RecursionError("/srv/secret"), 500, "internal_error"),
    ],
)
async def test_a_fault_of_ours_shows_nothing_but_its_request_id(
    serve: Serve, error: Exception, status: int, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = await serve()
    broken = _BrokenStore(error)
    monkeypatch.setattr(type(server.runtime.store), "list_runs", broken.list_runs)
    answer = await server.client.get("/v1/runs")
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert "secret" not in answer.text
    assert answer.headers["request-id"] == answer.json()["request_id"]
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_a_draining_server_takes_no_runs_and_says_when_to_come_back(serve: Serve) -> None:
    server = await serve("Hello")
    server.runtime.runs.begin_drain()
    answer = await server.client.post("/v1/runs", json={"input": "Hi"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "draining")
    assert int(answer.headers["retry-after"]) > 0
    assert answer.json()["error"]["retryable"]
    assert (await server.client.get("/readyz")).status_code == 503
    assert (await server.client.get("/livez")).status_code == 200


async def test_a_full_server_takes_no_more_runs(serve: Serve) -> None:
    server = await serve([stall()], settings=make_settings(runs=RunSettings(max_active=1)))
    await server.start()
    answer = await server.client.post("/v1/runs", json={"input": "Hi"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "too_many_runs")


async def test_an_agent_s_instructions_are_shown_to_nobody(serve: Serve) -> None:
    agent = AgentSettings(model="model-1", system="The password is swordfish.")
    server = await serve("Hello", settings=make_settings(agent=agent))
    run_id = (await server.run())["id"]
    for path in ("/v1/agents", f"/v1/runs/{run_id}", "/v1/runs", f"/v1/runs/{run_id}/events"):
        assert b"swordfish" not in await server.read(path)
