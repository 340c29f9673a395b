"""Every write there is, as a function of a transaction.

A write that refuses its request raises ``RequestError`` before it has changed anything.
"""

from collections.abc import Sequence
from typing import Any, Final

from pydantic_core import to_json

from agent_server.errors import Conflict, InvalidRequest, NotFound
from agent_server.status import RunStatus
from agent_server.store import Claim, Created, NewRun, PendingEvent, RunRow, ThreadRow
from agent_server.store.fold import Value, next_status
from agent_server.store.rows import SELECT_RUN, SELECT_THREAD, read_run, read_thread
from agent_server.store.specs import DELETE_UNUSED_SPEC, INSERT_SPEC, encode_spec
from agent_server.store.statements import BUMP_EXTERNAL, insert_statement
from agent_server.store.transaction import Transaction

_UNFINISHED: Final = "status IN ('queued', 'running', 'waiting')"
_IS_BUSY: Final = f"SELECT 1 FROM runs WHERE thread_id = ? AND {_UNFINISHED} LIMIT 1"  # noqa: S608 (constant)
_REPLAYED: Final = (
    "SELECT i.run_id, r.thread_id, i.request_sha256 FROM idempotency AS i "
    "JOIN runs AS r ON r.id = i.run_id WHERE i.tenant = ? AND i.key = ?"
)
_ORPHANS: Final = (
    "SELECT id, status, epoch FROM runs WHERE status = 'running' "
    "UNION ALL SELECT id, status, epoch FROM runs AS r WHERE status = 'queued' AND NOT EXISTS ("
    "SELECT 1 FROM runs AS a WHERE a.thread_id = r.thread_id AND a.id <> r.id "
    "AND (a.status IN ('running', 'waiting') OR (a.status = 'queued' AND "
    "(a.epoch > 0 OR (r.epoch = 0 AND a.id < r.id))))) ORDER BY 1"
)
_CLAIM: Final = (
    "UPDATE runs SET status = 'running', epoch = epoch + 1, attempts = attempts + 1 "
    "WHERE id = ? RETURNING epoch, next_seq"
)
_ANSWER: Final = (
    "UPDATE runs SET status = 'queued' WHERE id = ?1 AND status = 'waiting' AND NOT EXISTS ("
    "SELECT 1 FROM approvals WHERE run_id = ?1 AND state = 'pending')"
)
_UNLINK: Final = (
    "UPDATE runs SET previous_run_id = NULL WHERE thread_id <> ?1 AND previous_run_id IN ("
    "SELECT id FROM runs WHERE thread_id = ?1)"
)
_BURY_RUNS: Final = (
    "INSERT OR REPLACE INTO tombstones (tenant, kind, id, deleted_at, reason) "
    "SELECT tenant, 'run', id, ?2, 'deleted' FROM runs WHERE thread_id = ?1"
)
_BURY_THREAD: Final = (
    "INSERT OR REPLACE INTO tombstones (tenant, kind, id, deleted_at, reason) "
    "VALUES (?, 'thread', ?, ?, 'deleted')"
)
_MOVE_HEAD: Final = "UPDATE threads SET head_run_id = ?, updated_at = ? WHERE id = ?"
_EPOCH_COLUMNS: Final = ("run_id", "epoch", "claimed_at", "first_seq", "reason")
_SAME_COLUMNS: Final = (
    "id",
    "tenant",
    "thread_id",
    "kind",
    "agent",
    "model",
    "trigger",
    "previous_run_id",
    "parent_run_id",
    "root_run_id",
    "parent_call_id",
    "fork_seq",
    "on_disconnect",
    "created_at",
    "deadline_at",
)
"""The columns of ``runs`` that hold what a ``NewRun`` says under the same name."""


def create_thread(tx: Transaction, thread: ThreadRow) -> None:
    """Insert a thread. Raises ``Conflict`` where its id or external id is taken."""
    taken = tx.query(
        "SELECT 1 FROM threads WHERE id = ? OR (tenant = ? AND external_id = ?)",
        (thread.id, thread.tenant, thread.external_id),
    )
    if taken:
        raise Conflict("A thread of this id exists.", code="thread_exists")
    _insert(tx, "threads", thread_columns(thread))


def create_run(tx: Transaction, run: NewRun, events: Sequence[PendingEvent]) -> Created:
    """Insert a run with all that belongs to it; see ``Store.create_run``."""
    if run.idempotency_key is not None:
        replayed = _find_replayed(tx, run)
        if replayed is not None:
            return replayed
    _check_thread(tx, run)
    status = RunStatus.RUNNING if run.claimed else RunStatus.QUEUED
    ended = next_status(status, [pending.event.type for pending in events])
    if run.new_thread:
        _insert(tx, "threads", thread_columns(new_thread(run)))
    else:
        tx.query(_MOVE_HEAD, (run.id, run.created_at, run.thread_id))
    spec = encode_spec(run.spec)
    tx.query(INSERT_SPEC, (run.tenant, spec.sha256, spec.text))
    next_seq = len(events) + 1
    _insert(tx, "runs", run_columns(run, status, next_seq=next_seq, spec_sha256=spec.sha256))
    if run.claimed:
        _note_epoch(tx, run.id, epoch=1, at=run.created_at, first_seq=1, reason="claim")
    if run.idempotency_key is not None:
        _insert(
            tx,
            "idempotency",
            {
                "tenant": run.tenant,
                "key": run.idempotency_key,
                "request_sha256": run.request_sha256,
                "run_id": run.id,
                "created_at": run.created_at,
            },
        )
    tx.append(run.id, 1, events)
    if run.claimed and ended is RunStatus.RUNNING:
        tx.live[run.id] = (1, next_seq)
    return Created(run.id, run.thread_id, replayed=False)


