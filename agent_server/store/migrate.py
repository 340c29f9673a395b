"""Bringing a database to this program's schema, all steps or none, and refusing what is not ours.

The migrations are in the package (``agent_server/migrations``, in the wheel) or, in a checkout, in
the top-level ``alembic`` folder. Alembic is loaded only when there is something to do.
"""

import importlib
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from agent_server.errors import SchemaMismatch, StoreError
from agent_server.store.sqlite import (
    BUSY_TIMEOUT_S,
    connect_reader,
    database_path,
    store_error,
)

__all__ = ["APPLICATION_ID", "HEAD", "check_schema", "migrate", "schema_version", "upgrade"]

HEAD: Final = "0001"
"""The revision this program works with."""
APPLICATION_ID: Final = 0x41675376
"""SQLite's ``application_id`` of our files (``AgSv``)."""

_PACKAGE: Final = Path(__file__).resolve().parent.parent
_FOLDERS: Final = (_PACKAGE / "migrations", _PACKAGE.parent / "alembic")


def upgrade(location: str | Path) -> None:
    """Make the database, or bring it to this program's schema; nothing to do is the usual case.

    Hold its lock before. Interrupted at any moment, it leaves the old schema.

    Raises:
        SchemaMismatch: it is newer than this program, or no database of ours.
        StoreError: it cannot be written.
    """
    path = database_path(location)
    if schema_version(path) != HEAD:
        migrate(path, HEAD)


def check_schema(path: Path) -> None:
    """See that the database has this program's schema.

    Raises:
        SchemaMismatch: it has another one.
        StoreError: there is no database, or it cannot be read.
    """
    if not path.is_file():
        raise StoreError(f"there is no database at {path}")
    version = schema_version(path)
    if version != HEAD:
        raise SchemaMismatch(
            f"the database {path} has an older schema ({version or 'empty'}): run "
            "`agent-server db upgrade`"
        )


def schema_version(path: Path) -> str | None:
    """Return the revision of a database, None where the file is absent or empty.

    Raises:
        SchemaMismatch: the database is newer than this program, or not ours.
        StoreError: it cannot be read.
    """
    if not path.exists() or path.stat().st_size == 0:
        return None
    try:
        with closing(connect_reader(path)) as connection:
            found = _read_version(connection)
    except sqlite3.DatabaseError as error:
        if getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_NOTADB:
            raise SchemaMismatch(f"{path} is no database of agent-server") from error
        raise store_error(error, path) from error
    if found is _FOREIGN:
        raise SchemaMismatch(f"{path} is no database of agent-server")
    if found is not None and found not in _known_revisions():
        raise SchemaMismatch(
            f"the database {path} was written by a newer agent-server (schema {found}; this "
            f"program knows {HEAD})"
        )
    return found


_FOREIGN: Final = "?"
"""What ``_read_version`` says of a database that is not ours."""


def _read_version(connection: sqlite3.Connection) -> str | None:
    names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    if not names:
        return None
    ((application_id,),) = connection.execute("PRAGMA application_id")
    if application_id != APPLICATION_ID or "alembic_version" not in names:
        return _FOREIGN
    rows = connection.execute("SELECT version_num FROM alembic_version").fetchall()
    if len(rows) > 1:
        return _FOREIGN
    return str(rows[0][0]) if rows else None


def _known_revisions() -> set[str]:
    """The revisions of this program, by their file names: ``0001_name.py``."""
    return {file.name.partition("_")[0] for file in (_folder() / "versions").glob("*_*.py")}


def _folder() -> Path:
    for folder in _FOLDERS:
        if (folder / "env.py").is_file():
            return folder
    raise StoreError("the migrations are missing from this installation")


def migrate(path: Path, revision: str) -> None:
    """Move the database up or down to ``revision``, in one transaction.

    Raises:
        StoreError: it cannot be written, or the data does not fit the new schema.
    """
    config = importlib.import_module("alembic.config").Config()
    command = importlib.import_module("alembic.command")
    config.set_main_option("script_location", str(_folder()).replace("%", "%%"))
    with _transaction(path) as connection:
        config.attributes["connection"] = connection
        before = schema_number(connection)
        if revision == "base" or (before is not None and revision < before):
            command.downgrade(config, revision)
        else:
            command.upgrade(config, revision)
        broken = connection.exec_driver_sql("PRAGMA foreign_key_check").fetchone()
        if broken is not None:
            raise StoreError(f"the data in {path} does not fit the new schema: {broken}")


def schema_number(connection: Connection) -> str | None:
    """Return the revision that a database being migrated has."""
    tables = connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'table'")
    if "alembic_version" not in {name for (name,) in tables}:
        return None
    row = connection.exec_driver_sql("SELECT version_num FROM alembic_version").fetchone()
    return None if row is None else str(row[0])


@contextmanager
def _transaction(path: Path) -> Iterator[Connection]:
    """Open the one transaction that a migration runs in."""
    _make_private(path)
    engine = create_engine(
        f"sqlite:///{path}", poolclass=NullPool, connect_args={"timeout": BUSY_TIMEOUT_S}
    )
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "begin", _begin)
    try:
        with engine.begin() as connection:
            yield connection
    except DBAPIError as error:
        if isinstance(error.orig, sqlite3.Error):
            raise store_error(error.orig, path) from error
        raise
    except sqlite3.Error as error:
        raise store_error(error, path) from error


def _make_private(path: Path) -> None:
    """Create a missing database so that only its owner reads it: it holds conversations."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as error:
        raise StoreError(f"the database {path} cannot be written: {error.strerror}") from error


def _prepare(connection: Any, record: Any) -> None:
    """Leave transactions to us, and set what must precede the first table."""
    del record
    connection.isolation_level = None
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    # Batch migrations rebuild tables: with foreign keys on, dropping the old one would cascade.
    connection.execute("PRAGMA foreign_keys = OFF")


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")
