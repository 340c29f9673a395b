import asyncio

import pytest

from agent_server.config import ModelSettings
from agent_server.errors import ModelError, ModelErrorCode
from agent_server.model.scripted import Turn, call, error, fail, stall, text
from tests.interaction.harness import LIMIT_S, Serve, make_settings


def failure(
    code: ModelErrorCode = "upstream_overloaded",
    *,
    retryable: bool = True,
    retry_after_s: float | None = None,
) -> Turn:
    return fail(
        ModelError("It failed.", code=code, retryable=retryable, retry_after_s=retry_after_s)
    )


async def test_a_failed_attempt_is_retried_and_each_retry_is_an_event(serve: Serve) -> None:
    server = await serve(failure(), failure("upstream_unavailable"), "here")
    record = await server.run()
    assert (record["status"], record["output"]) == ("completed", "here")
    events = await server.events(record["id"])
    retried = [event for event in events if event["type"] == "model.retried"]
    assert [event["reason"] for event in retried] == ["upstream_overloaded", "upstream_unavailable"]
    assert "turn.restarted" not in [event["type"] for event in events]


async def test_output_that_a_failed_attempt_showed_is_taken_back(serve: Serve) -> None:
    server = await serve([text("Hel"), error()], "Hello")
    record = await server.run()
    assert record["output"] == "Hello"
    events = await server.events(record["id"])
    shown = [event["type"] for event in events]
    assert shown.index("turn.restarted") > shown.index("text.delta")
    blocks = [event["block"] for event in events if event["type"] == "text.completed"]
    assert blocks[-1] == "b1.2.0"


@pytest.mark.parametrize(
    ("turn", "code"),
    [
        (Turn((text("a"),), ends=False), "stream_truncated"),
        (Turn((text("abc"), call("word_count", {"text": "x"})), cut_at=400), "stream_truncated"),
        (Turn((), starts=False, ends=False), "stream_truncated"),
        (Turn((call("gate", call_id="c"), call("gate", call_id="c"))), "provider_protocol"),
    ],
)
async def test_a_broken_stream_fails_the_attempt_and_runs_no_tool(
    serve: Serve, turn: Turn, code: str
) -> None:
    server = await serve(turn, "fine")
    record = await server.run()
    assert record["status"] == "completed"
    events = await server.events(record["id"])
    assert [e["reason"] for e in events if e["type"] == "model.retried"] == [code]
    assert server.sandbox.calls == []


async def test_a_call_id_used_in_an_earlier_turn_fails_the_attempt(serve: Serve) -> None:
    again = [call("word_count", {"text": "x"}, call_id="same")]
    server = await serve(again, again, "done")
    record = await server.run()
    events = await server.events(record["id"])
    assert [e["reason"] for e in events if e["type"] == "model.retried"] == ["provider_protocol"]
    assert server.sandbox.calls == ["word_count"]
    assert record["output"] == "done"


async def test_what_cannot_help_is_not_retried(serve: Serve) -> None:
    server = await serve(failure("upstream_spend_limit", retryable=False), "never asked")
    record = await server.run()
    assert record["status"] == "failed"
    assert record["error"]["code"] == "upstream_spend_limit"
    assert len(server.model.requests) == 1


async def test_attempts_are_counted_and_the_last_failure_is_the_runs(serve: Serve) -> None:
    settings = make_settings(model=ModelSettings(retry_attempts=3, retry_base_s=0.001))
    server = await serve(*[failure()] * 5, settings=settings)
    record = await server.run()
    assert record["error"]["code"] == "upstream_overloaded"
    assert len(server.model.requests) == 3


async def test_a_retry_after_beyond_the_cap_is_not_waited_for(serve: Serve) -> None:
    server = await serve(failure(retry_after_s=3600), "never asked")
    record = await server.run()
    assert record["status"] == "failed"
    assert len(server.model.requests) == 1


@pytest.mark.parametrize("parts", [[stall()], [text("a"), stall()]])
async def test_a_silent_provider_is_left_by_the_watchdog(serve: Serve, parts: list) -> None:  # type: ignore[type-arg]  # parts of a script
    settings = make_settings(
        model=ModelSettings(first_content_s=0.02, silence_s=0.02, retry_base_s=0.001)
    )
    server = await serve(parts, "here", settings=settings)
    async with asyncio.timeout(LIMIT_S):
        record = await server.run()
    assert record["output"] == "here"
    events = await server.events(record["id"])
    assert [e["reason"] for e in events if e["type"] == "model.retried"] == ["upstream_timeout"]
