"""How a run looks in a terminal."""

import io
from typing import Any

import pytest
from rich.console import Console

from agent_server.cli.view import RunView
from agent_server.messages import JsonObject

USAGE: JsonObject = {
    "input_tokens": 1234,
    "output_tokens": 56,
    "model_calls": 2,
    "tool_calls": 1,
}


def event(kind: str, /, **fields: Any) -> JsonObject:
    return {"type": kind, "run_id": "run_1", "turn": 1, **fields}


def ending(kind: str, **fields: Any) -> JsonObject:
    return event(kind, usage=USAGE, cost_usd=None, duration_ms=1500, **fields)


def show(*events: JsonObject, terminal: bool = False) -> str:
    out = io.StringIO()
    console = Console(
        file=out, force_terminal=terminal, width=100, color_system=None, legacy_windows=False
    )
    with RunView(console) as view:
        for shown in events:
            view.show(shown)
    return out.getvalue()


CALL = (
    event("tool_call.started", call_id="c1", name="calculator", block="b1.1.1", executor="server"),
    event("tool_call.requested", call_id="c1", name="calculator", input={"expression": "2*3"}),
    event("tool_call.running", call_id="c1", attempt=1, isolation="process", limits={}),
)


def test_text_comes_as_it_is_and_markup_in_it_is_only_text() -> None:
    shown = show(
        event("text.delta", block="b", delta="Hello [bold]wor"),
        event("text.delta", block="b", delta="ld[/bold] :smile:"),
        event("text.completed", block="b", text="x", citations=[]),
    )
    assert shown == "Hello [bold]world[/bold] :smile:\n"


def test_a_call_becomes_one_line_with_arguments_result_and_duration() -> None:
    result = event(
        "tool_result.completed",
        call_id="c1",
        content=[{"type": "text", "text": "6"}],
        output=6,
        duration_ms=12,
    )
    assert show(*CALL, result) == '✓ calculator(expression="2*3") → 6  12 ms\n'


def test_a_failed_call_says_its_kind_and_message() -> None:
    failed = event(
        "tool_result.failed", call_id="c1", kind="timeout", message="too slow", duration_ms=None
    )
    assert show(*CALL, failed) == '✗ calculator(expression="2*3") → timeout: too slow\n'


def test_content_blocks_other_than_text_are_named() -> None:
    result = event(
        "tool_result.completed",
        call_id="c1",
        content=[{"type": "text", "text": "a chart"}, {"type": "image", "source": {}}],
        output=None,
        duration_ms=3,
    )
    assert "→ a chart [image]" in show(*CALL, result)


def test_what_a_tool_prints_is_shown_line_by_line() -> None:
    output = event("tool_call.output", call_id="c1", stream="stdout", text="one\ntwo\n")
    assert show(*CALL, output) == "  │ one\n  │ two\n"


def test_running_calls_have_spinners_on_a_terminal_and_leave_their_result_line() -> None:
    progress = event("tool_call.progress", call_id="c1", progress=1, total=4, message="a quarter")
    result = event("tool_result.completed", call_id="c1", content=[], output="ok", duration_ms=9)
    shown = show(
        event("text.delta", block="b", delta="Let me"), *CALL, progress, result, terminal=True
    )
    assert "Let me\n" in shown
    assert '✓ calculator(expression="2*3") → "ok"  9 ms' in shown


def test_long_arguments_and_results_are_cut_to_one_line() -> None:
    requested = event("tool_call.requested", call_id="c1", name="t", input={"text": "x" * 900})
    result = event(
        "tool_result.completed", call_id="c1", content=[], output="y\n" * 900, duration_ms=1
    )
    shown = show(requested, result)
    assert shown.count("\n") == 1
    assert len(shown) < 200


@pytest.mark.parametrize(
    ("terminal_event", "line"),
    [
        (ending("run.completed", stop_reason="end_turn", output="x"), "completed  1,234 in"),
        (ending("run.incomplete", reason="max_turns"), "incomplete: max_turns  1,234 in"),
        (ending("run.cancelled", by="user", calls=[]), "cancelled: by user  1,234 in"),
        (ending("run.failed", error={"code": "x", "message": "No."}), "failed: No.  1,234 in"),
    ],
)
def test_the_last_line_says_how_it_ended_and_what_it_took(
    terminal_event: JsonObject, line: str
) -> None:
    shown = show(terminal_event)
    assert shown.startswith(line)
    assert shown.endswith(", 56 out · 2 model calls · 1 tool call · 1.5 s · run_1\n")


def test_a_known_cost_is_shown() -> None:
    priced = {**ending("run.completed", stop_reason=None, output=""), "cost_usd": 0.0123}
    assert "· $0.0123 ·" in show(priced)


def test_retries_and_waiting_are_noted_and_unknown_events_show_nothing() -> None:
    shown = show(
        event("model.retried", attempt=1, reason="upstream_overloaded", delay_ms=5),
        event("run.waiting", reason="approval", approvals=["apr_1"]),
        event("something.new", call_id="c9"),
        event("something.else"),
    )
    assert shown == "  (asked again: upstream_overloaded)\n  (waiting for: approval)\n"
