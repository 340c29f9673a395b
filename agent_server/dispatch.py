"""One tool call: look up → validate → approve → sandbox → redact → result."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

import structlog

from agent_server.attempt import ToolUse
from agent_server.errors import NotFound
from agent_server.events import (
    AnyEvent,
    Emit,
    FailureKind,
    InputError,
    Isolation,
    ToolCallRejected,
    ToolCallRequested,
    ToolCallRunning,
    ToolResultCompleted,
    ToolResultFailed,
)
from agent_server.messages import JsonObject
from agent_server.redaction import Redactor
from agent_server.run_state import RunState
from agent_server.sandbox import CallRequest, Failed, Outcome, Sandbox
from agent_server.tool_output import ToolOutput
from agent_server.tooling.registry import ToolRegistry
from agent_server.tooling.spec import ToolSpec

RAW_CHARS: Final = 4096
"""How much of a refused input the event shows."""
MESSAGE_CHARS: Final = 500
"""How much of a tool's exception the model and clients see."""

log = structlog.get_logger(__name__)

Secrets = Callable[[Iterable[str]], Mapping[str, str]]
"""Looks up secrets by name; absent ones are left out."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a requested call: ``events`` to record, and the tool if it may run."""

    call: ToolUse
    events: list[AnyEvent]
    tool: ToolSpec | None


class ToolDispatcher:
    """Judges and runs tool calls. Stateless: one instance serves every run."""

    def __init__(
        self,
        registry: ToolRegistry,
        sandboxes: Mapping[Isolation, Sandbox],
        *,
        secrets: Secrets,
        redactor: Redactor,
        error_detail: Literal["message", "type"] = "message",
    ) -> None:
        self._registry = registry
        self._sandboxes = sandboxes
        self._secrets = secrets
        self._redactor = redactor
        self._error_detail = error_detail

    def judge(self, run: RunState, call: ToolUse) -> Verdict:
        """Say whether ``call`` may run; a refusal carries the failed result the model reads."""
        if call.name not in run.spec.versions:
            return self._refuse(run, call, "not_found", [_unknown_tool(run, call.name)])
        if call.error is not None:
            problem = InputError(path="", message=call.error)
            return self._refuse(run, call, "invalid_input", [problem])
        try:
            tool = self._registry.get(call.name)
        except NotFound as error:
            return self._refuse(
                run, call, "not_found", [InputError(path="", message=error.message)]
            )
        problems = self._registry.validate(call.name, call.input)
        if problems:
            errors = [InputError(path=p.path, message=p.message) for p in problems]
            return self._refuse(run, call, "invalid_input", errors)
        requested = ToolCallRequested(
            turn=run.turn or None, call_id=call.call_id, name=call.name, input=call.input
        )
        if tool.approval != "never":
            denied = _failed(run, call, "denied", f"The tool {tool.name!r} needs approval.")
            return Verdict(call, [requested, denied], tool=None)
        return Verdict(call, [requested], tool=tool)

    async def execute(
        self, run: RunState, call: ToolUse, tool: ToolSpec, emit: Emit
    ) -> ToolResultCompleted | ToolResultFailed:
        """Run a call that was judged ready; its result is on disk when this returns.

        Raises:
            StoreError: an event could not be recorded; the call is dead by then.
        """
        sandbox = self._sandboxes[tool.isolation]
        timeout_s = min(tool.timeout_s, run.budget.remaining_s or tool.timeout_s)
        await emit(
            ToolCallRunning(
                turn=run.turn or None,
                call_id=call.call_id,
                attempt=run.begun.get(call.call_id, 0) + 1,
                isolation=sandbox.isolation,
                limits=_limits(tool, timeout_s),
            )
        )
        run.calls[call.call_id] = sandbox.isolation
        secrets = self._secrets(tool.secrets)
        missing = [name for name in tool.secrets if name not in secrets]
        result: ToolResultCompleted | ToolResultFailed
        if missing:
            names = ", ".join(missing)
            result = _failed(run, call, "denied", f"The server holds no secret named {names}.")
        else:
            request = CallRequest(
                run_id=run.run_id,
                call_id=call.call_id,
                idempotency_key=f"{run.run_id}:{call.call_id}",
                timeout_s=timeout_s,
                secrets=dict(secrets),
            )
            show = ToolOutput(
                call_id=call.call_id, turn=run.turn or None, emit=emit, redactor=self._redactor
            )
            outcome = await sandbox.call(tool, call.input, request, show)
            await show.finish()
            result = self._result(run, call, outcome)
        run.answer(call.call_id)  # first: a cancel during the commit must not answer it again
        await emit(result)
        return result

    def _result(
        self, run: RunState, call: ToolUse, outcome: Outcome
    ) -> ToolResultCompleted | ToolResultFailed:
        if isinstance(outcome, Failed):
            return self._failure(run, call, outcome)
        return ToolResultCompleted(
            turn=run.turn or None,
            call_id=call.call_id,
            content=self._redactor.json(outcome.content),
            output=self._redactor.json(outcome.output),
            duration_ms=outcome.duration_ms,
            cpu_ms=outcome.cpu_ms,
            peak_rss_kb=outcome.peak_rss_kb,
            truncated=outcome.truncated,
        )

    def _failure(self, run: RunState, call: ToolUse, outcome: Failed) -> ToolResultFailed:
        if outcome.detail:
            log.warning(
                "tool.failed",
                run_id=run.run_id,
                call_id=call.call_id,
                tool=call.name,
                kind=outcome.kind,
                detail=self._redactor.text(outcome.detail),
            )
        message = self._redactor.text(outcome.message)
        if outcome.kind == "exception" and outcome.detail:
            message = message[:MESSAGE_CHARS]
            if self._error_detail == "type":
                message = message.partition(":")[0]
        return ToolResultFailed(
            turn=run.turn or None,
            call_id=call.call_id,
            kind=outcome.kind,
            message=message,
            retryable=outcome.retryable,
            duration_ms=outcome.duration_ms,
        )

    def _refuse(
        self, run: RunState, call: ToolUse, kind: FailureKind, errors: list[InputError]
    ) -> Verdict:
        told = "; ".join(f"{e.path or '/'}: {e.message}" if e.path else e.message for e in errors)
        rejected = ToolCallRejected(
            turn=run.turn or None,
            call_id=call.call_id,
            errors=errors,
            raw=self._redactor.text(call.raw[:RAW_CHARS]),
        )
        return Verdict(call, [rejected, _failed(run, call, kind, told)], tool=None)


def _failed(run: RunState, call: ToolUse, kind: FailureKind, message: str) -> ToolResultFailed:
    return ToolResultFailed(
        turn=run.turn or None,
        call_id=call.call_id,
        kind=kind,
        message=message,
        retryable=kind == "invalid_input",
    )


def _unknown_tool(run: RunState, name: str) -> InputError:
    known = ", ".join(run.spec.versions) or "none"
    return InputError(path="", message=f"No tool is named {name[:64]!r}. The tools are: {known}.")


def _limits(tool: ToolSpec, timeout_s: float) -> JsonObject:
    return {
        "timeout_s": timeout_s,
        "cpu_s": tool.cpu_s,
        "memory_mb": tool.memory_mb,
        "output_kb": tool.output_kb,
    }
