"""EventLog: number, record, publish; follow. Nothing is published before it is on disk.

Events wait in their run's buffer, where consecutive deltas of one block are joined, until the next
flush. One flush is in flight at most and takes every dirty run in one commit. A flush begins at
once if the last one began ``flush_s`` ago, else at its start + ``flush_s``; urgent events (the
first delta of a turn, whatever the loop waits for, 4 KiB of text) do not wait for that.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Final

from agent_server.drafts import Draft, add_draft, number
from agent_server.errors import Fenced, StoreError
from agent_server.events import (
    BUFFERED_TYPES,
    MERGEABLE,
    AnyEvent,
    RawAttempt,
    RecordedEvent,
)
from agent_server.status import RunStatus
from agent_server.store import Claim, Commit, Created, NewRun, Store

PAGE: Final = 500
"""Events a follower reads from the store at a time."""
RING_BYTES: Final = 16 * 1024
"""What a live run keeps in memory for its followers; they read the rest from the store."""
URGENT_BYTES: Final = 4 * 1024
BUFFER_BYTES: Final = 256 * 1024
"""Above this much unwritten data of one run, ``emit`` waits for the disk."""


@dataclass(slots=True, eq=False)
class _LiveRun:
    """What the log keeps of a run that this process owns."""

    claim: Claim
    thread_id: str
    last_seq: int
    on_followers: Callable[[int], None] | None = None
    drafts: list[Draft] = field(default_factory=list)
    raw: list[RawAttempt] = field(default_factory=list)
    size: int = 0
    awaits_first_delta: bool = False
    committed: asyncio.Future[None] | None = None
    """What appends wait for whose events the next flush takes."""
    awaited: asyncio.Future[None] | None = None
    """The last of those: it may be in flight."""
    ring: deque[RecordedEvent] = field(default_factory=deque)
    ring_size: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    followers: int = 0
    ended: bool = False
    error: StoreError | None = None

    def publish(self, events: list[RecordedEvent]) -> None:
        """Show committed events to the followers."""
        for event in events:
            self.ring.append(event)
            self.ring_size += len(event.data)
        while self.ring_size > RING_BYTES and len(self.ring) > len(events):
            self.ring_size -= len(self.ring.popleft().data)
        self.last_seq = events[-1].seq
        self.ended |= events[-1].is_terminal
        self.wake()

    def wake(self) -> None:
        self.changed.set()
        self.changed = asyncio.Event()

    def since(self, cursor: int) -> list[RecordedEvent] | None:
        """Return the events after ``cursor`` from memory, None where only the store has them."""
        missing = self.last_seq - cursor
        if missing <= 0:
            return []
        if missing > len(self.ring):
            return None
        return [self.ring[index] for index in range(-missing, 0)]


class EventLog:
    """The one way events leave a run. ``serve`` must run for anything to be committed."""

    def __init__(self, store: Store, *, flush_s: float = 0.025) -> None:
        self._store = store
        self._flush_s = flush_s
        self._live: dict[str, _LiveRun] = {}
        self._dirty: dict[str, _LiveRun] = {}
        self._wanted = asyncio.Event()
        self._urgent = asyncio.Event()

    async def create(
        self,
        run: NewRun,
        *events: AnyEvent,
        on_followers: Callable[[int], None] | None = None,
    ) -> Created:
        """Put a new run and its first events on disk, then publish them.

        ``on_followers`` is told how many followers the run has, whenever that changes.

        Raises:
            RequestError, StoreError: as ``Store.create_run``.
        """
        pending = [Draft(event).encode() for event in events]
        created = await self._store.create_run(run, pending)
        if not created.replayed and run.claimed:
            self.open(Claim(run.id, 1), run.thread_id, last_seq=0, on_followers=on_followers)
            self._live[run.id].publish(number(pending, run.id, run.thread_id, 1))
        return created

    def open(
        self,
        claim: Claim,
        thread_id: str,
        *,
        last_seq: int,
        on_followers: Callable[[int], None] | None = None,
    ) -> None:
        """Take up a run that this process has claimed."""
        self._live[claim.run_id] = _LiveRun(claim, thread_id, last_seq, on_followers)

    def close(self, run_id: str) -> None:
        """Forget a run that this process works on no longer, and what it has not written.

        Its followers end; whoever waits for a commit that will not be is told so.
        """
        live = self._live.pop(run_id, None)
        self._dirty.pop(run_id, None)
        if live is None:
            return
        live.ended = True
        live.wake()
        if live.committed is not None:
            _resolve(live.committed, live.error or Fenced(f"run {run_id} was closed"))
            live.committed = None

    async def settle(self, claim: Claim) -> None:
        """Return once every event that an ``append`` waited for is on disk.

        For whoever was cancelled while it waited, before the run is closed.

        Raises:
            StoreError: it never will be.
        """
        live = self._live.get(claim.run_id)
        if live is not None and live.claim == claim and live.awaited is not None:
            await asyncio.shield(live.awaited)

    async def append(self, claim: Claim, *events: AnyEvent, raw: RawAttempt | None = None) -> None:
        """Take events of an owned run, in order; see ``Emit`` for when this returns.

        Raises:
            Fenced: the run has another owner now.
            StoreError: the events are not on disk and never will be.
        """
        live = self._live.get(claim.run_id)
        if live is None or live.claim != claim:
            raise Fenced(f"run {claim.run_id} has another owner")
        if live.error is not None:
            raise live.error
        waits = raw is not None
        urgent = False
        for event in events:
            urgent |= self._buffer(live, event)
            waits |= event.type not in BUFFERED_TYPES
        if raw is not None:
            live.raw.append(raw)
        self._dirty[claim.run_id] = live
        self._wanted.set()
        if waits or urgent or live.size >= URGENT_BYTES:
            self._urgent.set()
        if waits or live.size > BUFFER_BYTES:
            if live.committed is None:
                live.committed = live.awaited = asyncio.get_running_loop().create_future()
            await asyncio.shield(live.committed)

    async def append_external(
        self, run_id: str, *events: AnyEvent, allowed: frozenset[RunStatus]
    ) -> bool:
        """Append to a run that nobody owns if its status is in ``allowed``; say whether it was."""
        pending = [Draft(event).encode() for event in events]
        return await self._store.append_external(run_id, allowed=allowed, events=pending) > 0

    def _buffer(self, live: _LiveRun, event: AnyEvent) -> bool:
        """Queue one event, joined to the last where it continues it; say whether it is urgent."""
        live.size += add_draft(live.drafts, event)
        if not isinstance(event, MERGEABLE):
            live.awaits_first_delta |= event.type in {"turn.started", "turn.restarted"}
            return False
        first, live.awaits_first_delta = live.awaits_first_delta, False
        return first

    async def serve(self) -> None:
        """Flush for ever: the log's service task. Cancel it only when no run is live."""
        loop = asyncio.get_running_loop()
        last_start = -self._flush_s
        while True:
            await self._wanted.wait()
            pause = last_start + self._flush_s - loop.time()
            if pause > 0 and not self._urgent.is_set():
                try:
                    async with asyncio.timeout(pause):
                        await self._urgent.wait()
                except TimeoutError:
                    pass
            self._wanted.clear()
            self._urgent.clear()
            last_start = loop.time()
            await self._flush()

    async def _flush(self) -> None:
        """Commit what every dirty run has buffered, then publish it."""
        batch, self._dirty = list(self._dirty.values()), {}
        commits: list[Commit] = []
        waiting: list[asyncio.Future[None] | None] = []
        for live in batch:
            commits.append(Commit(live.claim, [d.encode() for d in live.drafts], live.raw))
            waiting.append(live.committed)
            live.drafts, live.raw, live.size, live.committed = [], [], 0, None
        error: StoreError | None = None
        firsts = [0] * len(batch)
        try:
            firsts = await self._store.commit(commits)
        except StoreError as failure:
            error = failure
        for live, commit, first, future in zip(batch, commits, firsts, waiting, strict=True):
            if first and commit.events:
                live.publish(number(commit.events, live.claim.run_id, live.thread_id, first))
            elif not first:
                live.error = error or Fenced(f"run {live.claim.run_id} has another owner")
            if live.error or live.ended:
                self._forget(live)
            if future is not None and not future.done():
                _resolve(future, live.error)

    def _forget(self, live: _LiveRun) -> None:
        if self._live.get(live.claim.run_id) is live:
            self.close(live.claim.run_id)

    async def follow(self, run_id: str, *, after: int = 0) -> AsyncIterator[list[RecordedEvent]]:
        """Yield the events after seq ``after``: the recorded ones, then live ones as they come.

        Each item is a non-empty list of consecutive events, as many as are ready. Ends after the
        terminal event, or at the last one of a run nobody works on here. A slow reader costs no
        memory: it holds a cursor, never a queue. Close it (``contextlib.aclosing``).
        """
        live = self._live.get(run_id)
        if live is not None:
            self._count(live, 1)
        try:
            cursor = after if live is None else min(after, live.last_seq)
            while True:
                changed = None if live is None else live.changed
                events = None if live is None else live.since(cursor)
                if events is None:
                    events = await self._store.read_events(run_id, after=cursor, limit=PAGE)
                if events:
                    cursor = events[-1].seq
                    yield events
                    if events[-1].is_terminal:
                        return
                elif live is None or live.ended or changed is None:
                    return
                else:
                    await changed.wait()
        finally:
            if live is not None:
                self._count(live, -1)

    @staticmethod
    def _count(live: _LiveRun, change: int) -> None:
        live.followers += change
        if live.on_followers is not None and not live.ended:
            live.on_followers(live.followers)


def _resolve(future: asyncio.Future[None], error: StoreError | None) -> None:
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)
        future.exception()  # whoever waited may have been cancelled: that is no lost error
