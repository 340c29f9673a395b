"""Runs straight from a database that no server holds. Nothing is written."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from agent_server.client import RunEvent
from agent_server.config import Settings
from agent_server.errors import NotFound
from agent_server.http.schemas import RunRecord, RunSummary
from agent_server.messages import JsonObject
from agent_server.store import RunFilter, Store
from agent_server.store.sql_reads import SqlReads, open_sql_reads

TENANT: Final = "default"


@dataclass(frozen=True, slots=True)
class Stored:
    """The runs of a database that no server holds. Reads only."""

    store: Store | SqlReads

    async def list_runs(self, *, limit: int, **where: Any) -> list[JsonObject]:
        """Return the newest runs that match."""
        matching = RunFilter(**where)
        rows = await self.store.list_runs(TENANT, matching, limit=limit, before=None)
        return [RunSummary.of(row).model_dump(mode="json") for row in rows]

    async def get_run(self, run_id: str) -> JsonObject:
        """Return a run's record."""
        row = await self.store.get_run(TENANT, run_id)
        turns, calls = await self.store.turns(run_id), await self.store.tool_calls(run_id)
        return RunRecord.of(row, turns=turns, calls=calls).model_dump(mode="json")

    async def events(self, run_id: str, *, after: int = 0) -> AsyncGenerator[RunEvent, None]:
        """Yield a run's recorded events."""
        await self.store.get_run(TENANT, run_id)
        while page := await self.store.read_events(run_id, after=after):
            for event in page:
                yield RunEvent(event.seq, event.type, event.json)
            after = page[-1].seq


@asynccontextmanager
async def open_stored(settings: Settings) -> AsyncIterator[Stored]:
    """Open the configured database for reading.

    Raises:
        NotFound: there is none.
        StoreError: it cannot be read, or has another schema than this program's.
    """
    if not settings.database.is_file():
        raise NotFound(f"there is no database at {settings.database}", code="database_not_found")
    async with open_sql_reads(settings.database) as store:
        yield Stored(store)
