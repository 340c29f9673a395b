"""Reading rows: the selects, written over the tables and rendered once, and what they become."""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from pydantic_core import from_json
from sqlalchemy import Integer, Select, and_, bindparam, func, literal_column, or_, select
from sqlalchemy.dialects import sqlite
from sqlalchemy.sql.elements import ColumnElement

from agent_server.errors import InvalidRequest
from agent_server.messages import JsonObject
from agent_server.status import RunStatus
from agent_server.store import RunFilter, RunRow, ThreadRow, ToolCallRow, TurnRow
from agent_server.store.columns import Table
from agent_server.store.fold import USAGE_COLUMNS
from agent_server.store.tables import Run, Spec, Thread, ToolCall, Turn

__all__ = [
    "SELECT_ATTEMPT",
    "SELECT_RUN",
    "SELECT_THREAD",
    "SELECT_TOOL_CALLS",
    "SELECT_TURNS",
    "calls_of",
    "metadata_path",
    "read_run",
    "read_thread",
    "read_tool_calls",
    "read_turns",
    "run_of",
    "select_runs",
    "select_threads",
    "thread_of",
    "turn_of",
]

_TABLES: Final = Table.metadata.tables
_runs, _threads = _TABLES[str(Run.__tablename__)], _TABLES[str(Thread.__tablename__)]
_turns, _calls = _TABLES[str(Turn.__tablename__)], _TABLES[str(ToolCall.__tablename__)]
_attempts, _specs = _TABLES["attempts"], _TABLES[str(Spec.__tablename__)]

_RUN_JSON: Final = ("limits", "metadata", "error", "spec")
_RUN_PLAIN: Final = (
    "id",
    "tenant",
    "thread_id",
    "kind",
    "agent",
    "model",
    "trigger",
    "status",
    "epoch",
    "attempts",
    "stop_reason",
    "incomplete_reason",
    "cancelled_by",
    "cost_usd",
    "previous_run_id",
    "parent_run_id",
    "root_run_id",
    "on_disconnect",
    "created_at",
    "started_at",
    "finished_at",
    "deadline_at",
)

Rendered = tuple[str, dict[str, Any]]
"""SQL with named parameters, and their values."""

Row = Sequence[Any]


def render(statement: Select[Any]) -> str:
    """Return a select as SQL text with named parameters, for a plain driver connection."""
    return str(statement.compile(dialect=sqlite.dialect(paramstyle="named")))


def _judged(run_id: ColumnElement[Any]) -> ColumnElement[bool]:
    """The calls on record: those that were requested or rejected, not those still streaming in."""
    return and_(_calls.c.run_id == run_id, _calls.c.requested_seq.is_not(None))


_RUN_STORED: Final = (*_RUN_PLAIN, "limits", "metadata", "error", *USAGE_COLUMNS)
_RUN_NAMES: Final = (*_RUN_STORED, "last_seq", "turn_count", "tool_call_count", "spec")
_RUN: Final = select(
    *(_runs.c[name] for name in _RUN_STORED),
    literal_column("next_seq - 1"),
    select(func.count()).where(_turns.c.run_id == _runs.c.id).correlate(_runs).scalar_subquery(),
    select(func.count()).where(_judged(_runs.c.id)).correlate(_runs).scalar_subquery(),
)
_TURN_NAMES: Final = (
    "turn",
    "attempt",
    "model",
    "status",
    "stop_reason",
    "ttft_ms",
    "duration_ms",
    "first_seq",
    "last_seq",
    "usage",
)
_CALL_NAMES: Final = (
    "call_id",
    "turn",
    "name",
    "state",
    "attempt",
    "isolation",
    "kind",
    "duration_ms",
    "requested_seq",
    "result_seq",
)
_THREAD_NAMES: Final = (
    "id",
    "tenant",
    "external_id",
    "head_run_id",
    "created_at",
    "updated_at",
    "metadata",
)
_THREAD: Final = select(*(_threads.c[name] for name in _THREAD_NAMES))

SELECT_RUN: Final = render(
    _RUN.add_columns(_specs.c.spec)
    .join_from(
        _runs,
        _specs,
        and_(_specs.c.tenant == _runs.c.tenant, _specs.c.sha256 == _runs.c.spec_sha256),
    )
    .where(_runs.c.id == bindparam("run_id"))
)
SELECT_TURNS: Final = render(
    select(*(_turns.c[name] for name in _TURN_NAMES))
    .where(_turns.c.run_id == bindparam("run_id"))
    .order_by(_turns.c.turn)
)
SELECT_TOOL_CALLS: Final = render(
    select(*(_calls.c[name] for name in _CALL_NAMES))
    .where(_judged(bindparam("run_id")))
    .order_by(_calls.c.turn, _calls.c.requested_seq)
)
SELECT_ATTEMPT: Final = render(
    select(_attempts.c.response).where(
        _attempts.c.run_id == bindparam("run_id"),
        _attempts.c.turn == bindparam("turn"),
        _attempts.c.attempt == bindparam("attempt"),
    )
)
SELECT_THREAD: Final = render(
    _THREAD.where(
        _threads.c.tenant == bindparam("tenant"),
        or_(
            _threads.c.id == bindparam("thread_id"),
            _threads.c.external_id == bindparam("thread_id"),
        ),
    ).order_by((_threads.c.id == bindparam("thread_id")).desc())
)


