"""Runs in this very process: what the command line uses while no server holds the database."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import cast

from agent_server.cli.source import Stored
from agent_server.client import RunEvent
from agent_server.messages import text_message
from agent_server.runs import RunRequest
from agent_server.runtime import Runtime
from agent_server.wire.timing import Batches


@dataclass(frozen=True, slots=True)
class Local(Stored):
    """The runs of an opened runtime."""

    runtime: Runtime

    async def events(self, run_id: str, *, after: int = 0) -> AsyncGenerator[RunEvent, None]:
        """Yield a run's events, live ones too."""
        batches = cast("Batches", self.runtime.log.follow(run_id, after=after))
        async with aclosing(batches):
            async for batch in batches:
                for event in batch:
                    yield RunEvent(event.seq, event.type, event.json)

    async def start(self, prompt: str, *, agent: str, thread_id: str | None) -> str:
        """Start a run."""
        request = RunRequest([text_message("user", prompt)], agent=agent, thread_id=thread_id)
        created = await self.runtime.runs.start(request)
        return created.run_id

    async def cancel(self, run_id: str) -> None:
        """Stop a run."""
        await self.runtime.runs.cancel(run_id)
