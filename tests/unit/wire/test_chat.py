import json
from typing import Any, get_args

import pytest

from agent_server.errors import ModelErrorCode
from agent_server.events import (
    AnyEvent,
    ErrorInfo,
    ModelRetried,
    RecordedEvent,
    RunCompleted,
    RunFailed,
    TextDelta,
    ThinkingDelta,
    ToolCallInputDelta,
    ToolCallOutput,
    ToolCallStarted,
    ToolResultCompleted,
    TurnRestarted,
    TurnStarted,
    Usage,
    encode_data,
)
from agent_server.wire.chat import DONE, FAILURES, ChatWire, explain


def record(event: AnyEvent, seq: int = 1) -> RecordedEvent:
    return RecordedEvent(
        run_id="run_1",
        thread_id="thread_1",
        seq=seq,
        ts=0,
        type=event.type,
        turn=event.turn,
        data=encode_data(event),
    )


def frames(wire: ChatWire, *events: AnyEvent) -> list[dict[str, Any]]:
    encoded = wire.encode([record(event) for event in events])
    lines = encoded.decode().split("\n\n")
    assert lines.pop() == ""
    assert all(line.startswith("data: ") for line in lines)
    return [json.loads(line.removeprefix("data: ")) for line in lines]


HELLO = TextDelta(turn=1, block="b1.1.0", delta="Hello")


def test_text_is_a_frame_with_its_delta() -> None:
    assert frames(ChatWire(), HELLO) == [
        {"type": "text.delta", "block": "b1.1.0", "delta": "Hello"}
    ]


def test_a_reader_that_appends_each_delta_has_the_answer() -> None:
    started = ToolCallStarted(
        turn=1, call_id="c1", name="word_count", block="b1.1.1", executor="server"
    )
    output = ToolCallOutput(turn=1, call_id="c1", stream="stdout", text="busy")
    result = ToolResultCompleted(turn=1, call_id="c1", content=[], output=3)
    thought = ThinkingDelta(turn=1, block="b", thinking="hm")
    end = RunCompleted(
        stop_reason="end_turn", output="Hello", usage=Usage(), cost_usd=None, duration_ms=1
    )
    seen = frames(ChatWire(), thought, HELLO, started, output, result, end)
    assert [frame["type"] for frame in seen] == [
        "thinking.delta",
        "text.delta",
        "tool_call.started",
        "tool_call.output",
        "tool_result.completed",
        "run.completed",
    ]
    assert "".join(frame["delta"] for frame in seen) == "Hello"


def test_what_a_chat_does_not_need_is_left_out() -> None:
    hidden = ToolCallInputDelta(turn=1, call_id="c1", partial_json="{")
    retried = ModelRetried(turn=1, attempt=1, reason="upstream_overloaded", delay_ms=5)
    assert ChatWire().encode([record(hidden), record(retried)]) == b""


def test_a_failed_run_is_an_error_frame_in_the_words_of_the_contract() -> None:
    error = ErrorInfo(code="upstream_timeout", message="secret upstream words", retryable=True)
    failed = RunFailed(error=error, usage=Usage(), cost_usd=None, duration_ms=1)
    assert frames(ChatWire(), HELLO, failed)[-1] == {
        "type": "error",
        "delta": "",
        "error": {
            "type": "timeout_error",
            "code": "upstream_timeout",
            "message": "Upstream model timed out",
            "retryable": True,
        },
    }


def test_a_turn_asked_again_after_text_was_shown_ends_the_chat_with_an_error() -> None:
    wire = ChatWire()
    restarted = TurnRestarted(turn=1, attempt=2, reason="stream_truncated")
    seen = frames(wire, HELLO, restarted, HELLO)
    assert [frame["type"] for frame in seen] == ["text.delta", "error"]
    assert wire.done


def test_a_turn_asked_again_before_it_showed_anything_goes_on() -> None:
    wire = ChatWire()
    restarted = TurnRestarted(turn=2, attempt=2, reason="upstream_overloaded")
    second = TurnStarted(turn=2, model="m", attempt=1)
    seen = frames(wire, HELLO, second, restarted, HELLO)
    assert [frame["type"] for frame in seen] == ["text.delta", "text.delta"]
    assert not wire.done


def test_the_last_line_is_done() -> None:
    assert ChatWire.tail == DONE == b"data: [DONE]\n\n"
    assert ChatWire.farewell.endswith(DONE)
    json.loads(ChatWire.farewell.split(b"\n\n")[0].removeprefix(b"data: "))


@pytest.mark.parametrize("code", get_args(ModelErrorCode))
def test_every_failure_of_the_provider_is_told_as_a_gateway_s(code: str) -> None:
    assert explain(code) is FAILURES[code]
    assert explain(code).status in {429, 502, 504}


def test_any_other_failure_is_ours() -> None:
    assert explain("internal_error").status == 500
    assert explain("internal_error").message == "Something went wrong"
