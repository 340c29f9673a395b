import json

import pytest

from agent_server.messages import JsonObject
from agent_server.model.scripted import call, text
from tests.interaction.harness import Serve, Server


async def results(server: Server) -> list[JsonObject]:
    """The tool results that the second request carried."""
    content = server.model.requests[1].messages[-1]["content"]
    return [block for block in content if block["type"] == "tool_result"]


@pytest.mark.parametrize(
    ("name", "arguments", "kind", "told"),
    [
        ("word_count", '{"text": 1,}', "invalid_input", "JSON"),
        ("word_count", "[1]", "invalid_input", "object"),
        ("word_count", '{"text": 1}', "invalid_input", "/text: "),
        ("word_count", "{}", "invalid_input", "text"),
        ("word_cuont", '{"text": "a"}', "not_found", "word_count"),
        ("guarded", "{}", "denied", "approval"),
    ],
)
async def test_a_call_that_may_not_run_is_answered_with_the_reason(
    serve: Serve, name: str, arguments: str, kind: str, told: str
) -> None:
    server = await serve([call(name, arguments)], "sorry")
    record = await server.run()
    assert record["status"] == "completed"
    assert server.sandbox.calls == []
    failed = next(e for e in await server.events(record["id"]) if e["type"] == "tool_result.failed")
    assert failed["kind"] == kind
    assert told in failed["message"]
    (answer,) = await results(server)
    assert answer["is_error"] is True
    assert answer["content"] == [{"type": "text", "text": failed["message"]}]


async def test_parallel_calls_run_together_and_answer_in_the_models_order(serve: Serve) -> None:
    server = await serve(
        [call("gate", call_id="slow"), call("word_count", {"text": "a b"}, call_id="quick")],
        "done",
    )
    run_id = await server.start()
    async with server.stream("GET", f"/v1/runs/{run_id}/events") as stream:
        await stream.until_type("tool_result.completed")
        server.sandbox.gate.set()
        await stream.rest()
    ended = [f.json["call_id"] for f in stream.frames if f.event == "tool_result.completed"]
    assert ended == ["quick", "slow"]
    assert [block["tool_use_id"] for block in await results(server)] == ["slow", "quick"]


async def test_what_is_judged_is_on_record_before_anything_runs(serve: Serve) -> None:
    server = await serve([text("go"), call("word_count", {"text": "a"})], "done")
    record = await server.run()
    shown = [event["type"] for event in await server.events(record["id"])]
    order = ["turn.completed", "tool_call.requested", "tool_call.running", "tool_result.completed"]
    assert sorted(order, key=shown.index) == order


async def test_the_input_goes_back_with_its_keys_in_the_received_order(serve: Serve) -> None:
    server = await serve([call("word_count", '{"zeta": 1, "alpha": {"b": 2, "a": 1.0}}')], "ok")
    await server.run()
    sent = server.model.requests[1].messages[1]["content"][0]["input"]
    assert json.dumps(sent) == '{"zeta": 1, "alpha": {"b": 2, "a": 1.0}}'
