"""SQL for the writer: constant statements, made once for each shape of change."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from agent_server.store.fold import RowChange, Value

__all__ = [
    "BUMP_EXTERNAL",
    "FENCE",
    "FENCE_KNOWN",
    "INSERT_ATTEMPT",
    "INSERT_EVENT",
    "Statement",
    "change_statement",
    "insert_statement",
]

Statement = tuple[str, list[Value]]
"""SQL and its parameters."""

FENCE: Final = (
    "UPDATE runs SET next_seq = next_seq + ?1 WHERE id = ?2 AND epoch = ?3 AND status = 'running' "
    "RETURNING next_seq"
)
"""Takes seqs for an owner. No row: another owner has claimed the run, or it has ended."""

FENCE_KNOWN: Final = (
    "UPDATE runs SET next_seq = ? "
    "WHERE id = ? AND epoch = ? AND status = 'running' AND next_seq = ?"
)
"""The same where the next seq is known. No change: it is not so, or ``FENCE`` would give no row."""

BUMP_EXTERNAL: Final = "UPDATE runs SET next_seq = next_seq + ? WHERE id = ? RETURNING next_seq"

INSERT_EVENT: Final = (
    "INSERT INTO events (run_id, seq, ts, type, turn, data, refs) VALUES (?, ?, ?, ?, ?, ?, ?)"
)
INSERT_ATTEMPT: Final = (
    "INSERT INTO attempts (run_id, turn, attempt, status, request_sha256, params, response, "
    "upstream_request_id, error_code, started_at, finished_at) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


def change_statement(change: RowChange) -> Statement:
    """Return the statement that makes ``change``."""
    keys = tuple(change.key)
    values = tuple(change.values)
    match change.op:
        case "delete":
            return _delete(change.table, keys), list(change.key.values())
        case "update":
            sql = _update(
                change.table, keys, values, tuple(change.increments), tuple(change.minimums)
            )
            parameters = [*change.values.values(), *change.increments.values()]
            for least in change.minimums.values():
                parameters += (least, least)
            return sql, [*parameters, *change.key.values()]
        case "upsert":
            sql = _upsert(change.table, keys, values, tuple(change.initial))
            parameters = [*change.key.values(), *change.values.values()]
            return sql, [*parameters, *change.initial.values()]


@lru_cache
def insert_statement(table: str, columns: Sequence[str]) -> str:
    """Return a plain INSERT of ``columns``."""
    marks = ", ".join("?" * len(columns))
    names = ", ".join(f'"{column}"' for column in columns)
    return f"INSERT INTO {table} ({names}) VALUES ({marks})"  # noqa: S608 (our own names only)


@lru_cache
def _delete(table: str, keys: tuple[str, ...]) -> str:
    return f"DELETE FROM {table} WHERE {_match(keys)}"  # noqa: S608 (our own names only)


@lru_cache
def _update(
    table: str,
    keys: tuple[str, ...],
    values: tuple[str, ...],
    increments: tuple[str, ...],
    minimums: tuple[str, ...],
) -> str:
    changes = [f"{name} = ?" for name in values]
    changes += [f"{name} = {name} + ?" for name in increments]
    changes += [f"{name} = CASE WHEN {name} < ? THEN ? ELSE {name} END" for name in minimums]
    assignments = ", ".join(changes)
    return f"UPDATE {table} SET {assignments} WHERE {_match(keys)}"  # noqa: S608 (our own names)


@lru_cache
def _upsert(
    table: str, keys: tuple[str, ...], values: tuple[str, ...], initial: tuple[str, ...]
) -> str:
    insert = insert_statement(table, keys + values + initial)
    assignments = ", ".join(f"{name} = excluded.{name}" for name in values)
    return f"{insert} ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {assignments}"


def _match(keys: tuple[str, ...]) -> str:
    return " AND ".join(f"{name} = ?" for name in keys)
