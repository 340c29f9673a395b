"""Runs in this very process: what the command line uses while no server holds the database."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import cast

from agent_server.cli.stored import Stored
from agent_server.client import RunEvent
from agent_server.config import Settings
from agent_server.messages import text_message
from agent_server.runs import RunRequest
from agent_server.runtime import Runtime, open_runtime
from agent_server.store.lock import lock_database
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


@asynccontextmanager
async def open_local(settings: Settings) -> AsyncIterator[Local]:
    """Be the one process that owns the database.

    Raises:
        StoreLocked: another one owns it.
        ConfigError, StoreError: as ``open_runtime``.
    """
    with lock_database(settings.database):
        async with open_runtime(settings) as runtime:
            try:
                yield Local(runtime.store, runtime)
            finally:
                # Runs that a dead server left were resumed too: they are not waited for.
                await runtime.runs.drain(0)
