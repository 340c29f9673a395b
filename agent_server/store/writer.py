"""The one writer: a thread with its own connection, a queue, and group commit.

What waits in the queue is committed together. A write that fails spoils nobody else's: the batch
is then done again one by one under savepoints. A failure after which the connection cannot be
trusted ends the writer: whoever waits gets a ``StoreError`` and ``on_fatal`` is called.
"""

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Final

from agent_server.errors import AgentServerError, RequestError, StoreError
from agent_server.store import Commit
from agent_server.store.owner_writes import commit, commit_group
from agent_server.store.refs import DeltaMemory
from agent_server.store.sqlite import connect_writer, is_fatal, is_passing, store_error
from agent_server.store.transaction import Transaction

MAX_ROWS: Final = 5_000
MAX_BYTES: Final = 4 * 1024 * 1024
"""Where a transaction is full. A single larger write still goes in whole."""
CLOSE_S: Final = 30.0
"""How long closing waits for what is queued."""

OnFatal = Callable[[StoreError], None]
Apply = Callable[[Transaction], Any]


@dataclass(frozen=True, slots=True)
class Write:
    """One thing to write: all of it or none. ``rows`` and ``size`` (bytes) are estimates."""

    apply: Apply
    rows: int = 1
    size: int = 0


@dataclass(slots=True, eq=False)
class _Job:
    """What one caller wants written, ``writes`` or ``commits``, and where the outcomes go."""

    done: asyncio.Future[list[Any]]
    writes: Sequence[Write] = ()
    commits: Sequence[Commit] = ()
    outcomes: list[Any] = field(default_factory=list)

    def together(self, tx: Transaction) -> list[Any]:
        """Write everything, the quick way; whatever goes wrong spoils the transaction."""
        if self.commits:
            return commit_group(tx, self.commits)
        return [_attempt(tx, write.apply) for write in self.writes]

    def one_by_one(self) -> list[Apply]:
        """Return the writes that can fail alone."""
        if self.commits:
            return [partial(commit, item=item) for item in self.commits]
        return [write.apply for write in self.writes]

    def weight(self) -> tuple[int, int]:
        """Return how many rows and bytes this is, about."""
        rows = sum(write.rows for write in self.writes)
        size = sum(write.size for write in self.writes)
        for item in self.commits:
            rows += len(item.events) + len(item.raw)
            size += sum(len(pending.data) for pending in item.events)
            size += sum(len(raw.response) for raw in item.raw)
        return rows, size


