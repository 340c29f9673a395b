"""How we open SQLite files, and what SQLite's errors mean to us."""

import sqlite3
from pathlib import Path
from typing import Final
from urllib.parse import quote

from agent_server.errors import StoreError

__all__ = [
    "BUSY_TIMEOUT_S",
    "connect_reader",
    "connect_writer",
    "database_path",
    "is_fatal",
    "is_passing",
    "read_only_uri",
    "store_error",
]

BUSY_TIMEOUT_S: Final = 5.0
"""How long a statement waits for another process's lock."""

_WRITER_PRAGMAS: Final = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    "PRAGMA temp_store = MEMORY",
    "PRAGMA cache_size = -65536",
    "PRAGMA wal_autocheckpoint = 1000",
    "PRAGMA journal_size_limit = 67108864",
    "PRAGMA mmap_size = 0",
)
_PASSING: Final = frozenset(
    {
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_NOMEM,
    }
)
_FATAL: Final = frozenset(
    {
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_PERM,
    }
)

_CAUSES: Final = {
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_BUSY: "another process has locked it",
    sqlite3.SQLITE_LOCKED: "it is locked",
    sqlite3.SQLITE_READONLY: "it is read-only",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened",
    sqlite3.SQLITE_CORRUPT: "it is corrupt",
    sqlite3.SQLITE_NOTADB: "it is no SQLite database",
    sqlite3.SQLITE_IOERR: "the disk failed",
    sqlite3.SQLITE_PERM: "permission is denied",
}


def database_path(location: str | Path) -> Path:
    """Return the file that a path or a ``sqlite:///`` URL names.

    Raises:
        StoreError: the URL is of another kind.
    """
    if isinstance(location, Path):
        return location
    scheme, separator, rest = location.partition("://")
    if not separator:
        return Path(location)
    if scheme != "sqlite" or not rest.startswith("/") or rest == "/":
        raise StoreError(f"storage.url must be a path or sqlite:///path, not {scheme}://…")
    return Path(rest[1:])


def read_only_uri(path: Path) -> str:
    """Return the URI that opens ``path`` for reading only."""
    return f"file:{quote(str(path))}?mode=ro"


def connect_reader(path: Path) -> sqlite3.Connection:
    """Open an existing database for reading only.

    Raises:
        StoreError: there is no such file, or it cannot be opened.
    """
    if not path.is_file():
        raise StoreError(f"there is no database at {path}")
    try:
        return sqlite3.connect(
            read_only_uri(path), uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None
        )
    except sqlite3.Error as error:
        raise store_error(error, path) from error


def connect_writer(path: Path) -> sqlite3.Connection:
    """Open an existing database for writing. Transactions are begun explicitly.

    Raises:
        StoreError: it cannot be opened, is locked, read-only or no database.
    """
    uri = f"file:{quote(str(path))}?mode=rw"
    try:
        connection = sqlite3.connect(
            uri,
            uri=True,
            timeout=BUSY_TIMEOUT_S,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=256,
        )
    except sqlite3.Error as error:
        raise store_error(error, path) from error
    try:
        for pragma in _WRITER_PRAGMAS:
            connection.execute(pragma)
    except sqlite3.Error as error:
        connection.close()
        raise store_error(error, path) from error
    return connection


def is_passing(error: sqlite3.Error) -> bool:
    """Whether nothing can be written now, but the same write may succeed later."""
    return _primary_code(error) in _PASSING


def is_fatal(error: sqlite3.Error) -> bool:
    """Whether the connection cannot be trusted any more."""
    return _primary_code(error) in _FATAL


def store_error(error: sqlite3.Error, path: Path) -> StoreError:
    """Say in one line what SQLite's error means."""
    cause = _CAUSES.get(_primary_code(error), str(error))
    return StoreError(f"the database {path} cannot be used: {cause}")


def _primary_code(error: sqlite3.Error) -> int:
    """SQLite's primary result code: extended codes carry it in their low byte."""
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
