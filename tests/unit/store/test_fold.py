import pytest

from agent_server.errors import IllegalTransition
from agent_server.events import (
    RunResumed,
    TextDelta,
    ToolCallRequested,
    ToolResultFailed,
    TurnRestarted,
)
from agent_server.status import RunStatus
from agent_server.store.fold import RowChange, fold, next_status
from agent_server.store.row_set import RowSet, new_row
from tests.unit.store.store_samples import USAGE, completed, tool_turn, turn_completed


def test_deltas_change_no_row() -> None:
    assert fold("run_1", 1, 1, TextDelta(turn=1, block="b1.1.0", delta="x")) == []


def test_the_terminal_event_ends_the_run_at_its_time_in_microseconds() -> None:
    run = fold("run_1", 9, 1_700_000_000_123, completed("x"))[0]
    assert (run.table, run.key) == ("runs", {"id": "run_1"})
    assert run.values["status"] == "completed"
    assert run.values["finished_at"] == 1_700_000_000_123_000
    assert {run.minimums[name] for name in ("input_tokens", "output_tokens")} == {3, 4}


def test_a_completed_turn_adds_its_usage_and_its_calls() -> None:
    asks = [event for event in tool_turn() if event.type == "turn.completed"]
    increments = fold("run_1", 4, 1, asks[0])[-1].increments
    assert increments == {"input_tokens": 3, "output_tokens": 4, "model_calls": 1, "tool_calls": 1}
    says = turn_completed([{"type": "text", "text": "x"}])
    assert "tool_calls" not in fold("run_1", 4, 1, says)[-1].increments
    assert USAGE.tool_calls == 0


def test_a_direct_call_counts_by_itself() -> None:
    asked = ToolCallRequested(call_id="call_1", name="add", input={})
    assert fold("run_1", 3, 1, asked)[-1].increments == {"tool_calls": 1}


def test_a_restarted_turn_drops_the_calls_it_had_begun() -> None:
    changes = fold("run_1", 5, 1, TurnRestarted(turn=2, attempt=3, reason="x"))
    assert RowChange("delete", "tool_calls", {"run_id": "run_1", "turn": 2}) in changes


def test_a_failure_of_a_rejected_call_leaves_it_rejected() -> None:
    rows = RowSet()
    call = {"run_id": "run_1", "call_id": "c", "state": "rejected", "attempt": 0}
    rows.add("tool_calls", new_row("tool_calls", call))
    rows.add("runs", new_row("runs", {"id": "run_1"}))
    failed = ToolResultFailed(call_id="c", kind="invalid_input", message="no", retryable=True)
    for change in fold("run_1", 7, 1, failed):
        rows.change(change)
    (row,) = rows.rows("tool_calls")
    assert (row["state"], row["kind"], row["result_seq"]) == ("rejected", "invalid_input", 7)


def test_a_claim_comes_before_the_event_that_tells_of_it() -> None:
    started = ["run.created", "run.started", "text.delta"]
    assert next_status(RunStatus.RUNNING, started) is RunStatus.RUNNING
    assert next_status(RunStatus.RUNNING, ["run.resumed"]) is RunStatus.RUNNING
    assert next_status(RunStatus.WAITING, ["run.cancelled"]) is RunStatus.CANCELLED
    assert RunResumed(reason="crash", attempt=2).type == "run.resumed"


@pytest.mark.parametrize(
    ("status", "types"),
    [
        (RunStatus.RUNNING, ["run.completed", "text.delta"]),
        (RunStatus.RUNNING, ["run.completed", "run.completed"]),
        (RunStatus.WAITING, ["run.completed"]),
        (RunStatus.FAILED, ["turn.started"]),
    ],
)
def test_an_illegal_order_is_refused(status: RunStatus, types: list[str]) -> None:
    with pytest.raises(IllegalTransition):
        next_status(status, types)
