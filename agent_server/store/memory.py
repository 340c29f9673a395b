"""MemoryStore: the store without a disk, for tests and examples. It forgets when it is dropped."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import structlog
from pydantic_core import from_json

from agent_server.errors import Conflict, IllegalTransition, InvalidRequest, NotFound
from agent_server.events import RawAttempt, RecordedEvent
from agent_server.status import RunStatus
from agent_server.store import (
    Claim,
    Commit,
    Created,
    NewRun,
    PendingEvent,
    RunFilter,
    RunRow,
    ThreadRow,
    ToolCallRow,
    TurnRow,
)
from agent_server.store.fold import fold, next_status
from agent_server.store.row_set import Row, RowSet, new_row
from agent_server.store.rows import calls_of, metadata_path, run_of, thread_of, turn_of
from agent_server.store.specs import encode_spec
from agent_server.store.tables import HISTORY_TYPES
from agent_server.store.writes import new_thread, run_columns, thread_columns

__all__ = ["MemoryStore"]

log = structlog.get_logger(__name__)


@dataclass(slots=True, eq=False)
class _Run:
    """One run: its row (also in ``rows``), spec (JSON), events and attempts."""

    row: Row
    rows: RowSet
    spec: str
    events: list[RecordedEvent] = field(default_factory=list)
    attempts: dict[tuple[int, int], RawAttempt] = field(default_factory=dict)

    @property
    def status(self) -> RunStatus:
        return RunStatus(self.row["status"])

    @property
    def calls(self) -> list[Row]:
        """The calls on record, in order of turn and request."""
        judged = [row for row in self.rows.rows("tool_calls") if row["requested_seq"] is not None]
        return sorted(judged, key=lambda row: (row["turn"] or 0, row["requested_seq"]))

    def append(self, events: Sequence[PendingEvent]) -> int:
        """Number and fold ``events``; return the first seq."""
        first: int = self.row["next_seq"]
        self.row["next_seq"] += len(events)
        run_id, thread_id = self.row["id"], self.row["thread_id"]
        for seq, pending in enumerate(events, first):
            event = pending.event
            self.events.append(
                RecordedEvent(
                    run_id, thread_id, seq, pending.ts, event.type, event.turn, pending.data
                )
            )
            for change in fold(run_id, seq, pending.ts, event):
                self.rows.change(change)
        return first

    def read(self, *, spec: bool = True) -> RunRow:
        """Return the run as its rows say, with its spec or an empty one."""
        counted = {
            "spec": self.spec if spec else "{}",
            "last_seq": self.row["next_seq"] - 1,
            "turn_count": len(self.rows.rows("turns")),
            "tool_call_count": len(self.calls),
        }
        return run_of({**self.row, **counted})


class MemoryStore:
    """Keeps everything in dictionaries, by the rules of the real store."""

    def __init__(self) -> None:
        self._runs: dict[str, _Run] = {}
        self._threads: dict[str, Row] = {}
        self._keys: dict[tuple[str, str], tuple[str, str | None]] = {}

    # --- writing -----------------------------------------------------------------------------

    async def create_thread(self, thread: ThreadRow) -> None:
        """Insert a thread. Raises ``Conflict(code="thread_exists")`` for a taken external id."""
        taken = thread.id in self._threads or (
            thread.external_id is not None
            and self._find_thread(thread.tenant, thread.external_id) is not None
        )
        if taken:
            raise Conflict("A thread of this id exists.", code="thread_exists")
        self._threads[thread.id] = new_row("threads", thread_columns(thread))

    async def create_run(self, run: NewRun, events: Sequence[PendingEvent]) -> Created:
        """Insert the run and what belongs to it; see ``Store.create_run``."""
        if run.idempotency_key is not None:
            replayed = self._find_replayed(run, run.idempotency_key)
            if replayed is not None:
                return replayed
        thread = self._check_thread(run)
        status = RunStatus.RUNNING if run.claimed else RunStatus.QUEUED
        next_status(status, [pending.event.type for pending in events])
        thread.update(head_run_id=run.id, updated_at=run.created_at)
        self._threads[run.thread_id] = thread
        spec = encode_spec(run.spec)
        row = new_row("runs", run_columns(run, status, next_seq=1, spec_sha256=spec.sha256))
        rows = RowSet()
        rows.add("runs", row)
        rows.add("threads", thread)
        self._runs[run.id] = _Run(row, rows, spec.text)
        self._runs[run.id].append(events)
        if run.idempotency_key is not None:
            self._keys[run.tenant, run.idempotency_key] = (run.id, run.request_sha256)
        return Created(run.id, run.thread_id, replayed=False)

    async def claim_orphans(self) -> list[tuple[Claim, RunRow]]:
        """Take every run that has no owner; see ``Store.claim_orphans``."""
        claimed: list[tuple[Claim, RunRow]] = []
        for run_id in sorted(self._runs):
            run = self._runs[run_id]
            others = [other for other in self._of_thread(run.row["thread_id"]) if other is not run]
            free = not any(other.status in {"running", "waiting"} for other in others)
            if run.status is RunStatus.RUNNING or (run.status is RunStatus.QUEUED and free):
                run.row["status"] = RunStatus.RUNNING.value
                run.row["epoch"] += 1
                run.row["attempts"] += 1
                claimed.append((Claim(run_id, run.row["epoch"]), run.read()))
        return claimed

    async def commit(self, commits: Sequence[Commit]) -> list[int]:
        """Write all ``commits``; see ``Store.commit``."""
        return [self._commit(commit) for commit in commits]

    def _commit(self, commit: Commit) -> int:
        run = self._runs.get(commit.claim.run_id)
        owned = run is not None and run.row["epoch"] == commit.claim.epoch
        if run is None or not owned or run.status is not RunStatus.RUNNING:
            return 0
        try:
            next_status(RunStatus.RUNNING, [pending.event.type for pending in commit.events])
        except IllegalTransition as fault:
            log.exception("store.commit_refused", run_id=commit.claim.run_id, exc_info=fault)
            return 0
        for raw in commit.raw:
            run.attempts[raw.turn, raw.attempt] = raw
        return run.append(commit.events)

    async def append_external(
        self, run_id: str, *, allowed: frozenset[RunStatus], events: Sequence[PendingEvent]
    ) -> int:
        """Append to a run one does not own; see ``Store.append_external``."""
        run = self._runs.get(run_id)
        if run is None or run.status not in allowed:
            return 0
        types = [pending.event.type for pending in events]
        next_status(run.status, types)
        first = run.append(events)
        pending = any(row["state"] == "pending" for row in run.rows.rows("approvals"))
        if "approval.resolved" in types and run.status is RunStatus.WAITING and not pending:
            run.row["status"] = RunStatus.QUEUED.value
        return first

    async def delete_thread(self, tenant: str, thread_id: str) -> None:
        """Delete a thread, its runs and their events; see ``Store.delete_thread``."""
        thread = self._find_thread(tenant, thread_id)
        if thread is None:
            raise NotFound("There is no such thread.", code="thread_not_found")
        self._check_free(thread["id"])
        gone = {run.row["id"] for run in self._of_thread(thread["id"])}
        for run_id in gone:
            del self._runs[run_id]
        self._keys = {key: made for key, made in self._keys.items() if made[0] not in gone}
        for run in self._runs.values():
            if run.row["previous_run_id"] in gone:
                run.row["previous_run_id"] = None
        del self._threads[thread["id"]]

    async def is_writable(self) -> bool:
        """Whether a write would succeed now: always."""
        return True

    async def aclose(self) -> None:
        """Nothing is queued, nothing is open."""

    def _find_replayed(self, run: NewRun, key: str) -> Created | None:
        if (run.tenant, key) not in self._keys:
            return None
        run_id, request_sha256 = self._keys[run.tenant, key]
        if request_sha256 != run.request_sha256:
            raise InvalidRequest(
                "This Idempotency-Key came with another request before.",
                code="idempotency_key_reused",
                param="Idempotency-Key",
            )
        return Created(run_id, self._runs[run_id].row["thread_id"], replayed=True)

    def _check_thread(self, run: NewRun) -> Row:
        """Return the run's thread, which must be free and as the run's maker saw it."""
        thread = self._threads.get(run.thread_id)
        if run.new_thread:
            if thread is not None:
                raise Conflict("A thread of this id exists.", code="thread_exists")
            return new_row("threads", thread_columns(new_thread(run)))
        if thread is None or thread["tenant"] != run.tenant:
            raise NotFound("There is no such thread.", code="thread_not_found")
        self._check_free(run.thread_id)
        if thread["head_run_id"] != run.expected_head:
            raise Conflict("The thread has another new run.", code="thread_moved")
        return thread

    def _check_free(self, thread_id: str) -> None:
        if any(not run.status.is_terminal for run in self._of_thread(thread_id)):
            raise Conflict("The thread has an active run.", code="thread_busy")

    # --- reading -----------------------------------------------------------------------------

    async def read_events(
        self, run_id: str, *, after: int = 0, limit: int = 500
    ) -> list[RecordedEvent]:
        """Return up to ``limit`` events with ``seq > after``."""
        run = self._runs.get(run_id)
        return [] if run is None else run.events[max(0, after) : max(0, after) + limit]

    async def history(self, run_id: str) -> list[RecordedEvent]:
        """Return the events a transcript is made of; see ``Store.history``."""
        chain: list[_Run] = []
        current = self._runs.get(run_id)
        while current is not None:
            chain.insert(0, current)
            current = self._runs.get(current.row["previous_run_id"])
        return [event for run in chain for event in run.events if event.type in HISTORY_TYPES]

    async def get_run(self, tenant: str, run_id: str) -> RunRow:
        """Return a run with its output. Raises ``NotFound(code="run_not_found")``."""
        run = self._runs.get(run_id)
        if run is None or run.row["tenant"] != tenant:
            raise NotFound("There is no such run.", code="run_not_found")
        row = run.read()
        if not row.status.is_terminal:
            return row
        return replace(row, output=from_json(run.events[-1].data).get("output"))

    async def list_runs(
        self, tenant: str, where: RunFilter, *, limit: int, before: str | None
    ) -> list[RunRow]:
        """Return runs, newest first, with ids below ``before`` and without their specs."""
        wanted = _matcher(tenant, where, before)
        found = (run for _id, run in sorted(self._runs.items(), reverse=True) if wanted(run))
        return [run.read(spec=False) for run in itertools.islice(found, limit)]

    async def turns(self, run_id: str) -> list[TurnRow]:
        """Return a run's turns in order."""
        run = self._runs.get(run_id)
        rows = [] if run is None else run.rows.rows("turns")
        return [turn_of(row) for row in sorted(rows, key=lambda row: row["turn"])]

    async def tool_calls(self, run_id: str) -> list[ToolCallRow]:
        """Return a run's tool calls in order of turn and ordinal."""
        run = self._runs.get(run_id)
        return [] if run is None else calls_of(run.calls)

    async def attempt_raw(self, run_id: str, turn: int, attempt: int) -> bytes:
        """Return the provider's bytes of one attempt. Raises ``NotFound``."""
        run = self._runs.get(run_id)
        if run is None or (turn, attempt) not in run.attempts:
            raise NotFound("There is no such attempt.", code="attempt_not_found")
        return run.attempts[turn, attempt].response

    async def get_thread(self, tenant: str, thread_id: str) -> ThreadRow:
        """Return a thread by id or external id. Raises ``NotFound(code="thread_not_found")``."""
        thread = self._find_thread(tenant, thread_id)
        if thread is None:
            raise NotFound("There is no such thread.", code="thread_not_found")
        return thread_of(thread)

    async def list_threads(self, tenant: str, *, limit: int, before: str | None) -> list[ThreadRow]:
        """Return threads, newest first, without those of direct tool calls."""
        found = (
            thread_of(thread)
            for thread_id, thread in sorted(self._threads.items(), reverse=True)
            if thread["tenant"] == tenant
            and (before is None or thread_id < before)
            and not self._is_tool_call(thread["head_run_id"])
        )
        return list(itertools.islice(found, limit))

    def _is_tool_call(self, run_id: str | None) -> bool:
        return run_id is not None and self._runs[run_id].row["kind"] == "tool"

    def _find_thread(self, tenant: str, name: str) -> Row | None:
        """Find a thread by id, else by external id."""
        thread = self._threads.get(name)
        if thread is not None and thread["tenant"] == tenant:
            return thread
        for row in self._threads.values():
            if row["tenant"] == tenant and row["external_id"] == name:
                return row
        return None

    def _of_thread(self, thread_id: str) -> list[_Run]:
        return [run for run in self._runs.values() if run.row["thread_id"] == thread_id]


def _matcher(tenant: str, where: RunFilter, before: str | None) -> Callable[[_Run], bool]:
    """Make the test that ``list_runs`` puts to every run."""
    wanted = {
        name: getattr(where, name)
        for name in ("status", "agent", "thread_id", "kind")
        if getattr(where, name) is not None
    }
    for key in where.extra:
        metadata_path(key)

    def matches(run: _Run) -> bool:
        row = run.row
        if row["tenant"] != tenant or (before is not None and row["id"] >= before):
            return False
        if any(row[name] != value for name, value in wanted.items()):
            return False
        if where.tool is not None and all(call["name"] != where.tool for call in run.calls):
            return False
        metadata = from_json(row["metadata"])
        if any(metadata.get(key) != value for key, value in where.extra.items()):
            return False
        return not where.q or _mentions(row, where.q)

    return matches


def _mentions(row: Row, text: str) -> bool:
    begins = row["id"].startswith(text) or row["thread_id"].startswith(text)
    return begins or text in row["metadata"]
