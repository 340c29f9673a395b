"""From what a child said, or how it ended without a word, to the call's outcome."""

import os
import signal
from dataclasses import dataclass
from typing import Final

from agent_server.events import FailureKind
from agent_server.sandbox import Failed, Outcome, Returned
from agent_server.sandbox.child_process import Child, Ended
from agent_server.sandbox.protocol import ErrorFrame, ResultFrame
from agent_server.tooling.spec import ToolSpec

_LOST: Final = "The tool's process was lost through no fault of the tool; trying again may help."


@dataclass(frozen=True, slots=True)
class Stopped:
    """Why the server stopped a call that had not ended."""

    kind: FailureKind
    message: str
    retryable: bool = False


Verdict = ResultFrame | ErrorFrame | Stopped
"""What is known of a call before its process is buried."""


def conclude(verdict: Verdict | None, child: Child, *, tool: ToolSpec, duration_ms: int) -> Outcome:
    """Return the outcome; without a verdict, how the process ended tells."""
    ended = child.ended.result() if child.ended.done() else None
    told = verdict if isinstance(verdict, (ResultFrame, ErrorFrame)) else None
    usage = ended or told
    cpu_ms = usage.cpu_ms if usage else None
    peak_rss_kb = usage.peak_rss_kb if usage else None
    if isinstance(verdict, ResultFrame):
        return Returned(
            content=verdict.content,
            output=verdict.output,
            duration_ms=duration_ms,
            cpu_ms=cpu_ms,
            peak_rss_kb=peak_rss_kb,
            truncated=verdict.truncated,
        )
    if verdict is None:
        verdict = _unavailable(child) if ended is None else _judge(ended, tool)
    return Failed(
        kind=verdict.kind,
        message=verdict.message,
        retryable=verdict.retryable,
        duration_ms=duration_ms,
        cpu_ms=cpu_ms,
        peak_rss_kb=peak_rss_kb,
        detail=verdict.detail if isinstance(verdict, ErrorFrame) else None,
    )


def unavailable(message: str, *, duration_ms: int) -> Failed:
    """The outcome of a call that no process could be had for."""
    return Failed(
        kind="sandbox_unavailable", message=message, retryable=True, duration_ms=duration_ms
    )


def timed_out(timeout_s: float) -> Stopped:
    """The verdict on a call that was not done in time; another try may be."""
    message = f"The tool did not finish within {timeout_s:g} s."
    return Stopped("timeout", message, retryable=True)


def _unavailable(child: Child) -> Stopped:
    message = f"No process can be had: {child.refused}." if child.refused else _LOST
    return Stopped("sandbox_unavailable", message, retryable=True)


def _judge(ended: Ended, tool: ToolSpec) -> Stopped:
    code = os.waitstatus_to_exitcode(ended.status)
    if code >= 0:
        return Stopped("crashed", f"The tool ended its process with status {code}.")
    number = -code
    # At the soft limit comes SIGXCPU, which a tool may ignore; a second later comes SIGKILL.
    out_of_time = number == signal.SIGKILL and ended.cpu_ms >= tool.cpu_s * 1000
    if number == signal.SIGXCPU or out_of_time:
        return Stopped("cpu", f"The tool used more than its {tool.cpu_s:g} s of processor time.")
    if number == signal.SIGSYS:
        return Stopped("syscall", "The tool made a system call that the sandbox forbids.")
    return Stopped("crashed", f"The tool's process was ended by {_signal_name(number)}.")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return f"signal {number}"
