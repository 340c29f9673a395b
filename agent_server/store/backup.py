"""Copying a database that may be in use, so that the copy is whole and proven."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from agent_server.errors import StoreError
from agent_server.store.migrate import check_schema
from agent_server.store.sqlite import connect_reader, database_path, store_error
from agent_server.store.verify import verify

__all__ = ["backup"]


def backup(location: str | Path, target: Path) -> None:
    """Write a compact copy of the database as it is now to ``target``, and verify the copy.

    The copy appears under its name only once it is whole, proven and on disk.

    Raises:
        StoreError: ``target`` exists or cannot be written, or the copy fails its verification.
        SchemaMismatch: the database is not ours, or of another version.
    """
    path = database_path(location)
    check_schema(path)
    if target.exists():
        raise StoreError(f"{target} exists: a backup overwrites nothing")
    partial = target.with_name(f"{target.name}.partial")
    try:
        os.close(os.open(partial, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError as error:
        raise StoreError(f"{partial} exists: another backup is at work, or was cut off") from error
    except OSError as error:
        raise StoreError(f"{target} cannot be written: {error.strerror}") from error
    try:
        _copy(path, partial)
        findings = verify(partial)
        if findings:
            first = findings[0]
            raise StoreError(
                f"the copy has {len(findings)} faults, the first: {first.check}: {first.message}"
            )
        _publish(partial, target)
    finally:
        for leftover in (partial, *(Path(f"{partial}{end}") for end in ("-wal", "-shm"))):
            leftover.unlink(missing_ok=True)


def _copy(path: Path, partial: Path) -> None:
    try:
        with closing(connect_reader(path)) as connection:
            connection.execute("VACUUM INTO ?", (str(partial),))
    except sqlite3.Error as error:
        raise store_error(error, partial) from error


def _publish(partial: Path, target: Path) -> None:
    """Give the copy its name, without ever replacing another file, and see it to the disk."""
    try:
        with partial.open("rb") as copy:
            os.fsync(copy.fileno())
        os.link(partial, target)
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except FileExistsError as error:
        raise StoreError(f"{target} exists: a backup overwrites nothing") from error
    except OSError as error:
        raise StoreError(f"{target} cannot be written: {error.strerror}") from error
