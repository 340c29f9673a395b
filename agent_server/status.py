"""A run's status as one transition table. An illegal transition raises."""

from enum import StrEnum
from typing import Final

from agent_server.errors import IllegalTransition


class RunStatus(StrEnum):
    """Where a run is between creation and its one terminal event."""

    QUEUED = "queued"
    """Created or released; no owner."""
    RUNNING = "running"
    """An owner works on it."""
    WAITING = "waiting"
    """Parked until a person or a client answers; holds no memory."""
    COMPLETED = "completed"
    INCOMPLETE = "incomplete"
    """Ended at a limit, a refusal or a deadline, with what it had."""
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_terminal(self) -> bool:
        """Whether nothing follows."""
        return self in TERMINAL


TERMINAL: Final = frozenset(
    {RunStatus.COMPLETED, RunStatus.INCOMPLETE, RunStatus.FAILED, RunStatus.CANCELLED}
)

_Q, _R, _W = RunStatus.QUEUED, RunStatus.RUNNING, RunStatus.WAITING

TRANSITIONS: Final[dict[str, dict[RunStatus, RunStatus]]] = {
    "run.started": {_Q: _R},
    "run.resumed": {_Q: _R},
    "run.parked": {_R: _Q},
    "run.answered": {_W: _Q},
    "run.waiting": {_R: _W},
    "run.completed": {_R: RunStatus.COMPLETED},
    "run.incomplete": dict.fromkeys((_Q, _R, _W), RunStatus.INCOMPLETE),
    "run.failed": dict.fromkeys((_Q, _R, _W), RunStatus.FAILED),
    "run.cancelled": dict.fromkeys((_Q, _R, _W), RunStatus.CANCELLED),
}
"""What happens → from → to. ``run.parked`` (drain, crash) and ``run.answered`` are store writes
without an event of their own; the later ``run.resumed`` names the reason."""


def advance(status: RunStatus, happening: str) -> RunStatus:
    """Return the status after ``happening``; raise ``IllegalTransition`` where the table has none.

    A happening the table does not name (``text.delta`` …) leaves the status as it is, but nothing
    may follow a terminal status.
    """
    edges = TRANSITIONS.get(happening)
    if edges is None and not status.is_terminal:
        return status
    if edges is None or status not in edges:
        raise IllegalTransition(f"{happening} may not follow the status {status}")
    return edges[status]
