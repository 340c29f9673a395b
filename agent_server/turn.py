"""One turn's attempts at the model: our retries, our watchdogs, the strict input gate.

A tool call leaves this module only if its ``content_block_stop`` and the stream's ``message_stop``
were seen, ``stop_reason`` is ``tool_use``, and its input parsed strictly (or says why it did not).
"""

import asyncio
import random
from dataclasses import dataclass, field, replace

from agent_server.attempt import Attempt, ToolUse
from agent_server.attempt_recorder import AttemptRecorder
from agent_server.errors import ModelError
from agent_server.events import (
    Emit,
    ModelRetried,
    RawAttempt,
    TurnCompleted,
    TurnRestarted,
    TurnStarted,
)
from agent_server.messages import text_of
from agent_server.model import MessageStart, Model, ModelRequest
from agent_server.run_state import RunState
from agent_server.watchdog import Patience, Watchdog


@dataclass(frozen=True, slots=True)
class TurnPolicy:
    """How long to wait for the provider, and how often and how soon to ask again."""

    patience: Patience = field(default_factory=Patience)
    attempts: int = 4
    retry_base_s: float = 0.5
    retry_cap_s: float = 60
    max_tokens_cap: int = 32_000


@dataclass(frozen=True, slots=True)
class Turn:
    """A finished turn: not yet recorded, so that its calls can be judged in the same commit."""

    completed: TurnCompleted
    calls: list[ToolUse]
    raw: RawAttempt


class TurnRunner:
    """Asks the model until a turn is complete, or says why it cannot be."""

    def __init__(self, model: Model, policy: TurnPolicy) -> None:
        self._model = model
        self._policy = policy

    async def run(self, run: RunState, request: ModelRequest, emit: Emit) -> Turn:
        """Work one turn to its end.

        Raises:
            ModelError: no attempt succeeded; the last one's error.
        """
        run.turn += 1
        number = run.attempts + 1
        if number == 1:
            await emit(TurnStarted(turn=run.turn, model=request.model, attempt=1))
        else:
            await emit(TurnRestarted(turn=run.turn, attempt=number, reason="crash"))
        run.attempts = 0
        last = number + self._policy.attempts - 1
        enlarged = False
        while True:
            attempt = Attempt(run.turn, number, run.call_ids, emit)
            recorder = AttemptRecorder(attempt, request)
            try:
                await self._read(run, attempt, request, recorder)
            except ModelError as error:
                run.budget.add(attempt.usage)
                delay_s = self._delay_s(error, number - last + self._policy.attempts, run)
                if number >= last or delay_s is None:
                    await emit(raw=recorder.raw("failed", error.code))
                    raise
                await self._announce_retry(emit, attempt, recorder, error=error, delay_s=delay_s)
                await asyncio.sleep(delay_s)
            else:
                larger = self._enlarge(attempt, request)
                if larger is None or enlarged:
                    return self._gate(run, attempt, recorder)
                request, enlarged, last = larger, True, last + 1
                run.budget.add(attempt.usage)
                await emit(
                    TurnRestarted(turn=run.turn, attempt=number + 1, reason="max_tokens"),
                    raw=recorder.raw("failed", "max_tokens"),
                )
            number += 1

    async def _read(
        self, run: RunState, attempt: Attempt, request: ModelRequest, recorder: AttemptRecorder
    ) -> None:
        """Read one response to its ``message_stop``; keep what a cancelled one had shown."""
        try:
            async with (
                Watchdog(self._policy.patience) as watchdog,
                self._model.stream(request) as stream,
            ):
                recorder.stream = stream
                async for item in stream:
                    if not isinstance(item, MessageStart):
                        watchdog.seen()
                    await attempt.take(item)
        except asyncio.CancelledError:
            partial = attempt.close_open_text()
            usage = run.budget.add(attempt.usage)
            completed = attempt.turn_completed(usage=usage, stop_reason="cancelled")
            run.output = text_of(attempt.content)
            run.partial = [*partial, completed]
            run.partial_raw = recorder.raw("cancelled", None)
            raise
        if not attempt.complete:
            raise ModelError(
                "The model provider's answer was cut off.", code="stream_truncated", retryable=True
            )

    def _gate(self, run: RunState, attempt: Attempt, recorder: AttemptRecorder) -> Turn:
        """Let the calls of a complete ``tool_use`` turn through, and no others."""
        usage = run.budget.add(attempt.usage)
        run.budget.turns += 1
        run.output = text_of(attempt.content)
        calls = attempt.calls if attempt.stop_reason == "tool_use" else []
        run.call_ids.update(call.call_id for call in attempt.calls)
        return Turn(
            completed=attempt.turn_completed(usage=usage, stop_reason=attempt.stop_reason),
            calls=calls,
            raw=recorder.raw("completed", None),
        )

    def _enlarge(self, attempt: Attempt, request: ModelRequest) -> ModelRequest | None:
        """The request with more room, for an answer that was cut inside a tool's input."""
        cut_call = attempt.stop_reason == "max_tokens" and attempt.asked_for_tools
        room = min(request.max_tokens * 2, self._policy.max_tokens_cap)
        if not cut_call or room <= request.max_tokens:
            return None
        return replace(request, max_tokens=room)

    def _delay_s(self, error: ModelError, tried: int, run: RunState) -> float | None:
        """How long to wait before the next attempt; None: do not try again."""
        if not error.retryable:
            return None
        policy = self._policy
        backoff_s = min(policy.retry_cap_s, policy.retry_base_s * 2 ** (tried - 1))
        delay_s = random.uniform(backoff_s / 2, backoff_s)  # noqa: S311 (jitter, not a secret)
        if error.retry_after_s is not None:
            if error.retry_after_s > policy.retry_cap_s:
                return None
            delay_s = max(delay_s, error.retry_after_s)
        remaining_s = run.budget.remaining_s
        return None if remaining_s is not None and delay_s >= remaining_s else delay_s

    @staticmethod
    async def _announce_retry(
        emit: Emit,
        attempt: Attempt,
        recorder: AttemptRecorder,
        *,
        error: ModelError,
        delay_s: float,
    ) -> None:
        retried = ModelRetried(
            turn=attempt.turn,
            attempt=attempt.number,
            reason=error.code,
            delay_ms=int(delay_s * 1000),
        )
        raw = recorder.raw("failed", error.code)
        if not attempt.showed_output:
            await emit(retried, raw=raw)
            return
        restarted = TurnRestarted(turn=attempt.turn, attempt=attempt.number + 1, reason=error.code)
        await emit(retried, restarted, raw=raw)
