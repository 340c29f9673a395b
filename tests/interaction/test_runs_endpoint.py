"""Runs: created, looked at, listed, read as a transcript."""

import re
from typing import Any

import pytest

from agent_server.model.scripted import call, stall
from tests.interaction.harness import Serve, Server

RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


async def test_a_run_is_created_at_once(serve: Serve) -> None:
    server = await serve([stall()])
    answer = await server.client.post(
        "/v1/runs", json={"input": "Hi", "metadata": {"ticket": "A-17"}}
    )
    assert answer.status_code == 201
    record = answer.json()
    assert answer.headers["location"] == f"/v1/runs/{record['id']}"
    assert record["status"] == "running"
    assert record["metadata"] == {"ticket": "A-17"}
    assert record["output"] is None
    assert record["finished_at"] is None
    assert RFC_3339.fullmatch(record["created_at"])


async def test_a_waiting_post_answers_with_the_finished_record(serve: Serve) -> None:
    server = await serve([call("word_count", {"text": "a b"})], "Two.")
    record = await server.run()
    assert record["status"] == "completed"
    assert record["output"] == "Two."
    assert record["stop_reason"] == "end_turn"
    assert record["agent"] == "default"
    assert record["model"] == "model-1"
    assert record["error"] is None
    assert record["cost_usd"] is None
    assert record["usage"]["model_calls"] == 2
    assert record["usage"]["tool_calls"] == 1
    assert [turn["turn"] for turn in record["turns"]] == [1, 2]
    (tool_call,) = record["tool_calls"]
    assert (tool_call["name"], tool_call["state"]) == ("word_count", "completed")
    assert record["approvals"] == []
    assert record["last_seq"] == len(await server.events(record["id"]))
    assert RFC_3339.fullmatch(record["finished_at"])
    assert (await server.client.get(f"/v1/runs/{record['id']}")).json() == record


async def test_a_failed_run_is_told_in_its_record(serve: Serve) -> None:
    server = await serve()  # the model has no turn to play
    record = await server.run()
    assert record["status"] == "failed"
    assert record["error"]["code"] == "upstream_invalid_request"


async def test_overrides_reach_the_model(serve: Serve) -> None:
    server = await serve("Hello")
    await server.run(model="model-2", max_tokens=99, tools=["word_count"])
    (request,) = server.model.requests
    assert (request.model, request.max_tokens) == ("model-2", 99)
    assert [tool["name"] for tool in request.tools] == ["word_count"]


async def test_the_input_may_be_blocks(serve: Serve) -> None:
    server = await serve("Nice.")
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA"}}
    content = [{"type": "text", "text": "What is it?"}, image]
    body = {"input": [{"role": "user", "content": content}], "wait": True}
    assert (await server.client.post("/v1/runs", json=body)).status_code == 201
    assert server.model.requests[0].messages[:1] == [{"role": "user", "content": content}]


async def test_a_conversation_with_tool_blocks_is_taken_when_they_match(serve: Serve) -> None:
    server = await serve("Fine.")
    conversation: list[Any] = [
        {"role": "user", "content": "Count"},
        {
            "role": "assistant",
            "content": [{"type": "tool_use", "id": "t1", "name": "word_count", "input": {}}],
        },
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "2"}]},
    ]
    body = {"input": conversation, "wait": True}
    assert (await server.client.post("/v1/runs", json=body)).json()["status"] == "completed"


async def test_the_provider_s_exact_bytes_can_be_read(serve: Serve) -> None:
    server = await serve("Hello")
    run_id = (await server.run())["id"]
    answer = await server.client.get(f"/v1/runs/{run_id}/turns/1/attempts/1")
    assert answer.headers["content-type"] == "application/octet-stream"
    assert b"event: message_start" in answer.content
    assert (await server.client.get(f"/v1/runs/{run_id}/turns/9/attempts/1")).status_code == 404


# --- lists -----------------------------------------------------------------------------------


async def listed(server: Server, **params: Any) -> list[str]:
    page = (await server.client.get("/v1/runs", params=params)).json()
    return [run["id"] for run in page["data"]]


async def test_runs_are_listed_newest_first_with_counts(serve: Serve) -> None:
    server = await serve([call("word_count", {"text": "a"})], "One.", "Two.")
    first, second = await server.run(), await server.run()
    page = (await server.client.get("/v1/runs")).json()
    assert [run["id"] for run in page["data"]] == [second["id"], first["id"]]
    assert page["data"][1]["turns"] == 2
    assert page["data"][1]["tool_calls"] == 1
    assert page["has_more"] is False
    assert page["next_cursor"] is None


async def test_pages_stay_stable_while_runs_are_added(serve: Serve) -> None:
    server = await serve(*["Hello"] * 9)
    made = [(await server.run())["id"] for _ in range(6)]
    found: list[str] = []
    cursor: str | None = None
    for _ in range(3):
        params = {"limit": "2", **({"cursor": cursor} if cursor else {})}
        page = (await server.client.get("/v1/runs", params=params)).json()
        found += [run["id"] for run in page["data"]]
        cursor = page["next_cursor"]
        await server.run()
    assert found == made[::-1]
    assert cursor is None


async def test_runs_are_found_by_what_they_are(serve: Serve) -> None:
    server = await serve([call("word_count", {"text": "a"})], "One.", [stall()])
    counted = await server.run(metadata={"ticket": "A-17"})
    stalled = await server.start()
    assert await listed(server, status="running") == [stalled]
    assert await listed(server, status="completed") == [counted["id"]]
    assert await listed(server, tool="word_count") == [counted["id"]]
    assert await listed(server, thread_id=counted["thread_id"]) == [counted["id"]]
    assert await listed(server, q="A-17") == [counted["id"]]
    assert await listed(server, q=stalled[:-1]) == [stalled]
    assert await listed(server, agent="default") == [stalled, counted["id"]]
    assert await listed(server, agent="other") == []


@pytest.mark.parametrize("q", ["%", "_", "' OR 1=1 --", "\\", '"'])
async def test_a_search_is_by_the_letter(serve: Serve, q: str) -> None:
    server = await serve("Hello")
    await server.run()
    assert await listed(server, q=q) == []
