"""What surrounds every request: ids, safe headers, the access line, and who may ask."""

import asyncio
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from agent_server.model.scripted import text
from tests.interaction.harness import LIMIT_S, Serve, Server

MERGE = [structlog.contextvars.merge_contextvars]


async def test_every_answer_has_an_id_of_ours(serve: Serve) -> None:
    server = await serve("Hello")
    answers = [
        await server.client.get("/livez"),
        await server.client.get("/nowhere"),
        await server.client.put("/v1/runs"),
        await server.client.post("/v1/runs", content=b"x"),
        await server.client.get("/livez", headers={"Host": "evil.test"}),
        await server.client.get("/openapi.json"),
        await server.client.post("/v1/runs", json={"input": "Hi", "stream": True}),
    ]
    ids = {answer.headers["request-id"] for answer in answers}
    assert len(ids) == len(answers)
    assert all(request_id.startswith("req_") for request_id in ids)


async def test_a_client_s_id_is_given_back_but_never_taken_for_ours(shared: Server) -> None:
    answer = await shared.client.get("/livez", headers={"X-Request-Id": "client-1"})
    assert answer.headers["x-request-id"] == "client-1"
    assert answer.headers["request-id"].startswith("req_")
    evil = await shared.client.get("/livez", headers={"X-Request-Id": "a b;c"})
    assert "x-request-id" not in evil.headers


async def test_answers_carry_safe_headers(shared: Server) -> None:
    for path in ("/livez", "/nowhere"):
        headers = (await shared.client.get(path)).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert headers["referrer-policy"] == "no-referrer"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert "set-cookie" not in headers


def lines(logs: list[Any]) -> list[dict[str, Any]]:
    return [line for line in logs if line["event"] == "http.request"]


async def test_a_request_is_one_line_in_the_log(serve: Serve) -> None:
    server = await serve()
    with capture_logs(MERGE) as logs:
        answer = await server.client.get("/v1/agents?x=1", headers={"X-Request-Id": "client-1"})
    (line,) = lines(logs)
    assert line["method"] == "GET"
    assert line["path"] == "/v1/agents"
    assert line["status"] == 200
    assert line["bytes"] == len(answer.content)
    assert line["request_id"] == answer.headers["request-id"]
    assert line["client_request_id"] == "client-1"
    assert line["log_level"] == "info"


async def test_a_stream_s_line_comes_at_its_end_with_what_it_sent(serve: Serve) -> None:
    server = await serve([text("a", "b")])
    written = asyncio.Event()

    def note(_logger: Any, _name: str, line: Any) -> Any:
        if line["event"] == "http.request":
            written.set()
        return line

    with capture_logs([*MERGE, note]) as logs:
        async with server.stream(
            "POST", "/v1/runs", json={"input": "Hi", "stream": True}
        ) as stream:
            body = await stream.rest()
        async with asyncio.timeout(LIMIT_S):
            await written.wait()
    (line,) = lines(logs)
    assert line["bytes"] == len(body)
    assert line["events"] == body.count(b"\nevent: ")
    assert line["end_reason"] == "complete"


async def test_health_checks_are_quiet(serve: Serve) -> None:
    server = await serve()
    with capture_logs() as logs:
        await server.client.get("/livez")
        await server.client.get("/readyz")
    assert {line["log_level"] for line in lines(logs)} == {"debug"}


async def test_a_fault_is_logged_with_the_id_that_the_client_was_told(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = await serve()

    async def explode(*args: object, **options: object) -> None:
        raise RuntimeError("boom")

    monkeypatch.setattr(type(server.runtime.store), "list_runs", explode)
    with capture_logs(MERGE) as logs:
        answer = await server.client.get("/v1/runs")
    (fault,) = [line for line in logs if line["event"] == "http.failed"]
    assert fault["request_id"] == answer.json()["request_id"]
    assert fault["exc_info"]


# --- who may ask -----------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["evil.test", "evil.test:8000", "127.0.0.1.evil.test", "10.0.0.1"])
async def test_a_foreign_host_name_is_421(shared: Server, host: str) -> None:
    answer = await shared.client.get("/v1/runs", headers={"Host": host})
    assert (answer.status_code, answer.json()["error"]["code"]) == (421, "host_not_allowed")
    assert answer.headers["request-id"] == answer.json()["request_id"]


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:1", "LOCALHOST", "127.0.0.1", "127.1.2.3:80", "[::1]:8000"]
)
async def test_local_host_names_are_served(shared: Server, host: str) -> None:
    assert (await shared.client.get("/livez", headers={"Host": host})).status_code == 200


@pytest.mark.parametrize(
    "origin",
    ["http://localhost:3000", "http://127.0.0.1:5173", "https://localhost", "http://[::1]:1"],
)
async def test_local_pages_may_use_the_server(serve: Serve, origin: str) -> None:
    server = await serve("Hello")
    preflight = await server.client.options(
        "/v1/runs",
        headers={"Origin": origin, "Access-Control-Request-Method": "POST"},
    )
    assert preflight.status_code == 204
    assert preflight.headers["access-control-allow-origin"] == origin
    allowed = preflight.headers["access-control-allow-headers"].lower()
    for header in ("content-type", "last-event-id", "idempotency-key", "traceparent"):
        assert header in allowed
    answer = await server.client.post("/v1/runs", json={"input": "Hi"}, headers={"Origin": origin})
    assert answer.status_code == 201
    assert answer.headers["access-control-allow-origin"] == origin
    assert "Request-Id" in answer.headers["access-control-expose-headers"]
    assert "origin" in answer.headers["vary"].lower()
    assert "access-control-allow-credentials" not in answer.headers


@pytest.mark.parametrize(
    "origin", ["https://evil.test", "http://localhost.evil.test", "null", "http://localhost:3000/x"]
)
async def test_foreign_pages_may_not(shared: Server, origin: str) -> None:
    preflight = await shared.client.options(
        "/v1/runs",
        headers={"Origin": origin, "Access-Control-Request-Method": "POST"},
    )
    assert "access-control-allow-origin" not in preflight.headers
    post = await shared.client.post("/v1/threads", json={}, headers={"Origin": origin})
    assert (post.status_code, post.json()["error"]["code"]) == (403, "origin_not_allowed")
    read = await shared.client.get("/v1/runs", headers={"Origin": origin})
    assert "access-control-allow-origin" not in read.headers


async def test_errors_are_readable_for_local_pages_too(shared: Server) -> None:
    origin = "http://localhost:3000"
    answer = await shared.client.get("/nowhere", headers={"Origin": origin})
    assert answer.headers["access-control-allow-origin"] == origin
