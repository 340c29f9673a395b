"""One open transaction of the writer: what a write may do to the database.

Event and attempt rows are collected and go in by ``flush``, many at a time.
"""

import sqlite3
import zlib
from collections.abc import Iterable, Sequence
from typing import Any, Final

from pydantic_core import to_json

from agent_server.events import RawAttempt
from agent_server.store import PendingEvent
from agent_server.store.fold import SILENT_TYPES, RowChange, fold
from agent_server.store.refs import DeltaMemory, write_refs
from agent_server.store.statements import INSERT_ATTEMPT, INSERT_EVENT, change_statement

ZLIB_LEVEL: Final = 1
"""Most of the gain for the least time: provider streams repeat themselves."""


class Transaction:
    """What writes use between BEGIN and COMMIT. Belongs to the writer's thread.

    ``live``: epoch and next seq of runs that this process owns, as far as remembered.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        memory: DeltaMemory,
        live: dict[str, tuple[int, int]] | None = None,
    ) -> None:
        self._connection = connection
        self._memory = memory
        self.live = {} if live is None else live
        self._events: list[tuple[Any, ...]] = []
        self._attempts: list[tuple[Any, ...]] = []
        self._touched: set[str] = set()

    def query(self, sql: str, parameters: Any = ()) -> list[Any]:
        """Run a statement; return its rows."""
        return self._connection.execute(sql, parameters).fetchall()

    def change_many(self, sql: str, parameters: Sequence[Sequence[Any]]) -> int:
        """Run a statement once for each item of ``parameters``; return how many rows it changed."""
        return self._connection.executemany(sql, parameters).rowcount

    def append(self, run_id: str, first: int, events: Sequence[PendingEvent]) -> bool:
        """Number ``events`` from ``first``; keep them and make what follows from them.

        Returns whether something follows: not from deltas.
        """
        self._touched.add(run_id)
        follows = False
        for seq, pending in enumerate(events, first):
            event = pending.event
            kind = event.type
            data, refs = self._memory.store(run_id, seq, event, pending.data)
            self._events.append(
                (run_id, seq, pending.ts, kind, event.turn, data.decode(), write_refs(refs))
            )
            if kind in SILENT_TYPES:
                continue
            follows = True
            for change in fold(run_id, seq, pending.ts, event):
                self.change(change)
        return follows

    def change(self, change: RowChange) -> None:
        """Change rows."""
        self._connection.execute(*change_statement(change))

    def keep_attempts(self, run_id: str, attempts: Iterable[RawAttempt]) -> None:
        """Keep the provider's bytes of some attempts."""
        for raw in attempts:
            self._attempts.append(
                (
                    run_id,
                    raw.turn,
                    raw.attempt,
                    raw.status,
                    raw.request_sha256,
                    to_json(raw.params).decode(),
                    zlib.compress(raw.response, ZLIB_LEVEL),
                    raw.upstream_request_id,
                    raw.error_code,
                    raw.started_at,
                    raw.finished_at,
                )
            )

    def forget(self, run_id: str) -> None:
        """Drop what is remembered of a run: it has another owner, or is gone."""
        self._memory.forget(run_id)
        self.live.pop(run_id, None)

    def flush(self) -> None:
        """Send the collected rows to the database."""
        if self._events:
            self._connection.executemany(INSERT_EVENT, self._events)
            self._events = []
        if self._attempts:
            self._connection.executemany(INSERT_ATTEMPT, self._attempts)
            self._attempts = []

    def discard(self) -> None:
        """Forget everything this transaction did: it was rolled back."""
        self._events, self._attempts = [], []
        for run_id in self._touched:
            self.forget(run_id)
        self._touched = set()
