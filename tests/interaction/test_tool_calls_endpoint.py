"""The tools: listed, looked at, called without a model."""

from typing import Any

import pytest

from tests.interaction.harness import Serve, Server


async def post_call(server: Server, name: str, arguments: Any) -> Any:
    return await server.client.post(f"/v1/tools/{name}/calls", json={"input": arguments})


async def test_a_call_answers_with_result_output_and_cost(serve: Serve) -> None:
    server = await serve()
    answer = await post_call(server, "word_count", {"text": "a b c"})
    assert answer.status_code == 200
    body = answer.json()
    run_id = body.pop("run_id")
    assert body == {
        "status": "completed",
        "content": [{"type": "text", "text": "3"}],
        "output": 3,
        "error": None,
        "stdout": "counting\n",
        "stderr": "carefully\n",
        "duration_ms": 3,
        "cpu_ms": 2,
        "peak_rss_kb": 1_024,
        "isolation": "process",
        "truncated": False,
    }
    assert server.model.requests == []
    record = (await server.client.get(f"/v1/runs/{run_id}")).json()
    assert (record["kind"], record["status"]) == ("tool", "completed")
    assert [call["name"] for call in record["tool_calls"]] == ["word_count"]


async def test_a_failed_call_is_still_an_answer(shared: Server) -> None:
    answer = await post_call(shared, "broken", {})
    assert answer.status_code == 200
    body = answer.json()
    assert body["status"] == "failed"
    assert body["error"]["kind"] == "exception"
    assert body["output"] is None


async def test_input_that_the_schema_refuses_is_422_with_paths(serve: Serve) -> None:
    server = await serve()
    answer = await post_call(server, "word_count", {"text": 5})
    assert answer.status_code == 422
    error = answer.json()["error"]
    assert error["code"] == "invalid_tool_input"
    assert error["details"][0]["path"] == "/text"
    assert server.sandbox.calls == []


async def test_a_tool_that_needs_approval_is_409(serve: Serve) -> None:
    server = await serve()
    answer = await post_call(server, "guarded", {})
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "approval_required")
    assert server.sandbox.calls == []


async def test_an_unknown_tool_is_404_with_the_nearest(shared: Server) -> None:
    answer = await post_call(shared, "word_cuont", {"text": "a"})
    assert answer.status_code == 404
    assert "word_count" in answer.json()["error"]["message"]


@pytest.mark.parametrize("body", [{}, {"input": []}, {"input": {}, "x": 1}, {"inptu": {}}])
async def test_a_malformed_call_is_422(shared: Server, body: dict[str, Any]) -> None:
    answer = await shared.client.post("/v1/tools/broken/calls", json=body)
    assert answer.status_code == 422


async def test_direct_calls_are_listed_only_when_asked_for(serve: Serve) -> None:
    server = await serve("Hello")
    called = (await post_call(server, "word_count", {"text": "a"})).json()["run_id"]
    run = (await server.run())["id"]

    async def listed(query: str) -> set[str]:
        page = (await server.client.get(f"/v1/runs{query}")).json()
        return {found["id"] for found in page["data"]}

    assert await listed("") == {run}
    assert await listed("?kind=tool") == {called}
    assert await listed("?kind=all") == {run, called}


async def test_tools_are_listed_with_their_schemas(shared: Server) -> None:
    page = (await shared.client.get("/v1/tools")).json()
    tools = {tool["name"]: tool for tool in page["data"]}
    assert sorted(tools) == ["broken", "gate", "guarded", "word_count"]
    assert tools["word_count"]["input_schema"]["properties"] == {"text": {"type": "string"}}
    assert tools["guarded"]["approval"] == "always"
    assert len(tools["broken"]["version"]) == 16
    assert "file" not in tools["broken"]
    assert (await shared.client.get("/v1/tools/broken")).json() == tools["broken"]


async def test_agents_are_listed_with_what_a_request_may_change(shared: Server) -> None:
    (agent,) = (await shared.client.get("/v1/agents")).json()["data"]
    assert agent["name"] == "default"
    assert agent["model"] == "model-1"
    assert agent["tools"] == ["*"]
    assert "model" in agent["overridable"]
    assert "system" not in agent
