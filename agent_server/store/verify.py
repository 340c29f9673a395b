"""Proving a database: what the product promises of its records, checked over every run.

Reads only, run by run, so a database larger than memory can be checked while a server writes it.
"""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from agent_server.errors import StoreError
from agent_server.events import TERMINAL_TYPES, AnyEvent, RecordedEvent
from agent_server.status import RunStatus
from agent_server.store.fold import USAGE_COLUMNS, fold
from agent_server.store.migrate import check_schema
from agent_server.store.row_set import Row, RowSet
from agent_server.store.sql_reads import join_interiors, record
from agent_server.store.sqlite import connect_reader, database_path, store_error
from agent_server.store.tool_answers import find_unanswered

__all__ = ["Finding", "verify"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as promised. ``run_id`` is None where it concerns the whole file."""

    run_id: str | None
    check: str
    message: str


_DERIVED: Final = {
    "stop_reason": None,
    "incomplete_reason": None,
    "error": None,
    "cancelled_by": None,
    "cost_usd": None,
    "started_at": None,
    "finished_at": None,
    **dict.fromkeys(USAGE_COLUMNS, 0),
}
"""The columns of ``runs`` that events decide, as they are before the first event."""

_EVENTS: Final = """
SELECT e.run_id, r.thread_id, e.seq, e.ts, e.type, e.turn, CAST(e.data AS BLOB), e.refs
FROM events AS e JOIN runs AS r ON r.id = e.run_id WHERE e.run_id = ? ORDER BY e.seq"""
_CYCLES: Final = """
WITH RECURSIVE chain (start, id, depth) AS (
  SELECT id, previous_run_id, 1 FROM runs WHERE previous_run_id IS NOT NULL
  UNION
  SELECT start, r.previous_run_id, depth + 1 FROM chain JOIN runs AS r ON r.id = chain.id
  WHERE r.previous_run_id IS NOT NULL AND chain.id <> start AND depth < 10000
)
SELECT DISTINCT start FROM chain WHERE id = start"""
_DANGLING: Final = """
SELECT id, previous_run_id FROM runs AS r WHERE previous_run_id IS NOT NULL
AND NOT EXISTS (SELECT 1 FROM runs WHERE id = r.previous_run_id)"""
_SPECS: Final = "SELECT sha256, CAST(spec AS BLOB) FROM specs"


def verify(location: str | Path) -> list[Finding]:
    """Check a whole database; return what is wrong with it, nothing if all is as promised.

    Raises:
        SchemaMismatch: the database is not ours, or of another version.
        StoreError: it cannot be read at all.
    """
    path = database_path(location)
    check_schema(path)
    with closing(connect_reader(path)) as connection:
        connection.execute("BEGIN")  # one snapshot, however much is written meanwhile
        try:
            return [
                *_check_file(connection),
                *_check_specs(connection),
                *_check_chains(connection),
                *_check_runs(connection),
            ]
        except sqlite3.DatabaseError as error:
            return [Finding(None, "integrity", store_error(error, path).message)]


def _check_file(connection: sqlite3.Connection) -> Iterator[Finding]:
    for (problem,) in connection.execute("PRAGMA integrity_check(20)"):
        if problem != "ok":
            yield Finding(None, "integrity", problem)
    for table, _rowid, parent, _key in connection.execute("PRAGMA foreign_key_check"):
        yield Finding(None, "foreign_keys", f"a row of {table} names no row of {parent}")


def _check_specs(connection: sqlite3.Connection) -> Iterator[Finding]:
    """A spec is what its hash says; that every run has one is a foreign key's to say."""
    for name, spec in connection.execute(_SPECS):
        if sha256(spec).hexdigest() != name:
            yield Finding(None, "specs", f"the spec {name} is not what its hash says")


def _check_chains(connection: sqlite3.Connection) -> Iterator[Finding]:
    for (run_id,) in connection.execute(_CYCLES):
        yield Finding(run_id, "history", "the run is its own predecessor")
    for run_id, previous in connection.execute(_DANGLING):
        yield Finding(run_id, "history", f"the previous run {previous} is missing")


def _check_runs(connection: sqlite3.Connection) -> Iterator[Finding]:
    run_ids = [run_id for (run_id,) in connection.execute("SELECT id FROM runs ORDER BY id")]
    for run_id in run_ids:
        yield from _check_run(connection, run_id)


def _check_run(connection: sqlite3.Connection, run_id: str) -> Iterator[Finding]:
    """Check one run: its events, then that its rows follow from them."""
    run = _select(connection, "runs", "id", run_id)[0]
    events: list[tuple[RecordedEvent, AnyEvent]] = []
    rows = connection.execute(_EVENTS, (run_id,)).fetchall()
    for row in rows:
        try:
            recorded = record(row, None if row[7] is None else _finder(rows))
            events.append((recorded, recorded.parse()))
        except (StoreError, ValidationError, UnicodeDecodeError) as error:
            first_line = str(error).partition("\n")[0]
            yield Finding(run_id, "events", f"event {row[2]} cannot be read: {first_line}")
    for check in (_check_numbers, _check_end):
        for message in check(run, [(row[2], row[4]) for row in rows]):
            yield Finding(run_id, check.__name__.removeprefix("_check_"), message)
    if len(events) == len(rows):
        for message in _check_rows(connection, run, events):
            yield Finding(run_id, "rows", message)
        for message in find_unanswered(run["kind"], [event for _recorded, event in events]):
            yield Finding(run_id, "history", message)


def _finder(rows: list[Any]) -> Callable[[Any], bytes]:
    """Make what finds the deltas that a reference names, among all events of the run."""
    data = [(row[2], row[6]) for row in rows]
    return lambda ref: join_interiors(data, ref)


def _check_numbers(run: Row, events: list[tuple[int, str]]) -> Iterator[str]:
    """Numbers count from 1 without gaps; where deltas were pruned, gaps are allowed inside."""
    seqs = [seq for seq, _type in events]
    last = run["next_seq"] - 1
    if run["deltas_pruned_at"] is not None and seqs[:1] == [1] and seqs[-1] == last:
        return
    if seqs != list(range(1, last + 1)):
        yield f"the events are not numbered 1 to {last}: {_describe_gaps(seqs, last)}"


def _describe_gaps(seqs: list[int], last: int) -> str:
    missing = sorted(set(range(1, last + 1)) - set(seqs))[:5]
    beyond = [seq for seq in seqs if not 1 <= seq <= last][:5]
    return f"missing {missing}, beyond {beyond}"


def _check_end(run: Row, events: list[tuple[int, str]]) -> Iterator[str]:
    """A run that has ended has one terminal event, the last; another has none."""
    terminal = [seq for seq, kind in events if kind in TERMINAL_TYPES]
    ended = RunStatus(run["status"]).is_terminal
    if ended and len(terminal) != 1:
        yield f"the run has ended with {len(terminal)} terminal events"
    if not ended and terminal:
        yield f"the run is {run['status']} but has the terminal event {terminal[0]}"
    if terminal and terminal[0] != events[-1][0]:
        yield f"events follow the terminal event {terminal[0]}"


def _check_rows(
    connection: sqlite3.Connection, run: Row, events: list[tuple[RecordedEvent, AnyEvent]]
) -> Iterator[str]:
    """The rows are what folding the events gives."""
    expected = RowSet()
    expected_run: Row = {**run, **_DERIVED, "status": "queued"}
    expected.add("runs", expected_run)
    for recorded, event in events:
        for change in fold(run["id"], recorded.seq, recorded.ts, event):
            if change.table != "threads":
                expected.change(change)
    for name in _DERIVED:
        if run[name] != expected_run[name]:
            yield f"runs.{name} is {run[name]!r}, the events say {expected_run[name]!r}"
    if run["status"] not in _statuses(expected_run["status"], expected):
        yield f"runs.status is {run['status']!r}, the events say {expected_run['status']!r}"
    for table in ("turns", "tool_calls", "approvals"):
        stored = _select(connection, table, "run_id", run["id"])
        if _sorted(stored) != _sorted(expected.rows(table)):
            yield f"{table} is not what the events say"


def _statuses(expected: str, rows: RowSet) -> set[str]:
    """The statuses that fit: claims, releases and answers change it without an event."""
    unowned = {RunStatus.QUEUED.value, RunStatus.RUNNING.value}
    if expected in unowned:
        return unowned
    answered = any(row["resolved_seq"] is not None for row in rows.rows("approvals"))
    if expected == RunStatus.WAITING.value and answered:
        return {expected, *unowned}
    return {expected}


def _select(connection: sqlite3.Connection, table: str, column: str, value: str) -> list[Row]:
    """Return whole rows by column name."""
    sql = f"SELECT * FROM {table} WHERE {column} = ?"  # noqa: S608 (our own names only)
    cursor = connection.execute(sql, (value,))
    names = [description[0] for description in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor]


def _sorted(rows: list[Row]) -> list[list[tuple[str, Any]]]:
    return sorted((sorted(row.items()) for row in rows), key=repr)
