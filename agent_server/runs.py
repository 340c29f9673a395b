"""RunManager: start, resume, cancel, recover. Owns the task group that runs live in."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import structlog

from agent_server.admission import Admission, Prepared, RunRequest
from agent_server.attempt import ToolUse
from agent_server.calls import ToolCalls
from agent_server.errors import AgentServerError, Conflict, StoreError, Unavailable
from agent_server.events import (
    CancelledBy,
    Emit,
    RunCancelled,
    RunResumed,
    RunStarted,
    TerminalEvent,
    Usage,
)
from agent_server.follower_watch import FollowerWatch
from agent_server.log import EventLog
from agent_server.loop import AgentLoop
from agent_server.messages import JsonObject
from agent_server.recovery import rebuild
from agent_server.run_state import RunState
from agent_server.status import RunStatus
from agent_server.store import Claim, Created, RunRow, Store
from agent_server.task_group import open_task_group

__all__ = ["RunManager", "RunPolicy", "RunRequest", "open_run_manager"]

RECOVERY_GRACE_S: Final = 30.0
"""Clients get at least this long to find a recovered run again."""
MAX_CLAIMS: Final = 5
"""A run that outlived this many owners without ending is taken to kill them."""
THREAD_RETRIES: Final = 3

log = structlog.get_logger(__name__)

Work = Callable[[Emit], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class RunPolicy:
    """How runs behave: caps and grace times."""

    max_active: int = 2_000
    disconnect_grace_s: float = 10


@dataclass(slots=True, eq=False)
class _Active:
    """A run in work here."""

    run: RunState
    followers: FollowerWatch
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None
    begun: bool = False
    cancelled_by: CancelledBy | None = None


class RunManager:
    """Starts runs and answers for their ends. Use it as given by ``open_run_manager``."""

    def __init__(
        self,
        *,
        store: Store,
        log: EventLog,
        loop: AgentLoop,
        calls: ToolCalls,
        admission: Admission,
        policy: RunPolicy,
        group: asyncio.TaskGroup,
    ) -> None:
        self._store = store
        self._log = log
        self._loop = loop
        self._calls = calls
        self._admission = admission
        self._policy = policy
        self._group = group
        self._active: dict[str, _Active] = {}
        self._draining = False

    @property
    def active(self) -> int:
        """How many runs are in work here."""
        return len(self._active)

    @property
    def draining(self) -> bool:
        """Whether new runs are refused."""
        return self._draining

    async def start(self, request: RunRequest) -> Created:
        """Create a run and start it; it is on disk when this returns.

        With an idempotency key seen before, returns the run of that time (``replayed``).

        Raises:
            InvalidRequest, NotFound, Conflict: the request cannot be served.
            Unavailable: draining, or too many runs.
            StoreError: the database cannot be written.
        """
        self._admit()
        for _ in range(THREAD_RETRIES):
            prepared = await self._admission.prepare(request)
            try:
                return await self._begin(prepared, self._grace_s(request))
            except Conflict as conflict:
                if conflict.code != "thread_moved":
                    raise
        raise Conflict("The thread has another new run. Try again.", code="thread_busy")

    async def start_tool_call(self, *, tenant: str, name: str, arguments: JsonObject) -> Created:
        """Start a run that is one direct tool call.

        Raises:
            NotFound, InvalidRequest, Conflict: as ``Admission.prepare_tool_call``.
            Unavailable, StoreError: as ``start``.
        """
        self._admit()
        prepared = self._admission.prepare_tool_call(tenant=tenant, name=name, arguments=arguments)
        return await self._begin(prepared, grace_s=None)

    def _admit(self) -> None:
        if self._draining:
            raise Unavailable("The server is shutting down.", code="draining")
        if len(self._active) >= self._policy.max_active:
            raise Unavailable("The server runs as many runs as it may.", code="too_many_runs")

    def _grace_s(self, request: RunRequest) -> float | None:
        if request.on_disconnect == "continue":
            return None
        wanted_s = request.disconnect_grace_s
        return self._policy.disconnect_grace_s if wanted_s is None else wanted_s

    async def _begin(self, prepared: Prepared, grace_s: float | None) -> Created:
        """Put the run on disk and start its task."""
        run = prepared.run
        active = _Active(run, FollowerWatch(grace_s, partial(self._abandon, run.run_id)))
        created = await self._log.create(
            prepared.new, prepared.created, RunStarted(), on_followers=active.followers.count
        )
        if created.replayed:
            return created
        work: Work = (
            partial(self._loop.run, run)
            if prepared.call is None
            else partial(self._work_call, run, prepared.call)
        )
        self._spawn(Claim(run.run_id, 1), active, work)
        return created

    async def _work_call(self, run: RunState, call: ToolUse, emit: Emit) -> None:
        ending = await self._calls.execute_alone(run, call, emit)
        run.ended = True
        await emit(ending)

    def _spawn(self, claim: Claim, active: _Active, work: Work) -> None:
        self._active[claim.run_id] = active
        active.followers.count(0)
        active.task = self._group.create_task(
            self._supervise(claim, active, work), name=claim.run_id
        )

    async def _supervise(self, claim: Claim, active: _Active, work: Work) -> None:
        """Work a run; whatever happens, see that it ends or stays recoverable."""
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(run_id=claim.run_id)
        run = active.run
        emit: Emit = partial(self._log.append, claim)
        active.begun = True
        try:
            if active.cancelled_by is not None:
                raise asyncio.CancelledError  # noqa: TRY301 (asked for before this task began)
            await work(emit)
        except asyncio.CancelledError:
            if active.cancelled_by is None:
                raise  # the server stops: the run stays as it is, for the next start to resume
            cancelled = run.cancelled(active.cancelled_by)
            await self._end_early(run, cancelled, emit, why="The run was cancelled.")
        except StoreError as error:
            log.exception("run.stopped", code=error.code)
        except Exception:  # a fault of ours must end this run and no other
            log.exception("run.crashed")
            failed = run.failed(AgentServerError("Something went wrong.", code="internal_error"))
            await self._end_early(run, failed, emit, why="The run has failed.")
        finally:
            await self._leave(claim, active)

    async def _leave(self, claim: Claim, active: _Active) -> None:
        """Let go of a run, but of no event that was on its way to the disk when a cancel came."""
        try:
            await self._log.settle(claim)
        except StoreError as error:
            log.exception("run.stopped", code=error.code)
        finally:
            active.followers.stop()
            self._active.pop(claim.run_id, None)
            self._log.close(claim.run_id)
            active.ended.set()

    @staticmethod
    async def _end_early(run: RunState, ending: TerminalEvent, emit: Emit, *, why: str) -> None:
        """Record what a run had open, and its end, unless it has one."""
        if run.ended:
            return
        run.ended = True
        try:
            await emit(*run.unfinished(why), ending, raw=run.partial_raw)
        except StoreError as error:
            log.exception("run.stopped", code=error.code)

    async def cancel(self, run_id: str, *, by: CancelledBy = "user") -> None:
        """Stop a run: its upstream call is closed and its tools are dead when this returns.

        Idempotent; returns once the terminal event is on disk, at once if the run had ended.
        """
        active = self._active.get(run_id)
        if active is not None:
            self._request_cancel(active, by)
            await active.ended.wait()
            return
        cancelled = RunCancelled(by=by, calls=[], usage=Usage(), cost_usd=None, duration_ms=0)
        await self._log.append_external(
            run_id, cancelled, allowed=frozenset({RunStatus.QUEUED, RunStatus.WAITING})
        )

    @staticmethod
    def _request_cancel(active: _Active, by: CancelledBy) -> None:
        if active.cancelled_by is not None:
            return
        active.cancelled_by = by
        if active.begun and active.task is not None:
            active.task.cancel()

    def _abandon(self, run_id: str) -> None:
        active = self._active.get(run_id)
        if active is not None and not self._draining:
            self._request_cancel(active, "disconnect")

    async def wait(self, run_id: str) -> None:
        """Return when the run has ended or is in work here no longer."""
        active = self._active.get(run_id)
        if active is not None:
            await active.ended.wait()

    async def recover(self) -> int:
        """Take up every run that a dead process left; return how many."""
        orphans = await self._store.claim_orphans()
        for claim, row in orphans:
            await self._resume(claim, row)
        return len(orphans)

    async def _resume(self, claim: Claim, row: RunRow) -> None:
        run = rebuild(
            row,
            history=await self._store.history(row.id),
            turns=await self._store.turns(row.id),
            calls=await self._store.tool_calls(row.id),
            prices=self._admission.prices,
        )
        cancels = row.on_disconnect == "cancel"
        grace_s = max(RECOVERY_GRACE_S, self._policy.disconnect_grace_s) if cancels else None
        active = _Active(run, FollowerWatch(grace_s, partial(self._abandon, row.id)))
        self._log.open(
            claim, row.thread_id, last_seq=row.last_seq, on_followers=active.followers.count
        )
        log.info("run.resumed", run_id=row.id, attempt=row.attempts)
        self._spawn(claim, active, partial(self._work_resumed, run, row))

    async def _work_resumed(self, run: RunState, row: RunRow, emit: Emit) -> None:
        await emit(RunResumed(reason="crash", attempt=row.attempts))
        if row.attempts > MAX_CLAIMS:
            poison = AgentServerError("The run was interrupted too often.", code="crash_loop")
            await self._end_early(run, run.failed(poison), emit, why="The run has failed.")
        elif row.kind == "tool":
            run.calls = dict.fromkeys((call["id"] for call in run.transcript.open_calls), None)
            lost = AgentServerError("The tool call was interrupted.", code="interrupted")
            await self._end_early(run, run.failed(lost), emit, why="The call was interrupted.")
        else:
            await self._loop.run(run, emit)

    def begin_drain(self) -> None:
        """Refuse new runs from now on; those in work go on."""
        self._draining = True

    async def drain(self, timeout_s: float) -> None:
        """Wait for the runs in work, then leave the rest for the next start to resume."""
        self.begin_drain()
        try:
            async with asyncio.timeout(timeout_s):
                for active in list(self._active.values()):
                    await active.ended.wait()
        except TimeoutError:
            log.warning("runs.parked", count=len(self._active))
        for active in list(self._active.values()):
            if active.task is not None:
                active.task.cancel()


@asynccontextmanager
async def open_run_manager(
    make: Callable[[asyncio.TaskGroup], RunManager], *, drain_s: float
) -> AsyncIterator[RunManager]:
    """Open the task group of runs around the manager that ``make`` builds.

    On leaving, runs get ``drain_s`` seconds to end; the rest is resumed at the next start.
    """
    async with open_task_group() as group:
        manager = make(group)
        try:
            yield manager
        finally:
            await manager.drain(drain_s)
