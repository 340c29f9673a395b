"""Reading the database while it is being written: aiosqlite, read-only, nothing held in between.

The page of events is the hot path: one plain statement, and no look at what is in the events.
"""

import itertools
import sqlite3
import zlib
from bisect import bisect_left, bisect_right
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from operator import itemgetter
from pathlib import Path
from typing import Any, Final

import aiosqlite
from pydantic_core import from_json

from agent_server.errors import NotFound
from agent_server.events import TERMINAL_TYPES, RecordedEvent
from agent_server.store import RunFilter, RunRow, ThreadRow, ToolCallRow, TurnRow
from agent_server.store.migrate import check_schema
from agent_server.store.refs import Interior, Ref, delta_interior, read_refs, splice
from agent_server.store.rows import (
    SELECT_ATTEMPT,
    SELECT_RUN,
    SELECT_THREAD,
    SELECT_TOOL_CALLS,
    SELECT_TURNS,
    read_run,
    read_thread,
    read_tool_calls,
    read_turns,
    select_runs,
    select_threads,
)
from agent_server.store.sqlite import BUSY_TIMEOUT_S, database_path, read_only_uri, store_error
from agent_server.store.tables import IS_HISTORY

__all__ = ["SqlReads", "open_connections", "open_sql_reads"]

CONNECTIONS: Final = 2
CHAIN_RUNS: Final = 10_000
"""How many runs a history may go back."""

_EVENT: Final = "e.run_id, r.thread_id, e.seq, e.ts, e.type, e.turn, CAST(e.data AS BLOB), e.refs"
_PAGE: Final = f"""
SELECT {_EVENT} FROM events AS e JOIN runs AS r ON r.id = e.run_id
WHERE e.run_id = ? AND e.seq > ? ORDER BY e.seq LIMIT ?"""  # noqa: S608 (constants)
_DELTAS: Final = """
SELECT seq, CAST(data AS BLOB) FROM events WHERE run_id = ? AND seq BETWEEN ? AND ?
AND type IN ('text.delta', 'thinking.delta') ORDER BY seq"""
_HISTORY: Final = f"""
WITH RECURSIVE chain (id, depth) AS (
  SELECT id, 0 FROM runs WHERE id = ?
  UNION ALL
  SELECT r.previous_run_id, depth + 1 FROM chain JOIN runs AS r ON r.id = chain.id
  WHERE r.previous_run_id IS NOT NULL AND depth < {CHAIN_RUNS}
)
SELECT {_EVENT} FROM chain JOIN runs AS r ON r.id = chain.id
CROSS JOIN events AS e INDEXED BY ix_events_history
WHERE e.run_id = chain.id AND ({IS_HISTORY}) ORDER BY chain.depth DESC, e.seq
"""  # noqa: S608 (constants)
_END: Final = f"""
SELECT {_EVENT} FROM runs AS r JOIN events AS e ON e.run_id = r.id AND e.seq = r.next_seq - 1
WHERE r.id = ?"""  # noqa: S608 (constants)


