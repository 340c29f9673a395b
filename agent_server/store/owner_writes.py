"""What a run's owner writes: every commit takes its seqs through the fence, in its transaction.

The quick way is one UPDATE for a whole group, from the epochs and seqs that the writer remembers
of its live runs. Memory is a guess that the UPDATE checks: where it is wrong nothing matches, and
the group is done again one by one, which needs no memory.
"""

from collections.abc import Sequence

from agent_server.status import RunStatus
from agent_server.store import Commit
from agent_server.store.fold import next_status
from agent_server.store.statements import FENCE, FENCE_KNOWN
from agent_server.store.transaction import Transaction

__all__ = ["StaleMemoryError", "commit", "commit_group"]


class StaleMemoryError(Exception):
    """The database says otherwise than what the writer remembers of a run."""


def commit(tx: Transaction, item: Commit) -> int:
    """Write an owner's events; return the first seq, 0 where another owner has the run.

    Raises:
        IllegalTransition: the events may not follow each other.
    """
    run_id, epoch = item.claim.run_id, item.claim.epoch
    count = len(item.events)
    _status_after(item)
    fenced = tx.query(FENCE, (count, run_id, epoch))
    if not fenced:
        return 0
    next_seq: int = fenced[0][0]
    _write(tx, item, next_seq - count)
    return next_seq - count


def commit_group(tx: Transaction, items: Sequence[Commit]) -> list[int]:
    """Write the events of some owners; return each one's first seq, 0 where it is fenced.

    Raises:
        StaleMemoryError: roll back, then do them one by one.
        IllegalTransition: the events of one may not follow each other.
    """
    firsts: list[int] = []
    fences: list[tuple[int, str, int, int]] = []
    for item in items:
        claim = item.claim
        known = tx.live.pop(claim.run_id, None)
        if known is None or known[0] != claim.epoch:
            firsts.append(0)  # to be asked for below, as is the second commit of one run
        else:
            first = known[1]
            firsts.append(first)
            fences.append((first + len(item.events), claim.run_id, claim.epoch, first))
    if fences and tx.change_many(FENCE_KNOWN, fences) != len(fences):
        raise StaleMemoryError
    for index, item in enumerate(items):
        if firsts[index]:
            _write(tx, item, firsts[index])
        else:
            firsts[index] = commit(tx, item)
    return firsts


def _status_after(item: Commit) -> RunStatus:
    return next_status(RunStatus.RUNNING, [pending.event.type for pending in item.events])


def _write(tx: Transaction, item: Commit, first: int) -> None:
    run_id, epoch = item.claim.run_id, item.claim.epoch
    follows = tx.append(run_id, first, item.events)
    if item.raw:
        tx.keep_attempts(run_id, item.raw)
    if not follows or _status_after(item) is RunStatus.RUNNING:
        tx.live[run_id] = (epoch, first + len(item.events))
