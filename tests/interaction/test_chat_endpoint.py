"""POST /chat: the plain contract."""

import asyncio
import json
from typing import Any

import pytest

from agent_server.config import ChatSettings, ModelSettings
from agent_server.errors import ModelError, ModelErrorCode
from agent_server.model.scripted import Turn, call, error, fail, pause, stall, text
from tests.interaction.harness import LIMIT_S, Serve, Server, frames, make_settings

HELLO = {"messages": [{"role": "user", "content": "Hello"}]}
ONE_TRY = ModelSettings(retry_attempts=1)


def failure(code: ModelErrorCode, *, retryable: bool = False) -> Turn:
    return fail(ModelError("upstream words", code=code, retryable=retryable))


async def chat(server: Server, **fields: Any) -> list[Any]:
    async with server.stream("POST", "/chat", json={**HELLO, **fields}) as stream:
        body = (await stream.rest()).decode()
    lines = [line for line in body.split("\n") if line and not line.startswith(":")]
    assert all(line.startswith("data: ") for line in lines)
    assert lines.pop() == "data: [DONE]"
    return [json.loads(line.removeprefix("data: ")) for line in lines]


async def test_a_reader_that_appends_each_delta_shows_the_answer(serve: Serve) -> None:
    server = await serve([text("Good ", "morning")])
    objects = await chat(server)
    assert "".join(item["delta"] for item in objects) == "Good morning"
    assert all(isinstance(item["type"], str) for item in objects)
    assert objects[-1]["type"] == "run.completed"


async def test_tool_activity_is_told_in_objects_without_text(serve: Serve) -> None:
    server = await serve([call("word_count", {"text": "a b"})], [text("Two.")])
    objects = await chat(server)
    kinds = [item["type"] for item in objects]
    assert kinds.index("tool_call.started") < kinds.index("tool_result.completed")
    result = next(item for item in objects if item["type"] == "tool_result.completed")
    assert (result["output"], result["delta"]) == (2, "")
    assert "".join(item["delta"] for item in objects) == "Two."


async def test_the_answer_names_its_run(serve: Serve) -> None:
    server = await serve("Hello")
    answer = await server.client.post("/chat", json=HELLO)
    record = (await server.client.get(f"/v1/runs/{answer.headers['x-run-id']}")).json()
    assert record["trigger"] == "chat"
    assert record["status"] == "completed"


async def test_without_streaming_it_is_one_json_object(serve: Serve) -> None:
    server = await serve([call("word_count", {"text": "a b"})], [text("Two.")])
    answer = await server.client.post("/chat", json={**HELLO, "stream": False})
    assert answer.headers["content-type"] == "application/json"
    body = answer.json()
    assert body["content"] == "Two."
    assert body["role"] == "assistant"
    assert body["stop_reason"] == "end_turn"
    assert body["usage"]["tool_calls"] == 1
    assert body["run_id"] == answer.headers["x-run-id"]


async def test_max_tokens_is_1024_unless_asked(serve: Serve) -> None:
    server = await serve("Hello", "Hello")
    await chat(server)
    await chat(server, max_tokens=4096)
    assert [request.max_tokens for request in server.model.requests] == [1024, 4096]


async def test_a_whole_conversation_may_be_sent(serve: Serve) -> None:
    server = await serve("Fine.")
    await chat(
        server,
        messages=[
            {"role": "user", "content": "Hello"},
            {"role": "assistant", "content": "Hi!"},
            {"role": "user", "content": [{"type": "text", "text": "How are you?"}]},
        ],
    )
    roles = [message["role"] for message in server.model.requests[0].messages[:3]]
    assert roles == ["user", "assistant", "user"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"messages": []},
        {"messages": "Hello"},
        {"messages": [{"role": "system", "content": "x"}]},
        {"messages": [{"role": "user", "content": ""}]},
        {"messages": [{"role": "user"}]},
        {"messages": [{"role": "assistant", "content": "Hi"}]},
        {**HELLO, "max_tokens": 0},
        {**HELLO, "max_tokens": 4097},
        {**HELLO, "max_tokens": "10"},
        {**HELLO, "stream": "yes"},
        {**HELLO, "temprature": 1},
    ],
)
async def test_a_body_beside_the_contract_is_422(shared: Server, body: dict[str, Any]) -> None:
    answer = await shared.client.post("/chat", json=body)
    assert answer.status_code == 422, answer.text
    assert shared.model.requests == []


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("code", "status", "sentence"),
    [
        ("upstream_rate_limited", 429, "please retry shortly"),
        ("upstream_error", 502, "Upstream model error"),
        ("upstream_auth", 502, "Upstream model error"),
        ("upstream_overloaded", 502, "Upstream model error"),
        ("upstream_timeout", 504, "Upstream model timed out"),
    ],
)
async def test_a_failure_before_the_first_output_is_a_status(
    serve: Serve, code: ModelErrorCode, status: int, sentence: str, *, stream: bool
) -> None:
    server = await serve(failure(code))
    answer = await server.client.post("/chat", json={**HELLO, "stream": stream})
    body = answer.json()
    assert answer.status_code == status
    assert sentence in body["error"]["message"]
    assert body["error"]["code"] == code
    assert "upstream words" not in answer.text
    assert answer.headers["request-id"] == body["request_id"]
    assert answer.headers["x-run-id"].startswith("run_")


