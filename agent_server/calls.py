"""The tool calls of one turn: in parallel where the tools allow, results in the model's order."""

import asyncio
from collections.abc import Iterator, Sequence

from agent_server.attempt import ToolUse
from agent_server.dispatch import ToolDispatcher, Verdict
from agent_server.errors import AgentServerError
from agent_server.events import Emit, TerminalEvent, ToolResultCompleted, ToolResultFailed
from agent_server.messages import INTERRUPTED, JsonObject, text_of
from agent_server.run_state import RunState
from agent_server.task_group import open_task_group
from agent_server.transcript import tool_result_block

Result = ToolResultCompleted | ToolResultFailed


class ToolCalls:
    """Runs the calls that a turn asked for. Stateless: one instance serves every run."""

    def __init__(self, dispatcher: ToolDispatcher, *, parallel: int) -> None:
        self._dispatcher = dispatcher
        self._parallel = parallel

    def judge(self, run: RunState, calls: Sequence[ToolUse]) -> list[Verdict]:
        """Judge every call of a turn before any of them runs."""
        verdicts = [self._dispatcher.judge(run, call) for call in calls]
        run.calls = {verdict.call.call_id: None for verdict in verdicts if verdict.tool}
        run.done = []
        return verdicts

    async def execute(self, run: RunState, verdicts: Sequence[Verdict], emit: Emit) -> None:
        """Run the ready calls; add all results to the transcript as one user message."""
        run.budget.add_calls(len(verdicts))
        results: dict[str, JsonObject] = {}
        for verdict in verdicts:
            for event in verdict.events:
                if isinstance(event, ToolResultFailed):
                    results[event.call_id] = tool_result_block(event)
        for batch in _batches(verdicts):
            for result in await self._execute_together(run, batch, emit):
                results[result.call_id] = tool_result_block(result)
        run.transcript.add_user([results[verdict.call.call_id] for verdict in verdicts])
        run.transcript.open_calls = []

    async def resume(self, run: RunState, emit: Emit) -> None:
        """Settle the calls that a process which died left open.

        A call that had begun runs again only if its tool's effects allow it; otherwise the model
        is told that the outcome is unknown.
        """
        if not run.transcript.open_calls:
            return
        calls = [
            ToolUse(block["id"], block["name"], block["input"], raw="")
            for block in run.transcript.open_calls
        ]
        verdicts: list[Verdict] = []
        for verdict in self.judge(run, calls):
            failed = [e for e in verdict.events if isinstance(e, ToolResultFailed)]
            begun = verdict.call.call_id in run.begun
            if verdict.tool is not None and begun and verdict.tool.effects == "once":
                failed = [_interrupted(run, verdict.call)]
            if failed:
                run.calls.pop(verdict.call.call_id, None)
                await emit(*failed)
            verdicts.append(Verdict(verdict.call, list(failed), None if failed else verdict.tool))
        await self.execute(run, verdicts, emit)

    async def execute_alone(self, run: RunState, call: ToolUse, emit: Emit) -> TerminalEvent:
        """Work a run that is one direct tool call; return the event that ends it."""
        (verdict,) = self.judge(run, [call])
        await emit(*verdict.events)
        run.budget.add_calls(1)
        result: Result
        if verdict.tool is None:
            result = next(e for e in verdict.events if isinstance(e, ToolResultFailed))
        else:
            (result,) = await self._execute_together(run, [verdict], emit)
        if isinstance(result, ToolResultFailed):
            return run.failed(AgentServerError(result.message, code="tool_failed"))
        run.output = text_of(result.content)
        return run.completed(stop_reason=None)

    async def _execute_together(
        self, run: RunState, batch: Sequence[Verdict], emit: Emit
    ) -> list[Result]:
        slots = asyncio.Semaphore(self._parallel)
        results: list[Result] = []

        async def execute(verdict: Verdict) -> None:
            if verdict.tool is not None:
                async with slots:
                    results.append(
                        await self._dispatcher.execute(run, verdict.call, verdict.tool, emit)
                    )

        async with open_task_group() as group:
            for verdict in batch:
                group.create_task(execute(verdict))
        return results


def _batches(verdicts: Sequence[Verdict]) -> Iterator[list[Verdict]]:
    """Split the ready calls, in order, into those that may run together."""
    together: list[Verdict] = []
    for verdict in verdicts:
        if verdict.tool is None:
            continue
        if verdict.tool.parallel:
            together.append(verdict)
            continue
        if together:
            yield together
        together = []
        yield [verdict]
    if together:
        yield together


def _interrupted(run: RunState, call: ToolUse) -> ToolResultFailed:
    return ToolResultFailed(
        turn=run.turn or None,
        call_id=call.call_id,
        kind="interrupted",
        message=INTERRUPTED,
        retryable=False,
    )
