from typing import get_args

import pytest
from anthropic.types import StopReason

from agent_server.config import AgentSettings, ModelSettings
from agent_server.messages import JsonObject
from agent_server.model.scripted import Turn, call, text
from tests.interaction.harness import Serve, make_settings

EXPECTED = {
    "end_turn": ("completed", None),
    "stop_sequence": ("completed", None),
    "max_tokens": ("incomplete", "max_tokens"),
    "refusal": ("incomplete", "refusal"),
    "model_context_window_exceeded": ("incomplete", "context_window"),
    "pause_turn": ("completed", None),
    "tool_use": ("completed", None),
}


def types(events: list[JsonObject]) -> list[str]:
    return [event["type"] for event in events]


@pytest.mark.parametrize("stop_reason", get_args(StopReason))
async def test_every_stop_reason_of_the_sdk_has_its_end(serve: Serve, stop_reason: str) -> None:
    status, reason = EXPECTED[stop_reason]
    server = await serve(Turn((text("so far"),), stop_reason=stop_reason), "done")
    record = await server.run()
    assert record["status"] == status
    last = (await server.events(record["id"]))[-1]
    assert last.get("reason") == reason


async def test_an_unknown_stop_reason_ends_the_run_as_failed_with_the_turn_kept(
    serve: Serve,
) -> None:
    server = await serve(Turn((text("hm"),), stop_reason="hologram"))
    record = await server.run()
    assert record["status"] == "failed"
    assert record["error"]["code"] == "provider_protocol"
    assert "turn.completed" in types(await server.events(record["id"]))


async def test_a_paused_turn_is_sent_back_unchanged(serve: Serve) -> None:
    server = await serve(Turn((text("wait"),), stop_reason="pause_turn"), "done")
    record = await server.run()
    assert record["output"] == "done"
    assert server.model.requests[1].messages[-1] == {
        "role": "assistant",
        "content": [{"type": "text", "text": "wait"}],
    }


async def test_a_model_that_only_pauses_is_stopped_after_ten_times(serve: Serve) -> None:
    server = await serve(*[Turn((text("wait"),), stop_reason="pause_turn")] * 20)
    record = await server.run()
    assert record["status"] == "failed"
    assert len(server.model.requests) == 11


async def test_an_answer_cut_inside_a_tools_input_is_asked_again_once_with_more_room(
    serve: Serve,
) -> None:
    cut = Turn((call("word_count", '{"text": "a'),), stop_reason="max_tokens")
    server = await serve(cut, [call("word_count", {"text": "a b"})], "two")
    record = await server.run(max_tokens=100)
    assert record["output"] == "two"
    assert [request.max_tokens for request in server.model.requests] == [100, 200, 100]
    events = await server.events(record["id"])
    (restarted,) = [event for event in events if event["type"] == "turn.restarted"]
    assert restarted["reason"] == "max_tokens"
    assert server.sandbox.calls == ["word_count"]


async def test_an_answer_cut_again_ends_incomplete_and_runs_nothing(serve: Serve) -> None:
    cut = Turn((text("I will"), call("word_count", '{"text": "a')), stop_reason="max_tokens")
    server = await serve(cut, cut)
    record = await server.run()
    assert (record["status"], record["output"]) == ("incomplete", "I will")
    assert server.sandbox.calls == []


async def test_a_complete_call_of_a_cut_answer_is_not_run_either(serve: Serve) -> None:
    cut = Turn((call("word_count", {"text": "a b"}),), stop_reason="max_tokens")
    settings = make_settings(
        agent=AgentSettings(model="m", max_tokens=32),
        model=ModelSettings(max_tokens_cap=32),
    )
    server = await serve(cut, settings=settings)
    record = await server.run()
    assert record["status"] == "incomplete"
    assert server.sandbox.calls == []


async def test_the_calls_of_a_refused_turn_are_not_run_and_leave_the_history(
    serve: Serve,
) -> None:
    refused = Turn((text("no"), call("word_count", {"text": "a"})), stop_reason="refusal")
    server = await serve(refused, "hello again")
    first = await server.run()
    assert first["status"] == "incomplete"
    await server.run("and now?", thread_id=first["thread_id"])
    assert server.sandbox.calls == []
    assert [m["role"] for m in server.model.requests[1].messages] == ["user"]
