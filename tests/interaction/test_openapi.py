"""/openapi.json and the health checks."""

from pathlib import Path
from typing import Any

import httpx2
import pytest

from agent_server.config import ModelSettings, StorageSettings, ToolSettings
from agent_server.http.app import create_app
from tests.interaction.harness import Server, make_settings


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return create_app(settings=make_settings()).openapi()


def operations(document: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [
        (f"{method} {path}", operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]


def test_every_body_has_an_example(document: dict[str, Any]) -> None:
    bodies = [
        (name, operation["requestBody"]["content"]["application/json"])
        for name, operation in operations(document)
        if "requestBody" in operation
    ]
    assert len(bodies) == 4
    assert [name for name, body in bodies if not body.get("examples")] == []


def test_every_operation_says_what_it_does_and_how_it_fails(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        assert operation.get("summary"), name
        assert operation.get("description"), name
        assert "500" in operation["responses"], name
        if "{" in name:
            assert "404" in operation["responses"], name
        for status, answer in operation["responses"].items():
            if status.startswith(("4", "5")) and "readyz" not in name:
                schema = answer["content"]["application/json"]["schema"]
                assert schema == {"$ref": "#/components/schemas/ErrorEnvelope"}, (name, status)


def test_the_paths_of_the_product_are_all_there(document: dict[str, Any]) -> None:
    names = {name for name, _ in operations(document)}
    assert names == {
        "post /v1/runs",
        "get /v1/runs",
        "get /v1/runs/{run_id}",
        "get /v1/runs/{run_id}/events",
        "get /v1/runs/{run_id}/messages",
        "post /v1/runs/{run_id}/cancel",
        "get /v1/runs/{run_id}/turns/{turn}/attempts/{attempt}",
        "post /v1/threads",
        "get /v1/threads",
        "get /v1/threads/{thread_id}",
        "delete /v1/threads/{thread_id}",
        "get /v1/threads/{thread_id}/messages",
        "get /v1/agents",
        "get /v1/tools",
        "get /v1/tools/{name}",
        "post /v1/tools/{name}/calls",
        "get /v1/events/schema",
        "post /chat",
        "get /livez",
        "get /readyz",
    }


async def test_the_document_is_served_and_needs_no_cdn(shared: Server) -> None:
    answer = await shared.client.get("/openapi.json")
    assert answer.status_code == 200
    assert "cdn" not in answer.text.lower()
    assert (await shared.client.get("/redoc")).status_code == 404


async def test_the_process_says_that_it_lives_and_what_it_is(shared: Server) -> None:
    assert (await shared.client.get("/livez")).json() == {"status": "ok"}
    ready = await shared.client.get("/readyz")
    assert ready.status_code == 200
    body = ready.json()
    assert body["status"] == "ready"
    assert all(body["checks"].values())
    assert (body["provider"], body["demo"]) == ("scripted", False)
    assert (await shared.client.get("/healthz")).json() == body


async def test_an_app_can_open_its_own_runtime(tmp_path: Path) -> None:
    (tmp_path / "tools").mkdir()
    app = create_app(
        settings=make_settings(
            model=ModelSettings(provider="demo"),
            storage=StorageSettings(url=f"sqlite:///{tmp_path / 'server.db'}"),
            tools=ToolSettings(paths=(tmp_path / "tools",), entry_points=False),
        )
    )
    transport = httpx2.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client,
    ):
        assert (await client.get("/readyz")).json()["status"] == "ready"
