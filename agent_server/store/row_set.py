"""The rows of one run in memory: where changes are made without a database."""

import ast
from collections.abc import Mapping
from typing import Any, Final

from agent_server.store.fold import RowChange, Value
from agent_server.store.tables import Run

Row = dict[str, Any]


def _default(server_default: Any) -> Value:
    """What a column holds that an insert does not name."""
    if server_default is None:
        return None
    value: Value = ast.literal_eval(str(server_default.arg))
    return value


_DEFAULTS: Final = {
    name: {column.name: _default(column.server_default) for column in table.columns}
    for name, table in Run.metadata.tables.items()
}


def new_row(table: str, columns: Mapping[str, Any]) -> Row:
    """Make a whole row: ``columns``, and the defaults of the others."""
    return {**_DEFAULTS[table], **columns}


class RowSet:
    """A few rows of each table. Meant for one run's: every change looks at all of a table."""

    def __init__(self) -> None:
        self._tables: dict[str, list[Row]] = {}

    def add(self, table: str, row: Row) -> None:
        """Add a row, which stays the caller's too."""
        self.rows(table).append(row)

    def rows(self, table: str) -> list[Row]:
        """Return the rows of a table, in order of insertion."""
        return self._tables.setdefault(table, [])

    def change(self, change: RowChange) -> None:
        """Make a change, as the database would."""
        rows = self.rows(change.table)
        matching = [row for row in rows if _matches(row, change.key)]
        if change.op == "delete":
            self._tables[change.table] = [row for row in rows if row not in matching]
            return
        if change.op == "upsert" and not matching:
            columns = {**change.key, **change.values, **change.initial}
            rows.append(new_row(change.table, columns))
            return
        for row in matching:
            row.update(change.values)
            for name, count in change.increments.items():
                row[name] += count
            for name, least in change.minimums.items():
                row[name] = max(row[name], least)


def _matches(row: Row, key: Mapping[str, Value]) -> bool:
    return all(row[name] == value for name, value in key.items())
