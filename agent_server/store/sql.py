"""SqlStore: the store on SQLite. One writer with group commit, readers beside it."""

import os
import sqlite3
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import aiosqlite
import structlog

from agent_server.errors import StoreError
from agent_server.status import RunStatus
from agent_server.store import (
    Claim,
    Commit,
    Created,
    NewRun,
    PendingEvent,
    RunRow,
    ThreadRow,
    writes,
)
from agent_server.store.migrate import upgrade
from agent_server.store.sql_reads import SqlReads, open_connections
from agent_server.store.sqlite import database_path
from agent_server.store.writer import OnFatal, Writer

__all__ = ["SqlStore", "end_process", "open_sql_store"]

log = structlog.get_logger(__name__)


class SqlStore(SqlReads):
    """Keeps everything in one SQLite file. Use it as given by ``open_sql_store``."""

    def __init__(self, path: Path, connections: list[aiosqlite.Connection], writer: Writer) -> None:
        super().__init__(path, connections)
        self._writer = writer

    async def create_thread(self, thread: ThreadRow) -> None:
        """Insert a thread. Raises ``Conflict(code="thread_exists")`` for a taken external id."""
        await self._writer.write(partial(writes.create_thread, thread=thread))

    async def create_run(self, run: NewRun, events: Sequence[PendingEvent]) -> Created:
        """Insert the run and what belongs to it; see ``Store.create_run``."""
        created: Created = await self._writer.write(
            partial(writes.create_run, run=run, events=events),
            rows=len(events) + 3,
            size=_size(events),
        )
        return created

    async def claim_orphans(self) -> list[tuple[Claim, RunRow]]:
        """Take every run that a dead process left; see ``Store.claim_orphans``."""
        orphans: list[tuple[Claim, RunRow]] = await self._writer.write(
            partial(writes.claim_orphans, now=_now_us())
        )
        return orphans

    async def commit(self, commits: Sequence[Commit]) -> list[int]:
        """Write all ``commits`` in one transaction; see ``Store.commit``.

        One that the database refuses, which is a fault of ours, is logged and fenced.
        """
        outcomes = await self._writer.commit(commits)
        for index, outcome in enumerate(outcomes):
            if isinstance(outcome, Exception):
                run_id = commits[index].claim.run_id
                log.error("store.commit_refused", run_id=run_id, exc_info=outcome)
                outcomes[index] = 0
        return outcomes

    async def append_external(
        self, run_id: str, *, allowed: frozenset[RunStatus], events: Sequence[PendingEvent]
    ) -> int:
        """Append to a run one does not own; see ``Store.append_external``."""
        first: int = await self._writer.write(
            partial(writes.append_external, run_id=run_id, allowed=allowed, events=events),
            rows=len(events),
            size=_size(events),
        )
        return first

    async def delete_thread(self, tenant: str, thread_id: str) -> None:
        """Delete a thread, its runs and their events; see ``Store.delete_thread``."""
        await self._writer.write(
            partial(writes.delete_thread, tenant=tenant, thread_id=thread_id, now=_now_us())
        )

    async def is_writable(self) -> bool:
        """Whether a write would succeed now, by trying one that changes nothing."""
        try:
            await self._writer.write(writes.probe)
        except StoreError as error:
            log.warning("store.not_writable", reason=error.message)
            return False
        return True

    async def aclose(self) -> None:
        """Wait for what is queued, then close the writer. Idempotent."""
        await self._writer.aclose()


def end_process(error: StoreError) -> None:
    """End the process at once: nothing can be recorded, and what is on disk is enough to resume."""
    log.critical("store.writer_died", reason=error.message)
    os._exit(StoreError.exit_code)


@asynccontextmanager
async def open_sql_store(
    location: str | Path, *, on_fatal: OnFatal = end_process
) -> AsyncIterator[SqlStore]:
    """Open a database for this process alone, made or migrated as needed; hold its lock before.

    ``on_fatal`` is called in the event loop when the writer has died: no write succeeds any more.

    Raises:
        StoreError: the database cannot be opened, is locked, read-only or corrupt.
        SchemaMismatch: it is newer than this program, or no database of ours.
    """
    path = database_path(location)
    upgrade(path)
    writer = Writer(path, on_fatal=on_fatal)
    try:
        async with open_connections(path) as connections:
            store = SqlStore(path, connections, writer)
            log.info("store.opened", sqlite=sqlite3.sqlite_version)
            yield store
    finally:
        await writer.aclose()


def _size(events: Sequence[PendingEvent]) -> int:
    return sum(len(pending.data) for pending in events)


def _now_us() -> int:
    return time.time_ns() // 1000
