import pytest

from agent_server.errors import IllegalTransition
from agent_server.events import TERMINAL_TYPES
from agent_server.status import TERMINAL, RunStatus, advance


def test_a_run_goes_from_queued_over_running_and_waiting_to_its_end() -> None:
    status = RunStatus.QUEUED
    for happening in ("run.started", "text.delta", "run.waiting", "run.answered", "run.resumed"):
        status = advance(status, happening)
    assert advance(status, "run.completed") is RunStatus.COMPLETED


@pytest.mark.parametrize("status", sorted(TERMINAL))
@pytest.mark.parametrize("happening", [*sorted(TERMINAL_TYPES), "run.started", "text.delta"])
def test_nothing_follows_a_terminal_status(status: RunStatus, happening: str) -> None:
    with pytest.raises(IllegalTransition):
        advance(status, happening)


@pytest.mark.parametrize("status", [RunStatus.QUEUED, RunStatus.WAITING])
def test_only_a_running_run_completes(status: RunStatus) -> None:
    with pytest.raises(IllegalTransition):
        advance(status, "run.completed")


@pytest.mark.parametrize("status", set(RunStatus) - TERMINAL)
def test_every_unfinished_run_can_be_cancelled(status: RunStatus) -> None:
    assert advance(status, "run.cancelled") is RunStatus.CANCELLED