class Writer:
    """Writes in the order asked. Make it inside the event loop that uses it."""

    def __init__(self, path: Path, *, on_fatal: OnFatal) -> None:
        self._path = path
        self._on_fatal = on_fatal
        self._loop = asyncio.get_running_loop()
        self._queue: SimpleQueue[_Job | None] = SimpleQueue()
        self._held: _Job | None = None
        self._memory = DeltaMemory()
        self._live: dict[str, tuple[int, int]] = {}
        self._connection = connect_writer(path)
        self._error: StoreError | None = None
        self._closed: asyncio.Future[None] = self._loop.create_future()
        self._thread = threading.Thread(target=self._work, name="store-writer", daemon=True)
        self._thread.start()

    async def write(self, apply: Apply, *, rows: int = 1, size: int = 0) -> Any:
        """Do one write; return what ``apply`` returned once it is on disk.

        Raises:
            RequestError: the write was refused.
            StoreError: it is not on disk and never will be.
        """
        (outcome,) = await self.write_all([Write(apply, rows, size)])
        if isinstance(outcome, AgentServerError):
            raise outcome
        if isinstance(outcome, Exception):
            raise StoreError(f"a write failed: {outcome}") from outcome
        return outcome

    async def write_all(self, writes: Sequence[Write]) -> list[Any]:
        """Do some writes in one transaction; return each one's outcome: a result or an exception.

        Raises:
            StoreError: none of them is on disk and never will be.
        """
        return await self._do(_Job(self._loop.create_future(), writes=writes))

    async def commit(self, commits: Sequence[Commit]) -> list[Any]:
        """Write the events of some owners in one transaction; else as ``write_all``.

        Raises:
            StoreError: none of them is on disk and never will be.
        """
        return await self._do(_Job(self._loop.create_future(), commits=commits))

    async def _do(self, job: _Job) -> list[Any]:
        if self._error is not None:
            raise self._error
        self._queue.put(job)
        if self._error is not None:  # it died in between: nobody else would answer
            self._fail_queued(self._error)
        return await job.done

    async def aclose(self) -> None:
        """Wait for what is queued, then close. Idempotent.

        Raises:
            StoreError: the disk did not take it within ``CLOSE_S``.
        """
        if self._error is None:
            self._error = StoreError("the store is closed")
            self._queue.put(None)
        try:
            async with asyncio.timeout(CLOSE_S):
                await asyncio.shield(self._closed)
        except TimeoutError as error:
            raise StoreError("the writer did not end in time") from error

    # --- in the writer's thread --------------------------------------------------------------

    def _work(self) -> None:
        jobs: list[_Job] = []
        try:
            while jobs := self._next_batch():
                self._write_batch(jobs)
        except BaseException as error:  # noqa: BLE001 (whatever ends this thread must end the process)
            self._die(error, jobs)
        finally:
            self._connection.close()
            self._loop.call_soon_threadsafe(self._closed.set_result, None)

    def _next_batch(self) -> list[_Job]:
        """Wait for work; return as much as one transaction takes, nothing at the end."""
        first = self._held or self._queue.get()
        self._held = None
        if first is None:
            return []
        batch = [first]
        rows = size = 0
        while True:
            try:
                job = self._queue.get_nowait()
            except Empty:
                return batch
            if job is None:
                self._queue.put(None)  # the end, once this batch is done
                return batch
            if not rows:  # weighed only now: mostly there is no second job
                rows, size = first.weight()
            more_rows, more_size = job.weight()
            rows, size = rows + more_rows, size + more_size
            if rows > MAX_ROWS or size > MAX_BYTES:
                self._held = job
                return batch
            batch.append(job)

    def _write_batch(self, jobs: list[_Job]) -> None:
        """Commit ``jobs`` and tell their callers."""
        error: StoreError | None = None
        try:
            try:
                self._commit_together(jobs)
            except sqlite3.Error as failure:
                if is_passing(failure) or is_fatal(failure):
                    raise
                self._commit_one_by_one(jobs)
            except Exception:  # noqa: BLE001 (a fault in one write: find it, spare the others)
                self._commit_one_by_one(jobs)
        except sqlite3.Error as failure:
            if not is_passing(failure):
                raise
            error = store_error(failure, self._path)
        self._loop.call_soon_threadsafe(_resolve, jobs, error)

    def _commit_together(self, jobs: list[_Job]) -> None:
        """The usual case: one plain transaction for everything."""
        tx = self._begin()
        try:
            for job in jobs:
                job.outcomes = job.together(tx)
            tx.flush()
            self._connection.execute("COMMIT")
        except BaseException:
            self._roll_back(tx)
            raise

    def _commit_one_by_one(self, jobs: list[_Job]) -> None:
        """The same with a savepoint around each write, so that only the faulty ones fail."""
        tx = self._begin()
        try:
            for job in jobs:
                job.outcomes = [self._apply_alone(tx, apply) for apply in job.one_by_one()]
            self._connection.execute("COMMIT")
        except BaseException:
            self._roll_back(tx)
            raise

    def _apply_alone(self, tx: Transaction, apply: Apply) -> Any:
        self._connection.execute("SAVEPOINT one")
        try:
            outcome = _attempt(tx, apply)
            tx.flush()
        except Exception as fault:
            if isinstance(fault, sqlite3.Error) and (is_passing(fault) or is_fatal(fault)):
                raise
            tx.discard()
            self._connection.execute("ROLLBACK TO one")
            outcome = fault
        self._connection.execute("RELEASE one")
        return outcome

    def _begin(self) -> Transaction:
        self._connection.execute("BEGIN IMMEDIATE")
        return Transaction(self._connection, self._memory, self._live)

    def _roll_back(self, tx: Transaction) -> None:
        tx.discard()
        if self._connection.in_transaction:  # a full disk may have rolled it back already
            self._connection.execute("ROLLBACK")

    def _die(self, error: BaseException, jobs: list[_Job]) -> None:
        if isinstance(error, sqlite3.Error):
            fatal = store_error(error, self._path)
        else:
            fatal = StoreError(f"the writer died: {error!r}")
        self._error = fatal
        self._loop.call_soon_threadsafe(_resolve, jobs, fatal)
        self._fail_queued(fatal)
        self._loop.call_soon_threadsafe(self._on_fatal, fatal)

    def _fail_queued(self, error: StoreError) -> None:
        """Answer whoever waits for a dead writer; called from either thread."""
        jobs = [self._held] if self._held else []
        while True:
            try:
                job = self._queue.get_nowait()
            except Empty:
                break
            if job is not None:
                jobs.append(job)
        self._loop.call_soon_threadsafe(_resolve, jobs, error)


def _attempt(tx: Transaction, apply: Apply) -> Any:
    """Apply a write; a refusal is an outcome like any other."""
    try:
        return apply(tx)
    except RequestError as refusal:
        return refusal


def _resolve(jobs: list[_Job], error: StoreError | None) -> None:
    """Tell the callers, in their loop; one that was cancelled waits no more."""
    for job in jobs:
        if job.done.done():
            continue
        if error is None:
            job.done.set_result(job.outcomes)
        else:
            job.done.set_exception(error)
