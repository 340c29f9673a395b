"""The agent loop: ask the model, run the tools it asks for, go on until it is done.

Read this file first. The loop emits events; the log numbers, records and publishes them. It knows
no HTTP, no provider and no database.
"""

import asyncio
from dataclasses import dataclass
from typing import Final

from agent_server.calls import ToolCalls
from agent_server.errors import ModelError
from agent_server.events import Emit, HistoryRepaired, IncompleteReason, TerminalEvent
from agent_server.messages import repair_history
from agent_server.model import ModelRequest
from agent_server.run_state import RunState
from agent_server.transcript import add_turn
from agent_server.turn import TurnRunner

MAX_PAUSES: Final = 10
INCOMPLETE: Final[dict[str | None, IncompleteReason]] = {
    "max_tokens": "max_tokens",
    "refusal": "refusal",
    "model_context_window_exceeded": "context_window",
}


@dataclass(frozen=True, slots=True)
class Finished:
    """The run has ended; ``event`` is its terminal event, on disk."""

    event: TerminalEvent


class AgentLoop:
    """Works a run to its end. Stateless: one instance serves every run."""

    def __init__(self, turns: TurnRunner, calls: ToolCalls) -> None:
        self._turns = turns
        self._calls = calls

    async def run(self, run: RunState, emit: Emit) -> Finished:
        """Work ``run`` until its terminal event is on disk.

        A cancelled caller leaves in ``run`` what is to be recorded of the work in hand.

        Raises:
            StoreError: an event could not be recorded; the run has no end yet.
        """
        try:
            async with asyncio.timeout(run.budget.remaining_s) as deadline:
                ending = await self._work(run, emit)
        except TimeoutError:
            if not deadline.expired():
                raise
            ending = run.incomplete("deadline")
        except ModelError as error:
            ending = run.failed(error)
        run.ended = True  # first: a cancel during the commit must not end it again
        await emit(*run.unfinished("The run has ended."), ending, raw=run.partial_raw)
        return Finished(ending)

    async def _work(self, run: RunState, emit: Emit) -> TerminalEvent:
        """Alternate turns and tool calls; return the event that ends the run."""
        pauses = 0
        await self._calls.resume(run, emit)
        while (reason := run.budget.exhausted()) is None:
            turn = await self._turns.run(run, await self._request(run, emit), emit)
            verdicts = self._calls.judge(run, turn.calls)
            add_turn(run.transcript, turn.completed)
            judged = [event for verdict in verdicts for event in verdict.events]
            await emit(turn.completed, *judged, raw=turn.raw)
            match turn.completed.stop_reason:
                case "tool_use" if verdicts:
                    if not run.budget.allows_calls(len(verdicts)):
                        return run.incomplete("max_tool_calls")
                    await self._calls.execute(run, verdicts, emit)
                case "end_turn" | "stop_sequence" | "tool_use" as stop_reason:
                    return run.completed(stop_reason)
                case "pause_turn" | "compaction" if pauses < MAX_PAUSES:
                    pauses += 1
                case stop_reason if stop_reason in INCOMPLETE:
                    return run.incomplete(INCOMPLETE[stop_reason])
                case stop_reason:
                    return run.failed(_unexpected(stop_reason))
        return run.incomplete(reason)

    @staticmethod
    async def _request(run: RunState, emit: Emit) -> ModelRequest:
        """Make the turn's request from a history that the provider accepts."""
        messages, repairs = repair_history(run.transcript.messages)
        if repairs:
            await emit(HistoryRepaired(repairs=repairs))
        run.transcript.messages = list(messages)  # the request keeps its own
        return ModelRequest(
            model=run.spec.model,
            max_tokens=run.budget.clamp_max_tokens(run.spec.max_tokens),
            messages=messages,
            system=run.spec.system,
            tools=run.spec.tools,
            params=run.spec.params,
        )


def _unexpected(stop_reason: str | None) -> ModelError:
    """A stop reason that this version does not know, or one pause too many: stop, ask nobody."""
    return ModelError(
        f"The model stopped for a reason this server cannot act on: {str(stop_reason)[:64]!r}.",
        code="provider_protocol",
        retryable=False,
    )