def select_runs(tenant: str, where: RunFilter, *, limit: int, before: str | None) -> Rendered:
    """Select a page of runs, newest first, with empty specs.

    Raises:
        InvalidRequest: a metadata key of ``where.extra`` cannot be searched for.
    """
    wanted: dict[str, Any] = {
        "status": where.status,
        "agent": where.agent,
        "thread_id": where.thread_id,
        "kind": where.kind,
        "tool": where.tool,
        "q": where.q or None,
        "before": before,
    }
    parameters = {name: value for name, value in wanted.items() if value is not None}
    sql = _runs_page(tuple(parameters), len(where.extra))
    for index, (key, value) in enumerate(where.extra.items()):
        parameters |= {f"path_{index}": metadata_path(key), f"value_{index}": value}
    return sql, {**parameters, "tenant": tenant, "count": limit}


@lru_cache
def _runs_page(filters: tuple[str, ...], extra: int) -> str:
    """Render the page for one set of filters: rendering costs more than the query."""
    wanted: dict[str, ColumnElement[Any]] = {name: bindparam(name) for name in filters}
    statement = _RUN.add_columns(literal_column("'{}'"))
    statement = statement.where(_runs.c.tenant == bindparam("tenant"))
    for name in ("status", "agent", "thread_id", "kind"):
        if name in wanted:
            statement = statement.where(_runs.c[name] == wanted[name])
    if "tool" in wanted:
        called: Select[Any] = select(literal_column("1")).where(
            _judged(_runs.c.id), _calls.c.name == wanted["tool"]
        )
        statement = statement.where(called.correlate(_runs).exists())
    if "q" in wanted:
        begins = [
            func.substr(_runs.c[name], literal_column("1"), func.length(wanted["q"])) == wanted["q"]
            for name in ("id", "thread_id")
        ]
        contains = func.instr(_runs.c.metadata, wanted["q"]) > literal_column("0")
        statement = statement.where(or_(*begins, contains))
    for index in range(extra):
        found = func.json_extract(_runs.c.metadata, bindparam(f"path_{index}"))
        statement = statement.where(found.is_not_distinct_from(bindparam(f"value_{index}")))
    if "before" in wanted:
        statement = statement.where(_runs.c.id < wanted["before"])
    return render(
        statement.order_by(_runs.c.id.desc())
        .limit(bindparam("count", type_=Integer))
        .offset(literal_column("0"))
    )


def metadata_path(key: str) -> str:
    """Return the JSON path of a metadata entry.

    Raises:
        InvalidRequest: the key cannot be written in a path.
    """
    if '"' in key or "\\" in key:
        raise InvalidRequest("A metadata key to search for may hold no quote.", param="metadata")
    return f'$."{key}"'


@lru_cache
def _threads_page(*, before: bool) -> str:
    is_tool_call: Select[Any] = select(literal_column("1")).where(
        _runs.c.id == _threads.c.head_run_id, _runs.c.kind == literal_column("'tool'")
    )
    statement = _THREAD.where(
        _threads.c.tenant == bindparam("tenant"), ~is_tool_call.correlate(_threads).exists()
    )
    if before:
        statement = statement.where(_threads.c.id < bindparam("before"))
    return render(
        statement.order_by(_threads.c.id.desc())
        .limit(bindparam("count", type_=Integer))
        .offset(literal_column("0"))
    )


def select_threads(tenant: str, *, limit: int, before: str | None) -> Rendered:
    """Select a page of threads, newest first, without those of direct tool calls."""
    parameters = {"tenant": tenant, "count": limit, "before": before}
    if before is None:
        del parameters["before"]
    return _threads_page(before=before is not None), parameters


def read_run(row: Row) -> RunRow:
    """Make a run of a row of ``SELECT_RUN`` or ``select_runs``."""
    return run_of(dict(zip(_RUN_NAMES, row, strict=True)))


def run_of(stored: Mapping[str, Any]) -> RunRow:
    """Make a run of its columns, ``last_seq`` and counts."""
    values = {name: stored[name] for name in _RUN_NAMES if name not in USAGE_COLUMNS}
    for name in _RUN_JSON:
        values[name] = None if values[name] is None else from_json(values[name])
    values["status"] = RunStatus(values["status"])
    usage: JsonObject = {name: stored[name] for name in USAGE_COLUMNS}
    return RunRow(**values, usage=usage)


def read_turns(rows: Iterable[Row]) -> list[TurnRow]:
    """Make turns of the rows of ``SELECT_TURNS``."""
    return [turn_of(dict(zip(_TURN_NAMES, row, strict=True))) for row in rows]


def turn_of(stored: Mapping[str, Any]) -> TurnRow:
    """Make a turn of its columns."""
    values = {name: stored[name] for name in _TURN_NAMES}
    return TurnRow(**{**values, "usage": from_json(values["usage"])})


def read_tool_calls(rows: Iterable[Row]) -> list[ToolCallRow]:
    """Make tool calls of the rows of ``SELECT_TOOL_CALLS``."""
    return calls_of(dict(zip(_CALL_NAMES, row, strict=True)) for row in rows)


def calls_of(stored: Iterable[Mapping[str, Any]]) -> list[ToolCallRow]:
    """Make tool calls of their columns, in order; ordinals count within a turn."""
    found: list[ToolCallRow] = []
    for call in stored:
        values = {name: call[name] for name in _CALL_NAMES}
        if values["state"] == "rejected":
            values["requested_seq"] = None
        ordinal = found[-1].ordinal + 1 if found and found[-1].turn == call["turn"] else 0
        found.append(ToolCallRow(**values, ordinal=ordinal))
    return found


def read_thread(row: Row) -> ThreadRow:
    """Make a thread of a row of ``SELECT_THREAD`` or ``select_threads``."""
    return thread_of(dict(zip(_THREAD_NAMES, row, strict=True)))


def thread_of(stored: Mapping[str, Any]) -> ThreadRow:
    """Make a thread of its columns."""
    values = {name: stored[name] for name in _THREAD_NAMES}
    return ThreadRow(**{**values, "metadata": from_json(values["metadata"])})