def _find_replayed(tx: Transaction, run: NewRun) -> Created | None:
    for run_id, thread_id, request_sha256 in tx.query(_REPLAYED, (run.tenant, run.idempotency_key)):
        if request_sha256 != run.request_sha256:
            raise InvalidRequest(
                "This Idempotency-Key came with another request before.",
                code="idempotency_key_reused",
                param="Idempotency-Key",
            )
        return Created(run_id, thread_id, replayed=True)
    return None


def _check_thread(tx: Transaction, run: NewRun) -> None:
    """See that the thread is there, free, and still as the run's maker saw it."""
    found = tx.query("SELECT tenant, head_run_id FROM threads WHERE id = ?", (run.thread_id,))
    if run.new_thread:
        if found:
            raise Conflict("A thread of this id exists.", code="thread_exists")
        return
    if not found or found[0][0] != run.tenant:
        raise NotFound("There is no such thread.", code="thread_not_found")
    if tx.query(_IS_BUSY, (run.thread_id,)):
        raise Conflict("The thread has an active run.", code="thread_busy")
    if found[0][1] != run.expected_head:
        raise Conflict("The thread has another new run.", code="thread_moved")


def run_columns(
    run: NewRun, status: RunStatus, *, next_seq: int, spec_sha256: str
) -> dict[str, Value]:
    """Return what the row of a new run begins with."""
    claims = 1 if run.claimed else 0
    return {
        **{name: getattr(run, name) for name in _SAME_COLUMNS},
        "spec_sha256": spec_sha256,
        "limits": _json(run.limits),
        "metadata": _json(run.metadata),
        "status": status.value,
        "epoch": claims,
        "attempts": claims,
        "next_seq": next_seq,
    }


def append_external(
    tx: Transaction,
    run_id: str,
    allowed: frozenset[RunStatus],
    events: Sequence[PendingEvent],
) -> int:
    """Append to a run one does not own; see ``Store.append_external``.

    A run that waits for approvals is queued again once none is pending.
    """
    found = tx.query("SELECT status FROM runs WHERE id = ?", (run_id,))
    if not found or found[0][0] not in allowed:
        return 0
    types = [pending.event.type for pending in events]
    next_status(RunStatus(found[0][0]), types)
    tx.live.pop(run_id, None)
    first: int = tx.query(BUMP_EXTERNAL, (len(events), run_id))[0][0] - len(events)
    tx.append(run_id, first, events)
    if "approval.resolved" in types:
        tx.query(_ANSWER, (run_id,))
    return first


def claim_orphans(tx: Transaction, now: int) -> list[tuple[Claim, RunRow]]:
    """Take every run without an owner; of several queued in one thread, the first."""
    claimed: list[tuple[Claim, RunRow]] = []
    for run_id, status, old_epoch in tx.query(_ORPHANS):
        ((epoch, next_seq),) = tx.query(_CLAIM, (run_id,))
        reason = "takeover" if status == "running" else "resume" if old_epoch else "claim"
        _note_epoch(tx, run_id, epoch=epoch, at=now, first_seq=next_seq, reason=reason)
        tx.forget(run_id)
        tx.live[run_id] = (epoch, next_seq)
        (row,) = tx.query(SELECT_RUN, {"run_id": run_id})
        claimed.append((Claim(run_id, epoch), read_run(row)))
    return claimed


def delete_thread(tx: Transaction, tenant: str, thread_id: str, now: int) -> None:
    """Delete a thread and its runs, leaving tombstones.

    Raises:
        NotFound: there is no such thread.
        Conflict: it has an active run.
    """
    found = tx.query(SELECT_THREAD, {"tenant": tenant, "thread_id": thread_id})
    if not found:
        raise NotFound("There is no such thread.", code="thread_not_found")
    thread = read_thread(found[0])
    if tx.query(_IS_BUSY, (thread.id,)):
        raise Conflict("The thread has an active run.", code="thread_busy")
    tx.query(_UNLINK, (thread.id,))
    tx.query(_BURY_RUNS, (thread.id, now))
    tx.query(_BURY_THREAD, (tenant, thread.id, now))
    specs = tx.query("SELECT DISTINCT spec_sha256 FROM runs WHERE thread_id = ?", (thread.id,))
    tx.query("DELETE FROM threads WHERE id = ?", (thread.id,))
    for (sha256,) in specs:
        tx.query(DELETE_UNUSED_SPEC, (tenant, sha256))


def probe(tx: Transaction) -> None:
    """Write something that changes nothing."""
    tx.query("UPDATE alembic_version SET version_num = version_num")


def new_thread(run: NewRun) -> ThreadRow:
    """Return the thread that a run brings along, the run its head."""
    return ThreadRow(
        id=run.thread_id,
        tenant=run.tenant,
        external_id=None,
        head_run_id=run.id,
        metadata={},
        created_at=run.created_at,
        updated_at=run.created_at,
    )


def thread_columns(thread: ThreadRow) -> dict[str, Value]:
    """Return the row of a thread."""
    return {
        "id": thread.id,
        "tenant": thread.tenant,
        "external_id": thread.external_id,
        "head_run_id": thread.head_run_id,
        "metadata": _json(thread.metadata),
        "created_at": thread.created_at,
        "updated_at": thread.updated_at,
    }


def _note_epoch(
    tx: Transaction, run_id: str, *, epoch: int, at: int, first_seq: int, reason: str
) -> None:
    values = (run_id, epoch, at, first_seq, reason)
    tx.query(insert_statement("run_epochs", _EPOCH_COLUMNS), values)


def _insert(tx: Transaction, table: str, columns: dict[str, Value]) -> None:
    tx.query(insert_statement(table, tuple(columns)), tuple(columns.values()))


def _json(value: Any) -> str:
    return to_json(value).decode()
