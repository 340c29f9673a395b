"""The database's lock file: one server at a time, and how the command line finds it.

``<db>.lock`` (mode 0600) is held by ``flock`` for as long as the process lives, and says where the
server answers. The file stays when the lock is given up: removing it would race with the next
owner.
"""

import fcntl
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_json

from agent_server.errors import StoreError, StoreLocked
from agent_server.store.sqlite import database_path

__all__ = ["DatabaseLock", "LockInfo", "lock_database", "read_lock"]

_TRIES: Final = 10
_PAUSE_S: Final = 0.02
"""A reader that looks whether the lock is held takes it for a moment: try again."""


@dataclass(frozen=True, slots=True)
class LockInfo:
    """Who holds a database. ``url`` is None until the server accepts requests."""

    pid: int
    url: str | None
    admin_token: str


_info: Final = TypeAdapter(LockInfo)


class DatabaseLock:
    """A lock that this process holds."""

    def __init__(self, descriptor: int, info: LockInfo) -> None:
        self._descriptor = descriptor
        self.info = info

    @property
    def admin_token(self) -> str:
        """The secret by which the command line of this machine may act as an administrator."""
        return self.info.admin_token

    def publish(self, url: str) -> None:
        """Say where this process answers."""
        self.info = replace(self.info, url=url)
        _write(self._descriptor, self.info)


@contextmanager
def lock_database(location: str | Path) -> Iterator[DatabaseLock]:
    """Hold the lock of a database; the folder is made where it is missing.

    Raises:
        StoreLocked: another process holds it; the message says which.
        StoreError: the lock file cannot be written.
    """
    path = lock_path(location)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise StoreError(f"the lock file {path} cannot be written: {error.strerror}") from error
    try:
        if not _try_lock(descriptor, fcntl.LOCK_EX, tries=_TRIES):
            raise StoreLocked(_held_by(location, _parse(descriptor)))
        os.fchmod(descriptor, 0o600)
        lock = DatabaseLock(descriptor, LockInfo(os.getpid(), None, secrets.token_urlsafe(32)))
        _write(descriptor, lock.info)
        try:
            yield lock
        finally:
            os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def read_lock(location: str | Path) -> LockInfo | None:
    """Return who holds the lock of a database, None where nobody does.

    What a process that died left in the file counts for nothing.

    Raises:
        StoreError: the lock file cannot be read.
    """
    path = lock_path(location)
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreError(f"the lock file {path} cannot be read: {error.strerror}") from error
    try:
        if _try_lock(descriptor, fcntl.LOCK_SH, tries=1):
            return None
        for _ in range(_TRIES):
            info = _parse(descriptor)
            if info is not None:
                return info
            time.sleep(_PAUSE_S)  # its owner is just writing it
        raise StoreError(f"the lock file {path} is held, but says nothing of its owner")
    finally:
        os.close(descriptor)


def lock_path(location: str | Path) -> Path:
    """Return the lock file of a database, the same by whatever link it is reached."""
    path = database_path(location).resolve()
    return path.with_name(f"{path.name}.lock")


def _try_lock(descriptor: int, kind: int, *, tries: int) -> bool:
    for attempt in range(tries):
        if attempt:
            time.sleep(_PAUSE_S)
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            continue
        return True
    return False


def _write(descriptor: int, info: LockInfo) -> None:
    text = to_json(asdict(info))
    os.pwrite(descriptor, text, 0)
    os.ftruncate(descriptor, len(text))


def _parse(descriptor: int) -> LockInfo | None:
    try:
        return _info.validate_json(os.pread(descriptor, 65_536, 0))
    except ValidationError:
        return None


def _held_by(location: str | Path, info: LockInfo | None) -> str:
    where = "" if info is None or info.url is None else f" at {info.url}"
    who = "" if info is None else f" (process {info.pid}{where})"
    return f"another server{who} holds the database {database_path(location)}"
