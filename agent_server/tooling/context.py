"""ToolContext: what a tool may know about the call it serves."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from agent_server.tooling.text import sanitize_text

__all__ = ["Report", "ToolContext"]

Report = Callable[[float, float | None, str | None], None]
"""Where ``progress`` goes: done, total, message."""

_MESSAGE_CHARS = 500


def _discard(_done: float, _total: float | None, _message: str | None) -> None:
    """Show progress to nobody: the default, for plain calls in unit tests."""


@dataclass(frozen=True, slots=True)
class ToolContext:
    """The call a tool serves. Ask for it by annotating a parameter; the model never sees it.

    ``deadline`` is in epoch seconds. ``idempotency_key`` is the same for every run of the same
    call, also after a crash. ``secrets`` holds only those the tool declared, and like ``report``,
    which the runner provides, it does not show in ``repr``.
    """

    run_id: str
    call_id: str
    deadline: float
    idempotency_key: str
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    report: Report = field(default=_discard, repr=False, compare=False)

    def progress(self, done: float, total: float | None = None, message: str | None = None) -> None:
        """Show how far the work is, such as ``progress(3, 10, "page 3")``.

        Raises:
            ValueError: a number is NaN or infinite.
        """
        if not math.isfinite(done) or (total is not None and not math.isfinite(total)):
            raise ValueError(f"progress takes finite numbers, not {done} of {total}")
        text = None if message is None else sanitize_text(message)[:_MESSAGE_CHARS]
        self.report(done, total, text)