class SqlReads:
    """The reading half of the store, over connections that cannot write."""

    def __init__(self, path: Path, connections: list[aiosqlite.Connection]) -> None:
        self._path = path
        self._turns = itertools.cycle(connections)

    async def read_events(
        self, run_id: str, *, after: int = 0, limit: int = 500
    ) -> list[RecordedEvent]:
        """Return up to ``limit`` events with ``seq > after``, byte-identical to the live ones."""
        return await self._record(
            await self._query(_PAGE, (run_id, after, limit)), consecutive=True
        )

    async def history(self, run_id: str) -> list[RecordedEvent]:
        """Return the events a transcript is made of; see ``Store.history``."""
        return await self._record(await self._query(_HISTORY, (run_id,)))

    async def get_run(self, tenant: str, run_id: str) -> RunRow:
        """Return a run with its output. Raises ``NotFound(code="run_not_found")``."""
        found = [read_run(row) for row in await self._query(SELECT_RUN, {"run_id": run_id})]
        if not found or found[0].tenant != tenant:
            raise NotFound("There is no such run.", code="run_not_found")
        run = found[0]
        if not run.status.is_terminal:
            return run
        for end in await self._record(await self._query(_END, (run_id,))):
            return with_output(run, end)
        return run

    async def list_runs(
        self, tenant: str, where: RunFilter, *, limit: int, before: str | None
    ) -> list[RunRow]:
        """Return runs, newest first, with ids below ``before``."""
        rows = await self._query(*select_runs(tenant, where, limit=limit, before=before))
        return [read_run(row) for row in rows]

    async def turns(self, run_id: str) -> list[TurnRow]:
        """Return a run's turns in order."""
        return read_turns(await self._query(SELECT_TURNS, {"run_id": run_id}))

    async def tool_calls(self, run_id: str) -> list[ToolCallRow]:
        """Return a run's tool calls in order of turn and ordinal."""
        return read_tool_calls(await self._query(SELECT_TOOL_CALLS, {"run_id": run_id}))

    async def attempt_raw(self, run_id: str, turn: int, attempt: int) -> bytes:
        """Return the provider's bytes of one attempt. Raises ``NotFound``."""
        rows = await self._query(
            SELECT_ATTEMPT, {"run_id": run_id, "turn": turn, "attempt": attempt}
        )
        for (response,) in rows:
            return zlib.decompress(response)
        raise NotFound("There is no such attempt.", code="attempt_not_found")

    async def get_thread(self, tenant: str, thread_id: str) -> ThreadRow:
        """Return a thread by id or external id. Raises ``NotFound(code="thread_not_found")``."""
        for row in await self._query(SELECT_THREAD, {"tenant": tenant, "thread_id": thread_id}):
            return read_thread(row)
        raise NotFound("There is no such thread.", code="thread_not_found")

    async def list_threads(self, tenant: str, *, limit: int, before: str | None) -> list[ThreadRow]:
        """Return threads, newest first, without those of direct tool calls."""
        rows = await self._query(*select_threads(tenant, limit=limit, before=before))
        return [read_thread(row) for row in rows]

    async def _query(self, sql: str, parameters: Any) -> list[Any]:
        try:
            return list(await next(self._turns).execute_fetchall(sql, parameters))
        except OverflowError:  # a number beyond 64 bits matches nothing
            return []
        except sqlite3.Error as error:
            raise store_error(error, self._path) from error

    async def _record(self, rows: list[Any], *, consecutive: bool = False) -> list[RecordedEvent]:
        """Make events of rows, with the values put back that are kept by reference.

        ``consecutive``: the rows are events of one run without holes, deltas included.
        """
        wanted: dict[str, list[Ref]] = {}
        for row in rows:
            if row[7] is not None:
                wanted.setdefault(row[0], []).extend(read_refs(row[7]))
        if not wanted:
            return [RecordedEvent(*row[:7]) for row in rows]
        interiors = {
            run_id: await self._interiors(run_id, refs, rows if consecutive else [])
            for run_id, refs in wanted.items()
        }
        return [
            record(row, None if row[7] is None else interiors[row[0]].__getitem__) for row in rows
        ]

    async def _interiors(
        self, run_id: str, refs: Iterable[Ref], page: list[Any]
    ) -> dict[Ref, bytes]:
        """Find what references stand for: on the page where it reaches back so far, or on disk."""
        start = page[0][2] if page else None
        elsewhere = [ref for ref in refs if start is None or ref.first < start]
        deltas: list[Any] = []
        if elsewhere:
            first = min(ref.first for ref in elsewhere)
            last = max(ref.last for ref in elsewhere)
            deltas = await self._query(_DELTAS, (run_id, first, last))
        on_page = [(row[2], row[6]) for row in page]
        return {
            ref: join_interiors(deltas if start is None or ref.first < start else on_page, ref)
            for ref in set(refs)
        }


def join_interiors(events: Sequence[tuple[int, bytes]], ref: Ref) -> bytes:
    """Join what the deltas that ``ref`` names say; ``events`` are seqs and data, in order."""
    start = bisect_left(events, ref.first, key=itemgetter(0))
    end = bisect_right(events, ref.last, key=itemgetter(0))
    return b"".join(delta_interior(data, ref.block) or b"" for _seq, data in events[start:end])


def record(row: Any, interior: Interior | None) -> RecordedEvent:
    """Make the event of a row; ``interior`` where it keeps values by reference."""
    run_id, thread_id, seq, ts, kind, turn, data, refs = row
    if interior is not None:
        data = splice(data, read_refs(refs), interior)
    return RecordedEvent(run_id, thread_id, seq, ts, kind, turn, data)


def with_output(run: RunRow, end: RecordedEvent) -> RunRow:
    """Return ``run`` with the output that its terminal event carries."""
    output = from_json(end.data).get("output") if end.type in TERMINAL_TYPES else None
    return replace(run, output=output)


@asynccontextmanager
async def open_connections(path: Path) -> AsyncIterator[list[aiosqlite.Connection]]:
    """Open read-only connections.

    Raises:
        StoreError: the database cannot be opened.
    """
    async with AsyncExitStack() as stack:
        connections: list[aiosqlite.Connection] = []
        for _ in range(CONNECTIONS):
            try:
                connection = await stack.enter_async_context(
                    aiosqlite.connect(
                        read_only_uri(path), uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None
                    )
                )
                await connection.execute_fetchall("PRAGMA cache_size = -16384")
            except sqlite3.Error as error:
                raise store_error(error, path) from error
            connections.append(connection)
        yield connections


@asynccontextmanager
async def open_sql_reads(location: str | Path) -> AsyncIterator[SqlReads]:
    """Open a database only for reading, whether or not a server is writing to it.

    Raises:
        StoreError: there is no such database, or it cannot be read.
        SchemaMismatch: its schema is not this program's.
    """
    path = database_path(location)
    check_schema(path)
    async with open_connections(path) as connections:
        yield SqlReads(path, connections)