async def test_a_failure_that_a_retry_mends_is_not_seen(serve: Serve) -> None:
    server = await serve(failure("upstream_overloaded", retryable=True), "Hello")
    assert "".join(item["delta"] for item in await chat(server)) == "Hello"


async def test_a_failure_after_text_was_sent_is_an_error_object_and_done(serve: Serve) -> None:
    turn = Turn((text("Hel"), error("api_error", "upstream words")), ends=False)
    server = await serve(turn, "never asked", settings=make_settings(model=ONE_TRY))
    objects = await chat(server)
    assert objects[0]["delta"] == "Hel"
    assert objects[-1]["type"] == "error"
    assert objects[-1]["delta"] == ""
    assert objects[-1]["error"]["message"] == "Upstream model error"
    assert "upstream words" not in json.dumps(objects)


async def test_once_text_was_sent_the_model_is_not_asked_again(serve: Serve) -> None:
    gate = asyncio.Event()
    turn = Turn((text("Hel"), pause(gate.wait), error()), ends=False)
    server = await serve(turn, [stall()])
    async with server.stream("POST", "/chat", json=HELLO) as stream:
        await stream.until(lambda s: b"Hel" in s.body)
        gate.set()
        body = await stream.rest()
    got = [frame.data for frame in frames(body)]
    assert got[-1] == "[DONE]"
    assert json.loads(got[-2])["type"] == "error"
    async with asyncio.timeout(LIMIT_S):
        await server.runtime.runs.wait(stream.response.headers["x-run-id"])


async def test_a_model_that_says_nothing_is_504_in_time(serve: Serve) -> None:
    server = await serve([stall()], settings=make_settings(chat=ChatSettings(answer_s=0.05)))
    answer = await server.client.post("/chat", json=HELLO)
    assert answer.status_code == 504
    assert answer.json()["error"]["message"] == "Upstream model timed out"
    record = (await server.client.get(f"/v1/runs/{answer.headers['x-run-id']}")).json()
    assert record["status"] == "cancelled"


@pytest.mark.parametrize("stream", [True, False])
async def test_when_the_client_goes_before_any_output_the_run_stops(
    serve: Serve, *, stream: bool
) -> None:
    asked = asyncio.Event()

    async def ask() -> None:
        asked.set()
        await asyncio.Event().wait()

    server = await serve([pause(ask)])
    async with asyncio.timeout(LIMIT_S), asyncio.TaskGroup() as group:
        body = {**HELLO, "stream": stream}
        post = group.create_task(server.client.post("/chat", json=body))
        await asked.wait()
        (run,) = (await server.client.get("/v1/runs")).json()["data"]
        post.cancel()
        await server.runtime.runs.wait(run["id"])
    record = (await server.client.get(f"/v1/runs/{run['id']}")).json()
    assert (record["status"], record["cancelled_by"]) == ("cancelled", "disconnect")


async def test_when_the_client_goes_mid_stream_the_run_stops_at_once(serve: Serve) -> None:
    server = await serve([text("Hel"), stall()])
    async with server.stream("POST", "/chat", json=HELLO) as stream:
        await stream.until(lambda s: b"Hel" in s.body)
        run_id = stream.response.headers["x-run-id"]
    async with asyncio.timeout(LIMIT_S):
        await server.runtime.runs.wait(run_id)
    record = (await server.client.get(f"/v1/runs/{run_id}")).json()
    assert (record["status"], record["cancelled_by"]) == ("cancelled", "disconnect")
    assert record["output"] is None or "Hel" in str(record)
